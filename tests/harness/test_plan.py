from __future__ import annotations

import ast
import dataclasses
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import harness.resolve
import harness.sources
import methods
from harness import sources
from harness.errors import UserError
from harness.grid import read_grid
from harness.plan import PlannedCell, plan
from harness.records import Task
from tests.conftest import WriteGrid

MACHINE = {"cpu": "one"}
SMALL = "[trunk]\nn_feats = 8\nn_resblocks = 1\n"


def planned(path: Path, machine: dict[str, Any] = MACHINE) -> list[PlannedCell]:
    return plan(read_grid(path), path.name, machine)


def keys(cells: list[PlannedCell], kind: str) -> list[str]:
    return [task.key for cell in cells for task in cell.tasks if task.kind == kind]


def only(cells: list[PlannedCell], kind: str) -> list[Task]:
    (cell,) = cells
    return [task for task in cell.tasks if task.kind == kind]


def test_a_cell_has_its_training_its_evaluations_and_its_sizes(write_grid: WriteGrid) -> None:
    cells = planned(write_grid("edsr", tables=SMALL, evaluate='tiling = ["whole", "chop"]\nhash_seeds = [0, 1]'))
    train, *rest = cells[0].tasks
    assert [task.kind for task in rest] == ["evaluate"] * 4 + ["profile"] * 2
    assert {task.needs for task in rest} == {(train.key,), ()}
    assert all((task.needs == (train.key,)) == (task.kind == "evaluate") for task in rest)


def test_weights_are_shared_by_settings_that_only_change_the_execution(write_grid: WriteGrid) -> None:
    cells = planned(write_grid("nln", tables='settings = { backend = ["plain", "fused"] }\n' + SMALL))
    assert [cell.label for cell in cells] == ["NLN plain", "NLN fused"]
    assert len(set(keys(cells, "train"))) == 1
    assert len(set(keys(cells, "evaluate"))) == 2
    assert len(set(keys(cells, "profile"))) == 4


def test_seeds_make_cells_of_what_is_trained_and_of_nothing_else(write_grid: WriteGrid) -> None:
    cells = planned(write_grid("bicubic", "edsr", top="seeds = [0, 1, 2]", tables=SMALL))
    assert [(cell.label, cell.spec["seed"]) for cell in cells] == [
        ("Bicubic", 0),
        ("EDSR", 0),
        ("EDSR", 1),
        ("EDSR", 2),
    ]
    assert len(set(keys(cells, "profile"))) == 2 * 2, "a profile does not depend on the seed"


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"steps": 5}, {"train", "evaluate"}),
        ({"top": "seeds = [7]"}, {"train", "evaluate"}),
        ({"budget": "learning_rate = 0.1"}, {"train", "evaluate"}),
        ({"evaluate": 'tiling = "chop"'}, {"evaluate"}),
        ({"evaluate": "hash_seeds = 3"}, {"evaluate"}),
        ({"evaluate": 'precision = "bf16"'}, {"evaluate"}),
        ({"evaluate": "self_ensemble = true"}, {"evaluate"}),
        ({"evaluate": 'degradation = "down_noise"'}, {"evaluate"}),
        ({"evaluate": 'degradation = ["bicubic", "blur_down"]'}, {"evaluate"}),
        ({"budget": 'degradation = "blur_down"'}, {"train", "evaluate"}),
        ({"sizes": '["8x9", "12x17"]'}, {"profile"}),
        ({"top": "scale = 3"}, {"train", "evaluate", "profile"}),
    ],
)
def test_a_key_changes_with_what_its_task_depends_on(
    write_grid: WriteGrid, change: dict[str, Any], changed: set[str]
) -> None:
    before, after = planned(write_grid("edsr", tables=SMALL)), planned(write_grid("edsr", tables=SMALL, **change))
    for kind in ("train", "evaluate", "profile"):
        assert (keys(before, kind) != keys(after, kind)) == (kind in changed), kind


def test_profiles_are_kept_apart_by_machine(write_grid: WriteGrid) -> None:
    path = write_grid("edsr", tables=SMALL)
    here, there = planned(path), planned(path, {"cpu": "another"})
    assert keys(here, "profile") != keys(there, "profile")
    assert keys(here, "train") == keys(there, "train")


def test_a_released_value_written_out_is_the_same_cell(write_grid: WriteGrid) -> None:
    silent = planned(write_grid("nlsn", tables=SMALL))
    written = planned(write_grid("nlsn", tables="settings = { chunk_size = 144 }\n" + SMALL))
    assert [cell.key for cell in silent] == [cell.key for cell in written]


def test_trained_weights_depend_on_the_sources_of_their_method(
    write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_grid("edsr", "nlsn", tables=SMALL)
    before = planned(path)
    version = harness.resolve.code_version
    monkeypatch.setattr(
        harness.resolve, "code_version", lambda *names: "edited" if names == ("methods.edsr",) else version(*names)
    )
    after = planned(path)
    changed = [
        (a.kind, a.key != b.key)
        for x, y in zip(before, after, strict=True)
        for a, b in zip(x.tasks, y.tasks, strict=True)
    ]
    own, others = changed[:4], changed[4:]
    assert all(edited for _, edited in own)
    assert {kind for kind, edited in others if edited} == {"harm"}, "a twin is EDSR"


def test_weights_from_a_file_are_known_by_content_not_by_path(write_grid: WriteGrid, tmp_path: Path) -> None:
    import methods

    network = methods.build_network("edsr", 2, n_feats=8, n_resblocks=1)
    for name in ("a", "b"):
        save_file(network.state_dict(), tmp_path / f"{name}.safetensors")
    cells = [
        planned(write_grid("edsr", tables=f'weights = "{tmp_path}/{name}.safetensors"\n' + SMALL))
        for name in ("a", "b")
    ]
    assert keys(cells[0], "evaluate") == keys(cells[1], "evaluate")
    assert not keys(cells[0], "train")


def test_labels_name_what_differs(write_grid: WriteGrid) -> None:
    cells = planned(
        write_grid("nlsn", tables="settings = { chunk_size = [8, 16] }\n" + SMALL, budget="ema_decay = [0.0, 0.9]")
    )
    assert [cell.label for cell in cells] == [
        "NLSN chunk_size 8, train ema_decay 0.0",
        "NLSN chunk_size 8, train ema_decay 0.9",
        "NLSN chunk_size 16, train ema_decay 0.0",
        "NLSN chunk_size 16, train ema_decay 0.9",
    ]


def test_labels_tell_nothing_of_cells_that_are_left_out(write_grid: WriteGrid) -> None:
    settings = "settings = { chunk_size = [8, 16] }\n" + SMALL
    averaged = settings + '[[exclude]]\nchunk_size = 16\n"train.ema_decay" = 0.9\n'
    cells = planned(write_grid("nlsn", tables=averaged, budget="ema_decay = [0.0, 0.9]"))
    assert [cell.label for cell in cells] == [
        "NLSN chunk_size 8, train ema_decay 0.0",
        "NLSN chunk_size 8, train ema_decay 0.9",
        "NLSN chunk_size 16, train ema_decay 0.0",
    ]
    (alone,) = planned(write_grid("nlsn", tables=settings + "[[exclude]]\nchunk_size = 16\n"))
    assert alone.label == "NLSN"


def test_an_exclusion_of_cell_keys_drops_cells_and_one_of_task_keys_drops_tasks(write_grid: WriteGrid) -> None:
    tables = SMALL + '[[exclude]]\nmethod = "edsr"\nscale = [3, 4]\n[[exclude]]\nmethod = "edsr"\nsize = "12x16"\n'
    cells = planned(write_grid("edsr", "nlsn", top="scale = [2, 3]", tables=tables))
    assert [(cell.label, cell.scale) for cell in cells] == [("EDSR", 2), ("NLSN", 2), ("NLSN", 3)]
    assert [t.spec["size"] for t in cells[0].tasks if t.kind == "profile"] == ["8x8"]
    assert [t.spec["size"] for t in cells[1].tasks if t.kind == "profile"] == ["8x8", "12x16"]


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({"methods": ["edrs"]}, "unknown method 'edrs': did you mean 'edsr'"),
        ({"methods": ["bicubik"]}, "did you mean 'bicubic'"),
        ({"methods": ["edsr"], "tables": "settings = { n_feat = 3 }"}, "Did you mean 'n_feats'"),
        ({"methods": ["tests.plugins:STORED"]}, "its network is read from a file: give one as weights"),
        ({"methods": ["spandrel"]}, "method 'spandrel': its network is read from a file: give one as weights"),
        ({"methods": ["edsr"], "tables": 'start = "absent.pt"'}, "no weights file at absent.pt"),
        ({"methods": ["edsr"], "tables": "settings = { n_feats = 0 }"}, "n_feats must be at least 1, not 0"),
        ({"methods": ["edsr"], "tables": 'settings = { n_feats = "8" }'}, "n_feats must be a whole number, not '8'"),
        ({"methods": ["nlsn"], "tables": "[trunk]\nn_feats = 2"}, "reduction 4 leaves no channel of 2"),
        ({"methods": ["nln"], "tables": 'settings = { backend = "fuse" }'}, "Did you mean 'fused'"),
        ({"methods": ["bicubic"], "tables": "settings = { width = 3 }"}, "bicubic has no settings"),
        ({"methods": ["edsr"], "tables": "[trunk]\nn_groups = 2"}, "no method of this grid has a setting 'n_groups'"),
        ({"methods": ["edsr"], "tables": SMALL + '[[exclude]]\nmethods = "edsr"'}, "did you mean 'method'"),
        ({"methods": ["edsr"], "tables": SMALL + '[[exclude]]\nmethod = "edsr"'}, "the exclusions leave no cell"),
        (
            {"methods": ["edsr", "nlsn"], "tables": SMALL + '[[exclude]]\nmethod = "nln"'},
            "exclude.0 names no cell and no task: none has method 'nln': did you mean 'nlsn'",
        ),
        (
            {"methods": ["edsr"], "tables": SMALL + '[[exclude]]\nmethod = "edsr"\nsize = "9x8"'},
            "none has size '9x8': did you mean '8x8'",
        ),
        (
            {"methods": ["edsr", "bicubic"], "tables": SMALL + '[[exclude]]\nmethod = "bicubic"\nn_feats = 8'},
            "exclude.0 names no cell and no task: none has all that it asks for together",
        ),
        ({"methods": ["edsr"], "tables": 'weights = "nowhere.pt"\n' + SMALL}, "no weights file at nowhere.pt"),
        ({"methods": ["bicubic"], "test": "builtin-tset"}, "did you mean 'builtin-test'"),
        ({"methods": ["bicubic"], "test": "./nowhere"}, "no folder of images at nowhere"),
        ({"methods": ["tests.plugins:NOT_A_METHOD"]}, "is a int, not a method"),
        ({"methods": ["tests.plugins:NOTHING"]}, "cannot load method 'tests.plugins:NOTHING'"),
        ({"methods": ["tests.plugins:TINY"], "tables": "settings = { width = 4 }"}, "width must be 3, not 4"),
    ],
)
def test_what_cannot_be_planned_is_told_with_the_file_and_the_nearest_match(
    write_grid: WriteGrid, grid: dict[str, Any], told: str
) -> None:
    path = write_grid(*grid.pop("methods"), **grid)
    with pytest.raises(UserError) as mistake:
        planned(path)
    assert told in str(mistake.value)
    assert str(mistake.value).startswith("grid.toml: ")


