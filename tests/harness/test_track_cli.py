"""The verb track, on a history made of this code: a step that is planted is found where it was planted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness.test_history import ROOT, git, worktrees

GRID = """
name = "small"
tasks = "count"
[count]
measure = true
scope = "attention"
sizes = ["16x16"]
[[methods]]
name = "nln"
settings = { n_feats = 8 }
"""
REASON = "ImportError: cannot import name 'UserError' from 'harness.errors' (harness/errors.py)"
CHANNELS = 8
ERRORS, NLA = "harness/errors.py", "methods/nla/__init__.py"
AS_RELEASED, WIDER = "DenseRecipe()", "DenseRecipe(reduction=1)"


def macs(reduction: int) -> int:
    """Of one layer, as the card of the method has it."""
    n, match = 16 * 16, CHANNELS // reduction
    return n * (2 * CHANNELS * match + CHANNELS**2) + n * n * (match + CHANNELS)


def track(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(folder / "project" / "run_all.py"), "track", "--grid", "grid.toml", *more]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def commit(project: Path, subject: str, file: str, before: str, after: str) -> None:
    """A commit that replaces a word of a file."""
    text = (project / file).read_text(encoding="utf-8")
    assert before in text
    (project / file).write_text(text.replace(before, after), encoding="utf-8")
    git(project, "commit", "-q", "-a", "-m", subject)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the present code with six commits, and what `track` said of them."""
    found = tmp_path_factory.mktemp("history")
    project = found / "project"
    for part in ("harness", "methods", "datasets", "reports"):
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("run_all.py", ".gitignore"):
        shutil.copy(ROOT / file, project)
    (project / "README.md").write_text("first")
    (found / "grid.toml").write_text(GRID)
    git(project, "init", "-q", "-b", "main")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "first")
    commit(project, "wider", NLA, AS_RELEASED, WIDER)
    commit(project, "documented", "README.md", "first", "second")
    commit(project, "broken", ERRORS, "class UserError", "class UsersError")
    commit(project, "mended", ERRORS, "class UsersError", "class UserError")
    commit(project, "undone", NLA, WIDER, AS_RELEASED)
    return found


@pytest.fixture(scope="module")
def said(folder: Path) -> str:
    done = track(folder, "--since", "HEAD~5")
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())


@pytest.fixture(scope="module")
def told(folder: Path, said: str) -> list[dict[str, Any]]:
    assert "Report:" in said
    commits: list[dict[str, Any]] = json.loads((folder / "out" / "track.json").read_text())["commits"]
    return commits


def test_each_commit_is_counted_by_its_own_code(told: list[dict[str, Any]]) -> None:
    assert [(row["subject"], row["state"]) for row in told] == [
        ("first", "counted"),
        ("wider", "counted"),
        ("documented", "same sources"),
        ("broken", "uncounted"),
        ("mended", "same sources"),
        ("undone", "same sources"),
    ]
    assert told[2]["same_as"] == told[1]["id"]
    assert told[4]["same_as"] == told[1]["id"]
    assert told[5]["same_as"] == told[0]["id"]
    assert told[3]["reason"] == REASON


def test_the_step_is_at_its_commit_and_of_its_size(told: list[dict[str, Any]]) -> None:
    assert [bool(row["steps"]) for row in told] == [False, True, False, False, False, True]
    figures = {i: [step["figures"] for step in told[i]["steps"] if step["quantity"] == "macs"] for i in (1, 5)}
    released, wider = macs(reduction=2), macs(reduction=1)
    assert figures[1] == [[{"size": "16x16", "before": released, "after": wider}]]
    assert figures[5] == [[{"size": "16x16", "before": wider, "after": released}]]


def test_the_verb_says_what_it_found(said: str, folder: Path) -> None:
    assert "6 commits: 2 counted, 3 of the same sources as one of them, 1 could not be counted." in said
    assert REASON in said
    page = (folder / "out" / "track.html").read_text(encoding="utf-8")
    assert "<figure>" in page


def test_nothing_is_counted_twice_and_nothing_stays_behind(folder: Path, said: str) -> None:
    assert said
    kept = {path: path.stat().st_mtime_ns for path in (folder / "out" / "track").glob("*.txt")}
    assert len(kept) == 2
    done = track(folder, "--since", "HEAD~3", "--bisect", "--until", "HEAD~1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path: path.stat().st_mtime_ns for path in (folder / "out" / "track").glob("*.txt")} == kept
    assert "3 commits: 1 counted, 1 of the same sources as one of them, 1 passed over." in " ".join(done.stdout.split())
    assert worktrees(folder / "project") == 1
    assert git(folder / "project", "status", "--porcelain") == ""


def test_mistakes_are_told(folder: Path) -> None:
    for arguments, message in (
        (("--since", "absent"), "no commit 'absent'"),
        (("--since", "HEAD", "--grid", "absent.toml"), "cannot read the grid"),
    ):
        done = track(folder, *arguments)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr
