"""The documentation is executed: what a page shows is what runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from harness.store import Store

ROOT = Path(__file__).resolve().parents[1]
TUTORIAL = ROOT / "docs" / "adding-a-method.md"
BLOCK = re.compile(r"<!-- file: (?P<file>[\w.-]+)(?:, continued)? -->\n```\w+\n(?P<text>.*?)```\n", re.DOTALL)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the tutorial's grid, made as the tutorial says, in an empty folder."""
    folder = tmp_path_factory.mktemp("tutorial")
    for block in BLOCK.finditer(TUTORIAL.read_text(encoding="utf-8")):
        with (folder / block["file"]).open("a", encoding="utf-8") as file:
            file.write(block["text"])
    command = re.search(r"PYTHONPATH=\. python run_all\.py (.*)", TUTORIAL.read_text(encoding="utf-8"))
    assert command is not None
    words = [sys.executable, str(ROOT / "run_all.py"), *command[1].split()]
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out" / "report.html"


def test_both_methods_of_the_tutorial_are_in_the_report(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for label in (
        "NLSN by length n_hashes 1",
        "NLSN by length n_hashes 2",
        "Two layers width 8",
        "Two layers width 32",
    ):
        assert label in text


def test_every_task_of_the_tutorial_is_done(page: Path) -> None:
    attempts: pd.DataFrame = Store(str(page.with_name("store.sqlite"))).frame("SELECT * FROM attempt")
    assert set(attempts["status"]) == {"done"}
    counts = attempts["kind"].value_counts().to_dict()
    assert counts == {"train": 5, "evaluate": 5, "profile": 5 * 3, "attention": 3 * 3}


@pytest.mark.parametrize(
    "block", [b for b in BLOCK.finditer(TUTORIAL.read_text(encoding="utf-8")) if b["file"].endswith(".py")]
)
def test_each_addition_is_about_fifteen_lines(block: re.Match[str]) -> None:
    lines = [line for line in block["text"].splitlines() if line.strip() and '"""' not in line]
    assert len(lines) <= 18


def test_the_extra_that_the_tutorial_names_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(re.findall(r"'\.\[(\w+)\]'", TUTORIAL.read_text(encoding="utf-8"))) <= extras.keys()