def test_two_folders_of_one_name_are_refused(write_grid: WriteGrid, image_folder: Path, tmp_path: Path) -> None:
    twin = tmp_path / image_folder.name
    twin.symlink_to(image_folder)
    with pytest.raises(UserError, match="two data sets are called"):
        planned(write_grid("bicubic", test=str(twin)))


def test_a_task_holds_no_path(write_grid: WriteGrid, image_folder: Path) -> None:
    for cell in planned(write_grid("edsr", "bicubic", tables=SMALL)):
        described = str([dataclasses.asdict(task) for task in cell.tasks]) + str(cell.spec)
        assert str(image_folder.parent) not in described


def test_parts_are_swept_by_name_with_the_settings_that_each_has(write_grid: WriteGrid) -> None:
    tables = 'settings = { assign = ["spherical", "kmeans"], n_hashes = 2 }\n' + SMALL
    spherical, kmeans = planned(write_grid("nlsn", tables=tables))
    assert (spherical.label, kmeans.label) == ("NLSN spherical", "NLSN kmeans")
    assert spherical.settings["n_hashes"] == kmeans.settings["n_hashes"] == 2
    assert "n_clusters" in kmeans.settings
    assert "draw" not in kmeans.settings


def test_a_trunk_can_be_given_to_all(write_grid: WriteGrid) -> None:
    trunk = '[trunk]\ntrunk = ["residual", "group"]\nn_feats = 8\nn_resblocks = 1\nn_resgroups = 3\n'
    residual, group = planned(write_grid("nlsn", tables=trunk))
    assert residual.settings["trunk"] == "residual"
    assert "n_resgroups" not in residual.settings
    assert group.settings["n_resgroups"] == 3


