"""The verb `data`: what it prints, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from datasets.manifest import Entry, names
from harness.data import app
from harness.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with Set5 in EDSR's layout."""
    for number, name in enumerate("abcde"):
        for place, side in ((f"HR/{name}", 8), (f"LR_bicubic/X2/{name}x2", 4), (f"LR_bicubic/X4/{name}x4", 2)):
            file = tmp_path / "benchmark" / "Set5" / f"{place}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((side, side, 3), number, dtype=np.uint8)).save(file)
    monkeypatch.setenv("NLBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "500")
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def row(name: str) -> list[str]:
    lines = (line.strip("│ \n").split("│") for line in run("list").stdout.splitlines())
    return next([cell.strip() for cell in line] for line in lines if line[0].strip() == name)


def test_list_has_every_set_and_where_it_is(data: Path) -> None:
    assert [row(name)[0] for name in names()] == names()
    assert row("Set5") == ["Set5", "5", "x2 x4", f"{data}/benchmark/Set5"]
    assert row("Set14") == ["Set14", "14", "", "not there: data fetch Set14"]
    assert row("Manga109")[3] == "not there: it is given to those who register"
    assert row("builtin-test") == ["builtin-test", "6", "made", "scikit-image"]


def test_list_tells_of_a_set_that_cannot_be_loaded(data: Path) -> None:
    (data / "benchmark" / "Set5" / "HR" / "a.png").unlink()
    name, count, scales, where = row("Set5")
    assert (name, count, scales) == ("Set5", "?", "x2 x4")
    assert "ax2.png has no high-resolution image beside it" in where


def test_path_prints_the_folder_alone(data: Path) -> None:
    assert run("path", "Set5").stdout == f"{data}/benchmark/Set5\n"
    assert run("path", f"{data}/benchmark/Set5/HR").stdout == f"{data}/benchmark/Set5/HR\n"


def test_verify_takes_every_set_there_is(data: Path) -> None:
    ended = run("verify")
    assert ended.exit_code == 0
    assert ended.stdout.splitlines() == ["Set5: whole", "builtin-test: whole", "builtin-train: whole"]
    (data / "benchmark" / "Set5" / "HR" / "a.png").write_bytes(b"")
    ended = run("verify", "Set5")
    assert ended.exit_code == 1
    assert ended.stdout.startswith("Set5: not whole\n  cannot read image ")
    assert len(ended.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("path", "Set14"), "data set Set14 is not in"),
        (("path", "Sat5"), "did you mean 'Set5'?"),
        (("path", "./absent"), "no folder of images at absent"),
        (("verify", "Set14"), "data set Set14 is not in"),
        (("fetch", "Manga109"), "Manga109 cannot be fetched"),
    ],
)
@pytest.mark.usefixtures("data")
def test_mistakes_are_told(words: tuple[str, ...], message: str) -> None:
    ended = run(*words)
    assert isinstance(ended.exception, UserError)
    assert message in str(ended.exception)


@pytest.mark.usefixtures("data")
def test_fetch_takes_several_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Entry(name="Own", count=1, folders=("Own",), fetch=("http://127.0.0.1:1/own.tar",))
    monkeypatch.setattr("datasets.manifest.manifest", lambda: {"Own": nowhere})
    ended = run("fetch", "Own", "Own")
    assert ended.stdout.startswith("http://127.0.0.1:1/own.tar -> ")
    assert "cannot fetch Own" in str(ended.exception)


@pytest.mark.parametrize("words", [("fetch", "Manga109"), ("path", "Set5")])
def test_the_command_line_ends_with_one_message_and_code_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "run_all.py"), "data", *words],
        env={**os.environ, "NLBENCH_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert len(ended.stderr.splitlines()) == 1
    assert str(tmp_path) in ended.stderr
