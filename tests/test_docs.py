"""The documentation is executed: what a page shows is what runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import run_all
from datasets.sets import load
from harness.grid import GRIDS, Grid, read_grid
from harness.plan import plan
from harness.store import Store
from methods.weights import read_state
from reports.claims import read_claims
from tests.pages import (
    BLOCKS,
    COMMAND,
    DOCS,
    FILE,
    NOT_RUN,
    OTHER_SHELLS,
    PAGES,
    QUICK_START,
    ROOT,
    TUTORIAL,
    Block,
    blocks_of,
)

RUN = ["python", "run_all.py"]
INTEGRATION = "continuous integration runs it"
EXPORTS = DOCS / "exports.md"
"""Its commands are run by the tests of what they write, on a store that has every table and figure."""
ELSEWHERE = [block for block in BLOCKS if block.runs and block.page not in (TUTORIAL, QUICK_START, EXPORTS)]
TABLES_SHOWN = [block for block in BLOCKS if block.language == "toml"]
CLAIM = """\
[[claim]]
id = "shown"
statement = "what a part of a claim is put into"
source = "a page"
origin = "published"
method = "nlsn"
against = { method = "edsr" }
"""


def execute(block: Block, folder: Path) -> None:
    """Each line of a block, in `folder`; what the block does not set up by itself runs in this process."""
    for line in filter(None, block.text.splitlines()):
        words = shlex.split(line, comments=True)
        code, told = apart(words[1:], folder) if words[0] == "PYTHONPATH=." else here(words, folder)
        assert code == 0, f"{line}\n{told}"


def here(words: list[str], folder: Path) -> tuple[int, str]:
    assert words[:2] == RUN, f"{words} is not run by these tests: mark its block `<!-- not run: why -->`"
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        done = CliRunner().invoke(run_all.app, words[2:])
    return done.exit_code, f"{done.output}\n{done.exception}"


def apart(words: list[str], folder: Path) -> tuple[int, str]:
    """In a process of its own, with the folder's modules on Python's path."""
    assert words[:2] == RUN
    command = [sys.executable, str(ROOT / "run_all.py"), *words[2:]]
    environment = {**os.environ, "PYTHONPATH": "."}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def write_files(page: Path, folder: Path) -> None:
    """The files that a page tells its reader to write."""
    for block in blocks_of(page):
        if named := FILE.search(block.marks):
            with (folder / named["name"]).open("a", encoding="utf-8") as file:
                file.write(block.text)


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the tutorial's grid, made as the tutorial says, in an empty folder."""
    folder = tmp_path_factory.mktemp("tutorial")
    write_files(TUTORIAL, folder)
    for block in blocks_of(TUTORIAL):
        if block.runs:
            execute(block, folder)
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where somebody has followed the quick start, with images and an EDSR of their own."""
    folder = tmp_path_factory.mktemp("quick-start")
    write_files(QUICK_START, folder)
    (folder / "my-images").mkdir()
    for pair in list(load("builtin-test", 2))[:2]:
        Image.fromarray(pair.hr[:64, :64]).save(folder / "my-images" / f"{pair.name}.png")
    first, *others = [block for block in blocks_of(QUICK_START) if block.runs]
    execute(first, folder)
    trained = (folder / "out" / "cache" / "weights").iterdir()
    edsr = min(trained, key=lambda file: len(read_state(file)))
    shutil.copy(edsr, folder / "weights.safetensors")
    for block in others:
        execute(block, folder)
    return folder


def attempts(out: Path) -> pd.DataFrame:
    return Store(str(out / "store.sqlite")).frame("SELECT * FROM attempt")


def test_the_quick_start_succeeds(folder: Path) -> None:
    for out, kinds in (("out", {"train", "evaluate", "harm", "attention", "profile"}), ("my-images-out", {"evaluate"})):
        found = attempts(folder / out)
        assert set(found["status"]) == {"done"}
        assert set(found["kind"]) == kinds


def test_the_first_grid_of_a_reader_shares_all_trainings_but_one(folder: Path) -> None:
    asked = [
        {t.key for c in plan(read_grid(f), f.name, {}) for t in c.tasks if t.kind == "train"}
        for f in (GRIDS / "small.toml", folder / "my-grid.toml")
    ]
    assert [len(keys) for keys in asked] == [3, 3]
    assert len(asked[1] - asked[0]) == 1


def test_the_quick_start_names_what_lies_in_its_folder(folder: Path) -> None:
    told = re.findall(r"^\| `(out/[\w./]+)` \|", QUICK_START.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(told) == 4
    assert all((folder / name).exists() for name in told)


@pytest.mark.parametrize("block", ELSEWHERE, ids=lambda block: block.name)
def test_commands_work_where_the_quick_start_was_followed(block: Block, folder: Path) -> None:
    execute(block, folder)


def test_commands_of_exports_are_of_the_kinds_that_their_own_tests_run() -> None:
    lines = [line for block in blocks_of(EXPORTS) if block.runs for line in block.text.splitlines()]
    assert {tuple(line.split()[:3]) for line in lines} == {(*RUN, verb) for verb in ("table", "figure", "export")}
    tests = (ROOT / "tests" / "reports").glob("test_*.py")
    assert any('"exports.md"' in file.read_text(encoding="utf-8") for file in tests)


def test_both_methods_of_the_tutorial_are_in_the_report(tutorial: Path) -> None:
    text = tutorial.read_text(encoding="utf-8")
    for label in (
        "NLSN by length n_hashes 1",
        "NLSN by length n_hashes 2",
        "Two layers width 8",
        "Two layers width 32",
    ):
        assert label in text


def test_every_task_of_the_tutorial_is_done(tutorial: Path) -> None:
    found = attempts(tutorial.parent)
    assert set(found["status"]) == {"done"}
    counts = found["kind"].value_counts().to_dict()
    assert counts == {"train": 5, "evaluate": 5, "profile": 5 * 3, "attention": 3 * 3}


@pytest.mark.parametrize(
    "block", [each for each in blocks_of(TUTORIAL) if each.language == "python"], ids=lambda block: block.name
)
def test_each_addition_is_about_fifteen_lines(block: Block) -> None:
    lines = [line for line in block.text.splitlines() if line.strip() and '"""' not in line]
    assert len(lines) <= 18


