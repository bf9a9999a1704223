from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from harness.grid import GRIDS, Grid, read_grid

METHODS = '[[methods]]\nname = "edsr"\n'


def read(tmp_path: Path, text: str) -> Grid:
    path = tmp_path / "grid.toml"
    path.write_text(text, encoding="utf-8")
    return read_grid(path)


@pytest.mark.parametrize("path", sorted(GRIDS.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_grids_are_valid_and_named_after_their_file(path: Path) -> None:
    assert read_grid(path).name == path.stem


def test_lists_multiply(tmp_path: Path) -> None:
    grid = read(
        tmp_path,
        """
        name = "product"
        scale = [2, 3]
        seeds = [0, 1, 2]
        [trunk]
        n_feats = [8, 16]
        [train]
        steps = [10, 20]
        milestones = [0.5, 0.75]
        [[methods]]
        name = "nlsn"
        settings = { chunk_size = [8, 16], n_hashes = [1, 2, 4] }
        [[methods]]
        name = "edsr"
        """,
    )
    cells = list(grid.cells())
    assert len(cells) == grid.size() == 2 * 3 * 2 * 2 * (6 + 1)
    assert len({str(cell) for cell in cells}) == len(cells)
    assert {cell.train.milestones for cell in cells} == {(0.5, 0.75)}
    assert {cell.train.steps for cell in cells} == {10, 20}


def test_profile_sizes_are_sorted_by_positions(tmp_path: Path) -> None:
    grid = read(tmp_path, f'name = "n"\n{METHODS}[profile]\nsizes = ["96x96", "8x200", "24x24"]\n')
    assert grid.profile.sizes == ("24x24", "8x200", "96x96")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('nmae = "x"\n', ["unknown key 'nmae'", "did you mean 'name'", "methods"]),
        ("", ["name is missing"]),
        ('name = "x"\n[train]\nstep = 3\n', ["unknown key 'train.step'", "did you mean 'steps'"]),
        ('name = "x"\n[train]\nsteps = 0\n', ["train.steps", "greater than or equal to 1", "0"]),
        ('name = "x"\n[train]\nsteps = [5, 0.5]\n', ["train.steps", "valid integer", "0.5"]),
        ('name = "x"\n[train]\nschedule = "one_cicle"\n', ["train.schedule", "'one_cycle'", "'one_cicle'"]),
        ('name = "x"\n[evaluate]\ntiling = "chopped"\n', ["evaluate.tiling", "tile:96+8", "chopped"]),
        ('name = "x"\n[evaluate]\ndatas = "a"\n', ["unknown key 'evaluate.datas'", "did you mean 'data'"]),
        ('name = "x"\n[profile]\nsizes = ["96"]\n', ["profile.sizes", "96x128", "'96'"]),
        ('name = "x"\n[profile]\nprecision = "fp8"\n', ["profile.precision", "'bf16'", "'fp8'"]),
        ('name = "x"\nscale = 5\n', ["scale", "2, 3 or 4", "5"]),
        ('name = "x"\nscale = []\n', ["scale", "at least 1"]),
        ('name = "x"\nseeds = true\n', ["seeds", "valid integer", "True"]),
        ('name = "x"\nmethods = []\n', ["methods", "at least 1"]),
        ('name = "x"\n[[methods]]\nnam = "edsr"\n', ["unknown key 'methods.", "did you mean 'name'"]),
        ('name = "x"\nscale = 2 2\n', ["at line 2"]),
        (
            'name = "x"\n[[methods]]\nname = "edsr"\nweights = "a.pt"\nstart = "b.pt"\n',
            ["methods.0", "weights are used as they are, start begins a training: give one of them"],
        ),
    ],
)
def test_a_mistake_names_file_key_and_what_is_allowed(tmp_path: Path, text: str, told: list[str]) -> None:
    with pytest.raises(UserError) as mistake:
        read(tmp_path, text if "methods" in text else text + METHODS)
    message = str(mistake.value)
    assert "grid.toml" in message
    assert "\n" not in message
    for part in told:
        assert part in message


def test_a_missing_file_names_the_grids_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no grid at .*defualt\.toml, nor .*did you mean 'default'\?"):
        read_grid(tmp_path / "defualt.toml")


@pytest.mark.fault(
    area="Hostile input",
    what="a grid of 1,000,000,000 cells",
    how="three lists of 1,000 values each",
    kept="refused before anything is made: one line with the product, the limit, and that a grid can be split",
)
def test_a_vast_product_is_refused_without_being_made(tmp_path: Path) -> None:
    numbers = ", ".join(map(str, range(1, 1001)))
    text = f'name = "vast"\nseeds = [{numbers}]\n[train]\nsteps = [{numbers}]\nbatch = [{numbers}]\n{METHODS}'
    with pytest.raises(UserError, match=r"1,000,000,000 cells"):
        read(tmp_path, text)
