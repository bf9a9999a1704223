from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from datasets.sets import read_image
from harness.place import Place
from harness.store import Store

WriteGrid = Callable[..., Path]

GRID = """
name = "test"
{top}
[train]
data = "{train}"
steps = {steps}
batch = 2
patch = 8
{budget}
[evaluate]
data = "{test}"
crops = 1
{evaluate}
[profile]
sizes = {sizes}
warm_up_s = 0.0
budget_s = 0.01
{tables}
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Networks of tests are tiny: on a busy machine, threads that wait for each other take ten times as long."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small photographs, so that a task takes milliseconds."""
    import skimage

    folder = tmp_path_factory.mktemp("photographs")
    for name in ("chelsea", "coffee"):
        image = read_image(Path(skimage.__file__).parent / "data" / f"{name}.png")
        Image.fromarray(image[100:164, 100:148]).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def write_grid(tmp_path: Path, image_folder: Path) -> WriteGrid:
    """Writes a grid of the given method addresses; every part of it can be replaced."""

    def write(*methods: str, tables: str = "", sizes: str = '["8x8", "12x16"]', steps: int = 4, **parts: str) -> Path:
        entries = "\n".join(f'[[methods]]\nname = "{method}"' for method in methods)
        blanks = {"top": "", "budget": "", "evaluate": "", "train": image_folder, "test": image_folder}
        text = GRID.format(**{**blanks, **parts, "steps": steps, "sizes": sizes, "tables": entries + "\n" + tables})
        path = tmp_path / "grid.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.of(tmp_path / "out", device="cpu", threads=2)


@pytest.fixture
def store(place: Place) -> Store:
    place.make()
    return Store(place.store)