def test_the_extra_that_the_tutorial_names_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(re.findall(r"'\.\[(\w+)\]'", TUTORIAL.read_text(encoding="utf-8"))) <= extras.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_are_closed_and_commands_are_told_from_the_rest(page: Path) -> None:
    assert not {block.language for block in blocks_of(page)} & OTHER_SHELLS
    assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks_of(page))


def test_a_block_that_is_not_run_here_says_why_or_is_run_by_continuous_integration() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for block in (each for each in BLOCKS if f"not run: {INTEGRATION}" in each.marks):
        assert all(line.removeprefix("python run_all.py ") in script for line in block.text.splitlines()), block.name
    for block in (each for each in BLOCKS if each.language == "sh" and not each.runs):
        reason, command = NOT_RUN.search(block.marks), COMMAND.search(block.marks)
        assert reason or (command and f"readme_command {command['name']})" in script), block.name


@pytest.mark.parametrize("block", TABLES_SHOWN, ids=lambda block: block.name)
def test_tables_are_read(block: Block, tmp_path: Path) -> None:
    table, file = tomllib.loads(block.text), tmp_path / "shown.toml"
    if "claim" in table or "quantity" in table:
        file.write_text(block.text if "claim" in table else CLAIM + block.text, encoding="utf-8")
        assert read_claims(file)
    elif {"name", "methods"} <= table.keys():
        file.write_text(block.text, encoding="utf-8")
        assert read_grid(file).name == table["name"]
    else:
        assert Grid.model_validate({"name": "shown", "methods": [{"name": "edsr"}]} | table)


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language == "python"], ids=lambda block: block.name)
def test_python_is_python(block: Block) -> None:
    compile(block.text, block.page.name, "exec")


def test_the_numbers_of_a_run_are_read_as_the_readme_shows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [each for each in blocks_of(ROOT / "README.md") if "read_sql" in each.text]
    *before, last = block.text.strip().splitlines()
    names: dict[str, Any] = {}
    monkeypatch.chdir(folder)
    exec("\n".join(before), names)  # noqa: S102 - what is tested
    assert "psnr_y" in set(eval(last, names)["metric"])  # noqa: S307