def test_settings_under_released_names_make_the_same_cell(write_grid: WriteGrid) -> None:
    released, ours = (
        planned(write_grid("dnlan", tables=f"settings = {{ {name} = 5 }}\n{SMALL}"))
        for name in ("n_hashlength", "hash_length")
    )
    assert released == ours


def test_training_can_start_from_weights_of_another_scale(write_grid: WriteGrid, tmp_path: Path) -> None:
    file = tmp_path / "x2.safetensors"
    save_file(methods.build_network("edsr", 2, n_feats=8, n_resblocks=1).state_dict(), file)
    scratch, started = planned(
        write_grid("edsr", "edsr", top="scale = 3", tables=f'start = "{file}"\n' + SMALL),
    )
    assert (scratch.label, started.label) == ("EDSR from scratch", "EDSR x2.safetensors")
    assert scratch.tasks[0].key != started.tasks[0].key
    assert started.start == file
    assert started.spec["start"]["file"] == "x2.safetensors"


def test_a_network_from_a_file_is_called_after_it(write_grid: WriteGrid, tmp_path: Path) -> None:
    file = tmp_path / "swin.safetensors"
    save_file({"a": torch.ones(1)}, file)
    (cell,) = planned(write_grid("tests.plugins:STORED", tables=f'weights = "{file}"'))
    assert cell.label == "swin"
    assert {task.kind for task in cell.tasks} == {"evaluate", "profile"}


def test_two_networks_from_files_share_no_task(write_grid: WriteGrid, tmp_path: Path) -> None:
    files = [tmp_path / f"{value}.safetensors" for value in (1, 2)]
    for value, file in enumerate(files):
        save_file({"a": torch.full((1,), float(value))}, file)
    tables = f'weights = "{files[0]}"\n[[methods]]\nname = "tests.plugins:STORED"\nweights = "{files[1]}"'
    first, second = planned(write_grid("tests.plugins:STORED", tables=tables))
    assert not {task.key for task in first.tasks} & {task.key for task in second.tasks}


def test_every_axis_of_an_evaluation_is_a_task_of_its_own(write_grid: WriteGrid) -> None:
    axes = 'degradation = ["bicubic", "blur_down", "down_noise"]\nself_ensemble = [false, true]\nnoise_seed = 5'
    tasks = [t for t in planned(write_grid("bicubic", evaluate=axes))[0].tasks if t.kind == "evaluate"]
    points = [(t.spec["degradation"], t.spec["self_ensemble"], t.spec["noise_seed"]) for t in tasks]
    assert points == [(d, e, 5) for d in ("bicubic", "blur_down", "down_noise") for e in (False, True)]
    assert len({t.key for t in tasks}) == 6
    assert len({t.spec["data"] for t in tasks}) == 3


