"""Which network is the twin without attention, and what a run does with the pair."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import methods
from harness.errors import UserError
from harness.grid import read_grid
from harness.place import Place
from harness.plan import PlannedCell, plan
from harness.records import Status
from harness.store import Store
from tests.conftest import WriteGrid
from tests.harness.test_run import SMALL, Silent, attempts, go, statuses

CHUNK = "settings = { chunk_size = 8 }\n"
GROUPS = """
[[methods]]
name = "edsr"
label = "Groups"
settings = { trunk = "group", n_resgroups = 1 }
[[methods]]
name = "dlsn"
settings = { n_resgroups = 1, chunk_size = 8 }
"""


def twins(path: Path) -> dict[str, str | None]:
    cells: list[PlannedCell] = plan(read_grid(path), path.name, {})
    return {cell.label: cell.twin and cell.twin.label for cell in cells}


def harms(path: Path) -> list[str]:
    return [cell.label for cell in plan(read_grid(path), "grid", {}) for task in cell.tasks if task.kind == "harm"]


def test_the_twin_is_the_network_of_the_same_trunk_without_attention(write_grid: WriteGrid) -> None:
    path = write_grid("bicubic", "edsr", "nlsn", tables=CHUNK + SMALL + GROUPS)
    assert twins(path) == {"Bicubic": None, "EDSR": None, "NLSN": "EDSR", "Groups": None, "DLSN": "Groups"}
    assert harms(path) == ["NLSN", "DLSN"]


def test_without_a_twin_nothing_is_compared(write_grid: WriteGrid) -> None:
    other = "[[methods]]\nname = 'edsr'\nsettings = { n_resblocks = 2 }\n"
    path = write_grid("bicubic", "nlsn", tables=CHUNK + SMALL + other)
    assert set(twins(path).values()) == {None}
    assert harms(path) == []
    assert harms(write_grid("edsr", "nlsn", tables=CHUNK + SMALL + "[harm]\nmeasure = false\n")) == []


def test_twins_are_of_one_scale_seed_and_budget(write_grid: WriteGrid) -> None:
    path = write_grid("edsr", "nlsn", top="scale = [2, 3]\nseeds = [0, 1]", tables=CHUNK + SMALL)
    cells = plan(read_grid(path), path.name, {})
    trained = {(c.spec["scale"], c.spec["seed"]): c.tasks[0].key for c in cells if c.spec["method"] == "edsr"}
    for cell in cells:
        if cell.twin:
            other = cell.spec["seed"] if cell.spec["method"] == "nlsn" else 1 - cell.spec["seed"]
            assert cell.twin.train == trained[cell.spec["scale"], other]
            assert {task.needs for task in cell.tasks if task.kind == "harm"} == {(cell.tasks[0].key, cell.twin.train)}
    assert sum(cell.twin is not None for cell in cells if cell.spec["method"] == "nlsn") == 4
    longer = write_grid("edsr", "nlsn", budget="gamma = [0.5, 0.6]", tables=CHUNK + SMALL)
    assert sorted(filter(None, twins(longer).values())) == ["EDSR train gamma 0.5", "EDSR train gamma 0.6"]


def test_a_twin_that_is_excluded_is_none(write_grid: WriteGrid) -> None:
    path = write_grid("edsr", "nlsn", tables=CHUNK + SMALL + "[[exclude]]\nmethod = 'edsr'\n")
    assert twins(path) == {"NLSN": None}


def test_a_twin_may_be_named(write_grid: WriteGrid) -> None:
    tables = "label = 'Ours'\ntwin = 'edsr'\n" + SMALL
    assert twins(write_grid("edsr", "tests.plugins:TINY", tables=tables))["Ours"] == "EDSR"


@pytest.mark.parametrize(
    ("methods", "told"),
    [
        (("edsr", "nlsn"), "twin 'esdr' names no cell of the same scale, seed and budget: did you mean 'edsr'?"),
        (("nlsn",), "twin 'esdr' names no cell"),
    ],
)
def test_a_twin_that_is_not_there_is_told(write_grid: WriteGrid, methods: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError, match=told.replace("?", r"\?")):
        twins(write_grid(*methods, tables="twin = 'esdr'\n" + CHUNK + SMALL))


def test_a_name_of_several_cells_is_no_twin(write_grid: WriteGrid) -> None:
    tables = "settings = { n_resblocks = [1, 2] }\n[[methods]]\nname = 'nlsn'\ntwin = 'edsr'\n" + SMALL
    with pytest.raises(UserError, match="twin 'edsr' names several cells"):
        twins(write_grid("edsr", tables=tables))


def test_a_twin_that_is_trained_later_is_waited_for(write_grid: WriteGrid, place: Place, store: Store) -> None:
    path = write_grid("nlsn", "edsr", tables=SMALL + "[[exclude]]\nsize = ['8x8', '12x16']\n")
    listener = Silent()
    outcomes = go(path, place, listener=listener)
    order = ["train", "evaluate", "train", "evaluate", "harm"]
    assert statuses(outcomes) == [(kind, "done") for kind in order]
    assert listener.heard[-2:] == ["start harm", "end harm done"]
    regions = store.frame("SELECT DISTINCT region FROM measurement WHERE kind = 'harm'")["region"]
    assert set(regions) == {"all", "texture", "degraded", "degraded texture"}
    assert store.frame("SELECT * FROM artifact WHERE name = 'harm'")["image"].tolist() == ["chelsea"]
    assert go(path, place) == []


def test_a_lost_training_of_the_twin_is_done_again(write_grid: WriteGrid, place: Place) -> None:
    rest = "[[exclude]]\nsize = ['8x8', '12x16']\n"
    path = write_grid("nlsn", "edsr", tables=SMALL + rest + "[harm]\nmeasure = false\n")
    go(path, place)
    for file in (place.out / "cache" / "weights").iterdir():
        file.unlink()
    again = go(write_grid("nlsn", "edsr", tables=SMALL + rest), place)
    assert statuses(again) == [("train", "done"), ("train", "done"), ("harm", "done")]


def test_a_twin_that_failed_is_the_reason(write_grid: WriteGrid, place: Place) -> None:
    tables = "twin = 'tests.plugins:RAISES'\n" + CHUNK + SMALL + "[[methods]]\nname = 'tests.plugins:RAISES'\n"
    outcomes = go(write_grid("nlsn", tables=tables), place)
    (harm,) = [outcome for outcome in outcomes if outcome.task.kind == "harm"]
    assert (harm.status, harm.reason) == (Status.SKIPPED, "its twin's training ended as error")


def test_networks_from_files_are_compared_too(write_grid: WriteGrid, place: Place, tmp_path: Path) -> None:
    entries = ""
    for name, settings in (("edsr", {}), ("nlsn", {"chunk_size": 8})):
        torch.manual_seed(0)
        network = methods.build_network(name, 2, n_feats=8, n_resblocks=1, **settings)
        save_file(network.state_dict(), tmp_path / f"{name}.safetensors")
        entries += f"[[methods]]\nname = '{name}'\nweights = '{tmp_path}/{name}.safetensors'\n"
        entries += CHUNK if settings else ""
    outcomes = go(write_grid("bicubic", tables=entries + SMALL, sizes='["8x8"]'), place)
    assert ("harm", "done") in statuses(outcomes)
    assert "train" not in {kind for kind, _ in statuses(outcomes)}
    assert len(attempts(Store(place.store))) == len(outcomes)


def test_a_twin_of_several_seeds_is_compared_with_itself_from_the_next(write_grid: WriteGrid) -> None:
    other = "[[methods]]\nname = 'edsr'\nsettings = { n_resblocks = 2 }\n"
    path = write_grid("edsr", "nlsn", top="seeds = [4, 0, 7]", tables=CHUNK + SMALL + other)
    cells = plan(read_grid(path), path.name, {})
    trained = {c.tasks[0].key: c.spec["seed"] for c in cells if c.label == "EDSR n_resblocks 1"}
    beside = {c.spec["seed"]: trained[c.twin.train or ""] for c in cells if c.label == "EDSR n_resblocks 1" and c.twin}
    assert beside == {0: 4, 4: 7, 7: 0}
    assert {c.twin for c in cells if c.label == "EDSR n_resblocks 2"} == {None}, "nobody's twin needs no control"
