"""The grids that come with nlbench: a grid per paper and one for everything, each at the released size and small."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

import methods
from harness.grid import GRIDS, Grid, read_grid
from harness.grid_tables import Scalar
from harness.plan import PlannedCell, plan
from methods.bucketed import ASSIGNS, SCORES
from methods.catalogue import NETWORKS
from methods.parts.fuse import FUSES

Planned = Callable[[str], list[PlannedCell]]
Values = dict[str, set[Scalar]]

PAPERS: dict[str, tuple[str, Values]] = {
    "enlca": (
        "enlcn",
        {"n_features": set(), "amplification": set(), "contrastive_weight": {0.0, 1e-3}, "redraw_every": {0}},
    ),
    "dnla": ("dnlan", {"n_hashes": {1, 3}, "hash_length": {0, 7}, "assign": set(ASSIGNS), "chunk_size": set()}),
    "lcoa": (
        "lcoan",
        {
            "assign": set(ASSIGNS),
            "share_from": {0, 1, 2},
            "n_clusters": set(),
            "chunk_size": set(),
            "n_hashes": {1},
            "update_means": {"frozen", "ema"},
        },
    ),
    "gla": (
        "dlsn",
        {"score": set(SCORES), "assign": {"superbit", "spherical"}, "n_hashes": {1, 3}, "chunk_size": set()},
    ),
    "dtfn": ("dtfn", {"fuse": set(FUSES), "value": {"deformable", "spatial", "pointwise"}}),
}
"""For each grid the paper's own network, what is varied of it, and values that are asked for by name."""

MOST_CELLS = {"everything": 80}
ATTENTIVE = sorted(set(NETWORKS) - {"edsr"})
RECIPE = {"batch": 16, "patch": 48, "learning_rate": 1e-4, "schedule": "milestones", "milestones": (0.2, 0.4, 0.6, 0.8)}
SETS = {"DIV2K-train", "Set5", "Set14", "B100", "Urban100", "Manga109"}

each = pytest.mark.parametrize("name", [*PAPERS, "everything"])
each_paper = pytest.mark.parametrize("name", PAPERS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, image_folder: Path) -> Path:
    """Every data set that a released-size grid names, with two small photographs in it."""
    folder = tmp_path_factory.mktemp("data")
    for name in SETS:
        (folder / name).symlink_to(image_folder)
    return folder