def test_attention_is_looked_into_at_the_sizes_that_images_have(write_grid: WriteGrid) -> None:
    """The images are 32x24 at low resolution."""
    path = write_grid("nlsn", "edsr", sizes='["8x8", "32x24", "24x32"]', tables=SMALL)
    looks = [t for cell in planned(path) for t in cell.tasks if t.kind == "attention"]
    assert [(t.spec["size"], t.spec["maps"]) for t in looks] == [("8x8", 0), ("32x24", 1)]
    assert {t.needs for t in looks} == {(planned(path)[0].tasks[0].key,)}


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("coffe = [1, 2]", "attention.at: no image 'coffe' in photographs0: did you mean 'coffee'?"),
        ("coffee = [1, 24]", "attention.at: coffee is 32x24 at scale 2, [1, 24] is outside"),
        ("coffee = [-1, 2]", "attention.at.coffee.0: Input should be greater than or equal to 0, not -1"),
    ],
)
def test_a_query_that_is_not_there_is_told(write_grid: WriteGrid, at: str, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        planned(write_grid("nlsn", tables=f"[attention.at]\n{at}\n" + SMALL))


def test_perceptual_scores_without_their_libraries_are_refused(
    write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_grid("bicubic", evaluate='perceptual = ["lpips"]')
    monkeypatch.setattr("harness.plan.available", lambda: "torchmetrics is not installed")
    with pytest.raises(UserError, match="torchmetrics is not installed"):
        planned(path)
    monkeypatch.setattr("harness.plan.available", lambda: None)
    assert planned(path)[0].tasks[0].spec["perceptual"] == ["lpips"]


def test_times_belong_to_a_version_of_torch_and_scores_do_not(
    write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = "[race]\nmeasure = true\nsizes = ['6x8']\npasses = 1\n"
    path, kinds = write_grid("nlsn", tables=SMALL + race), ("train", "evaluate", "profile", "race")
    before = [keys(planned(path), kind) for kind in kinds]
    for module in ("plan", "passes"):
        monkeypatch.setattr(f"harness.{module}.versions", lambda: {"torch": "another"})
    after = [keys(planned(path), kind) for kind in kinds]
    assert all(before)
    assert [set(a) == set(b) for a, b in zip(before, after, strict=True)] == [True, True, False, False]


@pytest.mark.parametrize("module", ["harness.networks", "methods.weights"])
def test_what_makes_networks_belongs_to_every_task_of_one(
    write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    path, right = write_grid("nlsn", tables=SMALL), sources._bare
    before = {task.key for cell in planned(path) for task in cell.tasks}
    changed = Path(str(importlib.util.find_spec(module).origin)).read_text(encoding="utf-8")  # type: ignore[union-attr]
    edited = ast.dump(ast.parse(changed))
    monkeypatch.setattr(sources, "_bare", lambda tree: "edited" if ast.dump(tree) == edited else right(tree))
    harness.sources.code_version.cache_clear()
    after = {task.key for cell in planned(path) for task in cell.tasks}
    harness.sources.code_version.cache_clear()
    assert not before & after


@pytest.mark.parametrize("kind", ["weights", "start"])
def test_weights_that_do_not_fit_are_told_before_anything_starts(
    write_grid: WriteGrid, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "small.safetensors"
    save_file(methods.build_network("edsr", 2, n_feats=8, n_resblocks=1).state_dict(), file)
    path = write_grid("edsr", tables=f'{kind} = "{file}"\n' + SMALL)
    assert planned(path)
    path = write_grid("edsr", tables=f'{kind} = "{file}"\n' + SMALL.replace("= 8", "= 9"))
    with pytest.raises(UserError, match=r"does not fit this network: .* The file fits edsr at scale 2"):
        planned(path)
