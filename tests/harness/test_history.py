"""A history is walked as git has it, and a commit is counted by its own code, of which nothing stays behind."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import history, machine
from harness.errors import UserError
from harness.history import UncountedError, baseline_of, commit, commits

ROOT = Path(__file__).resolve().parents[2]
COUNTS = """
import os, sys, methods
assert sys.argv[1:3] == ["baseline", "save"] and sys.argv[4] == "--out"
with open(sys.argv[3], "w") as file:
    print("# nlbench baseline of exact costs", file=file)
    print("x {} | w | 2x2 | macs", methods.MACS, "grids", len(sys.argv[6:]) // 2, file=file)
os.makedirs(sys.argv[5], exist_ok=True)
with open(os.path.join(sys.argv[5], "times.txt"), "a") as file:
    file.write("counted ")
"""
Commit = Callable[..., str]


def git(folder: Path, *arguments: str) -> str:
    words = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e", *arguments]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository, in which history looks."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    monkeypatch.setattr(machine, "ROOT", folder)
    return folder


@pytest.fixture
def made(project: Path) -> Commit:
    """Commits files given by path and text; returns the id."""

    def make(subject: str, files: dict[str, str]) -> str:
        for path, text in files.items():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(text)
        git(project, "add", "-A")
        git(project, "commit", "-q", "--allow-empty", "-m", subject)
        return git(project, "rev-parse", "HEAD")

    return make


def counting(macs: int) -> dict[str, str]:
    return {"run_all.py": COUNTS, "methods/__init__.py": f"MACS = {macs}\n"}


def worktrees(project: Path) -> int:
    return len(git(project, "worktree", "list").splitlines())


def test_a_history_begins_with_since_and_goes_along_first_parents(project: Path, made: Commit) -> None:
    made("before", {})
    first = made("first", {})
    git(project, "checkout", "-q", "-b", "side")
    made("on the side", {"a": "1"})
    git(project, "checkout", "-q", "main")
    second = made("second", {"b": "1"})
    git(project, "merge", "-q", "--no-ff", "-m", "merge", "side")
    found = commits(first, "main")
    assert [each.subject for each in found] == ["first", "second", "merge"]
    assert [each.id for each in found[:2]] == [first, second]
    assert found[0] == commit("main~2")
    assert found[0].day == git(project, "log", "-1", "--format=%cs", first)
    assert commits("HEAD") == (commit("HEAD"),)


def test_only_what_a_count_may_depend_on_changes_the_sources(made: Commit) -> None:
    def changed(files: dict[str, str]) -> bool:
        before = commit("HEAD").sources
        made("more", files)
        return commit("HEAD").sources != before

    made("first", {"reports/baseline.py": "", "harness/grids/exact.toml": ""})
    for path in ("docs/a.md", "tests/test_a.py", "reports/templates/a.html", "reports/baseline.txt", "pyproject.toml"):
        assert not changed({path: "x"}), path
    for path in ("reports/baseline.py", "harness/grids/exact.toml", "methods/new.py", "datasets/a.py", "run_all.py"):
        assert changed({path: "x"}), path


def test_a_commit_undone_has_the_sources_of_the_one_before(made: Commit) -> None:
    for text in ("1", "2", "1"):
        made(text, {"methods/a.py": text})
    one, other, undone = commits("HEAD~2")
    assert one.sources == undone.sources != other.sources


def test_an_unknown_revision_is_told_with_the_nearest(project: Path, made: Commit) -> None:
    made("first", {})
    git(project, "tag", "v1.0")
    for asked in ("v1.1", "--all"):
        with pytest.raises(UserError, match=rf"no commit '{asked}': .*Allowed: HEAD, main, v1.0\. Or the id"):
            commit(asked)
    with pytest.raises(UserError, match=r"did you mean 'v1\.0'\?"):
        commits("HEAD", "v1.1")


def test_a_since_that_is_no_ancestor_is_told_with_how_they_lie(project: Path, made: Commit) -> None:
    made("shared", {})
    made("later", {})
    with pytest.raises(UserError, match="HEAD is no ancestor of HEAD~1: it is the other way round"):
        commits("HEAD", "HEAD~1")
    git(project, "checkout", "-q", "-b", "side", "HEAD~1")
    made("on the side", {"a": "1"})
    with pytest.raises(UserError, match=r"the last commit that both follow from is \w+ \(shared\)"):
        commits("side", "main")
    git(project, "checkout", "-q", "main")
    git(project, "merge", "-q", "--no-ff", "-m", "merge", "side")
    with pytest.raises(UserError, match=r"side came to main by a merge: it left .* after \w+ \(shared\)"):
        commits("side", "main")
    git(project, "checkout", "-q", "--orphan", "apart")
    made("apart", {})
    with pytest.raises(UserError, match="they have no commit in common"):
        commits("apart", "main")


def test_a_shallow_clone_is_told_as_one(
    project: Path, made: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made("first", {})
    made("second", {})
    git(tmp_path, "clone", "-q", "--depth", "1", project.as_uri(), "shallow")
    monkeypatch.setattr(machine, "ROOT", tmp_path / "shallow")
    with pytest.raises(UserError, match="this clone is shallow, `git fetch --unshallow`"):
        commits(first)


def test_outside_a_checkout_there_is_no_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    with pytest.raises(UserError, match=rf"{tmp_path} is no git checkout"):
        commit("HEAD")


@pytest.mark.parametrize("safe_path", ["", "1"])
def test_the_code_of_the_commit_counts_and_nothing_stays_behind(
    project: Path, made: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, safe_path: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONSAFEPATH", safe_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    for macs in (3, 5):
        monkeypatch.delenv("GIT_DIR", raising=False)
        made(str(macs), counting(macs))
        monkeypatch.setenv("GIT_DIR", str(tmp_path))
    for found, macs in zip(commits("HEAD~1"), (3, 5), strict=True):
        file = baseline_of(found, tmp_path / "found")
        assert f"macs {macs} grids 0" in file.read_text()
    monkeypatch.delenv("GIT_DIR")
    assert worktrees(project) == 1
    assert list((tmp_path / "temporary").iterdir()) == []
    assert git(project, "status", "--porcelain") == ""


def test_equal_sources_are_counted_once_and_grids_apart(made: Commit, tmp_path: Path) -> None:
    made("first", counting(3))
    made("documented", {"docs/a.md": "x"})
    first, documented = commits("HEAD~1")
    file = baseline_of(first, tmp_path)
    assert baseline_of(documented, tmp_path) == file
    assert (tmp_path / "store-0" / "times.txt").read_text().split() == ["counted"]
    grid = tmp_path / "grid.toml"
    found = []
    for text in ("a", "b", 'name = "tests.plugins:TINY"'):
        grid.write_text(text)
        found.append(baseline_of(first, tmp_path, [grid]))
        assert "grids 1" in found[-1].read_text()
    assert len({file, *found}) == 4
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == set()


def test_what_a_plug_in_is_made_of_belongs_to_the_key(
    made: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.sources import code_version

    made("first", counting(3))
    monkeypatch.syspath_prepend(tmp_path)
    grid, found = tmp_path / "grid.toml", []
    grid.write_text('[[methods]]\nname = "plugged:METHOD"\n')
    for text in ("METHOD = 1", "METHOD = 2"):
        (tmp_path / "plugged.py").write_text(text)
        code_version.cache_clear()
        found.append(baseline_of(commit("HEAD"), tmp_path, [grid]))
    assert found[0] != found[1]


def test_a_plug_in_is_found_as_it_is_from_here(made: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made("first", counting(3) | {"run_all.py": f"import plugged\n{COUNTS}"})
    (tmp_path / "plugged.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(UncountedError, match="No module named 'plugged'"):
        baseline_of(commit("HEAD"), tmp_path / "found")
    monkeypatch.setenv("PYTHONPATH", ".")
    assert "macs 3" in baseline_of(commit("HEAD"), tmp_path / "found").read_text()


def test_commits_share_a_store_unless_their_migrations_differ(made: Commit, tmp_path: Path) -> None:
    made("first", {**counting(3), "harness/migrations/0001_a.sql": ""})
    made("second", counting(5))
    made("third", {"harness/migrations/0002_b.sql": "", "harness/migrations/README.md": ""})
    for found in commits("HEAD~2"):
        baseline_of(found, tmp_path)
    times = {path.parent.name: path.read_text().split() for path in tmp_path.glob("*/times.txt")}
    assert times == {"store-1": ["counted"] * 2, "store-2": ["counted"]}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"README.md": "x"}, "it has no run_all.py"),
        ({"run_all.py": "import absent_package"}, "ModuleNotFoundError: No module named 'absent_package'"),
        ({"run_all.py": "def"}, "SyntaxError: invalid syntax"),
        ({"run_all.py": "raise SystemExit('╭─ Error ─╮\\n│ No such command. │\\n╰────────╯')"}, "No such command."),
        ({"run_all.py": "raise SystemExit(f'error: {__file__} is old')"}, "error: run_all.py is old"),
        ({"run_all.py": "import os; os._exit(7)"}, "it ended with exit code 7"),
        ({"run_all.py": "pass"}, "it counted nothing"),
        ({"run_all.py": "import sys; open(sys.argv[3], 'w').write('# first\\n')"}, "it counted nothing"),
    ],
)
def test_a_commit_that_cannot_count_is_told_by_its_last_line(
    project: Path, made: Commit, tmp_path: Path, files: dict[str, str], told: str
) -> None:
    made("first", files)
    with pytest.raises(UncountedError) as found:
        baseline_of(commit("HEAD"), tmp_path / "found")
    assert str(found.value) == told
    assert worktrees(project) == 1
    assert list((tmp_path / "found").iterdir()) == []


def test_an_interrupted_count_leaves_nothing(
    project: Path, made: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made("first", counting(3))
    seen: list[Path] = []

    def interrupt(project: Path, *_: object) -> None:
        seen.append(project)
        assert (project / "run_all.py").is_file()
        raise KeyboardInterrupt

    monkeypatch.setattr(history, "_save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        baseline_of(commit("HEAD"), tmp_path / "found")
    assert [place.exists() for place in seen] == [False]
    assert worktrees(project) == 1
    assert list((tmp_path / "found").iterdir()) == []


def test_a_commit_that_git_cannot_check_out_is_told(project: Path, made: Commit, tmp_path: Path) -> None:
    made("first", counting(3))
    lost = dataclasses.replace(commit("HEAD"), id="0123" * 10)
    with pytest.raises(UserError, match=r"cannot check out 0123.* beside"):
        baseline_of(lost, tmp_path / "found")
    assert worktrees(project) == 1
    assert list((tmp_path / "found").iterdir()) == []


def test_a_project_may_lie_in_a_folder_of_its_repository(
    project: Path, made: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made("first", {f"inner/{path}": text for path, text in counting(3).items()})
    made("beside", {"methods/a.py": "x"})
    monkeypatch.setattr(machine, "ROOT", project / "inner")
    first, beside = commits("HEAD~1")
    assert first.sources == beside.sources
    assert "macs 3" in baseline_of(first, tmp_path / "found").read_text()


def test_a_grid_that_cannot_be_read_is_the_users_mistake(made: Commit, tmp_path: Path) -> None:
    made("first", counting(3))
    with pytest.raises(UserError, match=r"cannot read the grid .*absent\.toml"):
        baseline_of(commit("HEAD"), tmp_path, [tmp_path / "absent.toml"])