@pytest.fixture(scope="module")
def planned(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """The cells of a grid that comes with nlbench, its sets replaced by the folders in `data`."""
    place = tmp_path_factory.mktemp("grids")

    @functools.cache
    def cells(name: str) -> list[PlannedCell]:
        path = place / f"{name}.toml"
        text = (GRIDS / path.name).read_text(encoding="utf-8")
        for each_set in SETS:
            text = text.replace(f'"{each_set}"', f'"{data.as_posix()}/{each_set}"')
        path.write_text(text, encoding="utf-8")
        return plan(read_grid(path), path.name, {"cpu": "one"})

    return cells


def released(name: str) -> Grid:
    return read_grid(GRIDS / f"{name}.toml")


def small(name: str) -> Grid:
    return read_grid(GRIDS / f"{name}-small.toml")


def values(cells: list[PlannedCell], method: str) -> Values:
    """What each setting of a method is in those cells that have it."""
    found: Values = defaultdict(set)
    for cell in cells:
        if cell.spec["method"] == method:
            for name, value in cell.settings.items():
                found[name].add(value)
    return found


def swept(cells: list[PlannedCell]) -> set[tuple[str, str]]:
    """Which settings of which methods differ from cell to cell."""
    return {(m, name) for m in NETWORKS for name, those in values(cells, m).items() if len(those) > 1}


def is_published(cell: PlannedCell) -> bool:
    plugin = methods.method(cell.spec["method"])
    return {k: v for k, v in plugin.settings().items() if k not in plugin.execution}.items() <= cell.settings.items()


def test_each_paper_and_everything_come_in_both_sizes() -> None:
    twins = {path.stem for path in GRIDS.glob("*.toml")} - {
        "default",
        "small",
        "bicubic",
        "race",
        "race-networks",
        "race-lcoa",
        "exact",
        "exact-fused",
        "exact-networks",
        "exact-training",
    }
    assert twins == {name + size for name in (*PAPERS, "everything") for size in ("", "-small")}


@pytest.mark.parametrize("size", ["", "-small"])
@each
def test_every_cell_can_be_planned_and_has_a_name_of_its_own(planned: Planned, name: str, size: str) -> None:
    cells = planned(name + size)
    labels = [cell.label for cell in cells]
    assert len(set(labels)) == len(labels) <= MOST_CELLS.get(name, 25)
    assert len({str(sorted(cell.settings.items())) + cell.spec["method"] for cell in cells}) == len(labels)
    kinds = {"train", "evaluate", "harm", "profile"} | ({"attention"} if size else set())  # ours are too small to look
    assert {task.kind for cell in cells[1:] for task in cell.tasks} == kinds
    assert cells[0].spec["method"] == "bicubic", "gains are counted from it"


@pytest.mark.parametrize("size", ["", "-small"])
@each_paper
def test_a_papers_grid_varies_what_is_asked_of_it(planned: Planned, name: str, size: str) -> None:
    method, axes = PAPERS[name]
    varied = values(planned(name + size), method)
    for setting, wanted in axes.items():
        assert len(varied[setting]) > 1, setting
        assert varied[setting] >= wanted, setting


@each_paper
def test_twins_vary_the_same_settings(planned: Planned, name: str) -> None:
    assert swept(planned(name)) == swept(planned(f"{name}-small"))


@pytest.mark.parametrize("size", ["", "-small"])
def test_texture_fidelity_is_tried_on_every_attention_in_one_trunk(planned: Planned, size: str) -> None:
    cells = planned("dtfn" + size)
    assert {method for method in ATTENTIVE if values(cells, method)["fuse"] == set(FUSES)} == set(ATTENTIVE)
    trunks = {(cell.settings["trunk"], cell.settings["n_feats"]) for cell in cells if cell.spec["method"] != "bicubic"}
    assert len(trunks) == 1


@pytest.mark.parametrize("size", ["", "-small"])
def test_everything_crosses_the_parts_and_every_method_with_both_trunks(planned: Planned, size: str) -> None:
    cells = planned("everything" + size)
    parts = ("assign", "score", "fuse", "share_from")
    crossed = {tuple(c.settings[part] for part in parts) for c in cells if c.settings.get("value") == "spatial"}
    assert len(crossed) == len(ASSIGNS) * len(SCORES) * len(FUSES) * 2
    assert all(values(cells, method)["trunk"] == {"residual", "group"} for method in NETWORKS)


def test_everything_asks_the_same_of_both_sizes() -> None:
    assert released("everything").methods == small("everything").methods


@each
def test_a_released_grid_trains_and_tests_as_the_authors_do(name: str) -> None:
    grid = released(name)
    (budget,) = grid.budgets()
    assert budget.model_dump(include=set(RECIPE)) == RECIPE
    assert budget.steps >= 1_000_000
    assert grid.limits.task_s > 7 * 24 * 3600, "a released training takes days"
    assert {Path(folder).name for folder in (budget.data, *grid.evaluate.data)} == SETS
    assert grid.evaluate.tiling == ("chop",)


@each_paper
def test_a_papers_released_grid_holds_its_network_as_published(planned: Planned, name: str) -> None:
    published = [cell for cell in planned(name) if cell.spec["method"] == PAPERS[name][0] and is_published(cell)]
    assert len(published) == 1


def test_everything_holds_every_network_as_published(planned: Planned) -> None:
    cells = planned("everything")
    assert sorted(c.spec["method"] for c in cells if c.spec["method"] in NETWORKS and is_published(c)) == sorted(
        NETWORKS
    )


@each
def test_a_small_grid_needs_no_data_and_has_chunks_and_clusters_that_fit_its_patches(
    planned: Planned, name: str
) -> None:
    grid = small(name)
    (budget,) = grid.budgets()
    assert (budget.data, grid.evaluate.data) == ("builtin-train", ("builtin-test",))
    for cell in planned(f"{name}-small"):
        for setting in ("chunk_size", "n_clusters"):
            assert 2 * int(cell.settings.get(setting, 1)) <= budget.patch**2, f"{cell.label}: {setting}"
