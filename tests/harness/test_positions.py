from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.grid import read_grid
from harness.plan import plan
from tests.conftest import WriteGrid


def evaluations(path: Path) -> list[tuple[str, dict[str, list[int]]]]:
    tasks = [task for cell in plan(read_grid(path), path.name, {"cpu": "one"}) for task in cell.tasks]
    return [(task.key, task.spec["at"]) for task in tasks if task.kind == "evaluate"]


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("coffe = [1, 2]", "evaluate.at: no image 'coffe' in photographs0, builtin-test: did you mean 'coffee'?"),
        ("chelsea = [1, 24]", "evaluate.at: chelsea is 32x24 at scale 2, [1, 24] is outside"),
        ("camera = [96, 2]", "evaluate.at: camera is 96x96 at scale 2, [96, 2] is outside"),
        ("coffee = [-1, 2]", "evaluate.at.coffee.0: Input should be greater than or equal to 0, not -1"),
    ],
)
def test_the_middle_of_a_crop_that_is_not_there_is_told(
    write_grid: WriteGrid, image_folder: Path, at: str, told: str
) -> None:
    path = write_grid("bicubic", evaluate=f"at = {{ {at} }}")
    path.write_text(
        path.read_text().replace(f'data = "{image_folder}"\ncrops', f'data = ["{image_folder}", "builtin-test"]\ncrops')
    )
    with pytest.raises(UserError, match=re.escape(told)):
        evaluations(path)


def test_a_position_belongs_to_the_tasks_of_sets_that_have_the_image(write_grid: WriteGrid, image_folder: Path) -> None:
    def asked(at: str) -> list[tuple[str, dict[str, list[int]]]]:
        path = write_grid("bicubic", evaluate=at)
        one, both = f'data = "{image_folder}"\ncrops', f'data = ["{image_folder}", "builtin-test"]\ncrops'
        path.write_text(path.read_text().replace(one, both))
        return evaluations(path)

    plain, placed = asked(""), asked("at = { camera = [40, 60] }")
    assert [at for _, at in placed] == [{}, {"camera": [40, 60]}]
    assert plain[0] == placed[0]
    assert plain[1][0] != placed[1][0]


def test_of_several_seeds_of_a_network_the_first_that_is_left_keeps_pictures(write_grid: WriteGrid) -> None:
    left = '[[exclude]]\nmethod = "edsr"\nseed = 3\n' + "[trunk]\nn_feats = 8\nn_resblocks = 1\n"
    path = write_grid("bicubic", "edsr", "nlsn", top="seeds = [3, 1, 2]\nscale = [2, 4]", tables=left)
    cells = plan(read_grid(path), path.name, {"cpu": "one"})
    tasks = [(cell, task) for cell in cells for task in cell.tasks if task.kind == "evaluate"]
    kept = [(cell.spec["method"], cell.scale, cell.spec["seed"]) for cell, task in tasks if task.spec["crops"]]
    assert len(tasks) == 2 * (1 + 2 + 3)
    assert sorted(kept) == sorted(
        (m, s, seed) for m, seed in (("bicubic", 0), ("edsr", 1), ("nlsn", 3)) for s in (2, 4)
    )
