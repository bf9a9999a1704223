"""The commits of a history, and what each one's own code counts: exact costs in a worktree of that commit.

A count is done once for all commits whose code counts alike, and commits share a store, so that each counts only what
no other did.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets.naming import nearest
from harness import machine
from harness.errors import UserError
from harness.records import fingerprint
from harness.sources import code_version

COUNTED_BY = ("harness", "methods", "datasets", "reports", "run_all.py")
"""What an exact count may depend on: all that is imported on its way, grids and published settings. Documentation,
tests and packaging lie elsewhere; of `reports` only code counts, as templates, claims and the committed baseline do not
change a figure."""
SHORT = 7
"""Digits of a commit that are shown."""
PLUG_IN = re.compile(r'"([\w.]+):\w+"')
"""How a grid names a method outside the repository."""
FIELDS = "%H%x1f%cs%x1f%s"
SHALLOW = "; this clone is shallow, `git fetch --unshallow` gets the rest of its history"


class UncountedError(Exception):
    """The code of a commit cannot count what was asked; the message is the last line of what it said."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit: id, subject, day it was committed (YYYY-MM-DD); commits of equal `sources` count the same."""

    id: str
    subject: str
    day: str
    sources: str

    @property
    def short(self) -> str:
        """The id as people see it."""
        return self.id[:SHORT]


def commit(revision: str) -> Commit:
    """The commit that `revision` names.

    Raises:
        UserError: there is no such commit, or no git checkout.
    """
    return _described(_resolved(revision))


def commits(since: str, until: str = "HEAD") -> tuple[Commit, ...]:
    """`since` and what followed it up to `until`, oldest first; of a merge, the side that was merged into.

    Raises:
        UserError: one of them does not exist, or `until` does not follow from `since`.
    """
    first, last = _resolved(since), _resolved(until)
    if _git("merge-base", "--is-ancestor", first, last) is None:
        raise UserError(f"{since} is no ancestor of {until}: {_related(first, last)}{_shallow()}")
    line = (_git("rev-list", "--first-parent", "--reverse", f"{first}..{last}") or "").split()
    if line and (fork := _git("rev-parse", f"{line[0]}^")) != first:
        known = f"it left the line of first parents after {_told(fork)}" if fork else "they begin apart"
        raise UserError(f"{since} came to {until} by a merge: {known}")
    return tuple(map(_described, (first, *line)))


def baseline_of(counted: Commit, folder: Path, grids: Sequence[Path] = ()) -> Path:
    """The baseline file in `folder` that the commit's own code writes, counted unless it is there already.

    `grids` are files as they are now; without, the commit's own default ones count. Methods outside the repository are
    as they are now, too.

    Raises:
        UserError: a grid cannot be read, or git cannot check the commit out.
        UncountedError: the commit's code cannot count.
    """
    path = folder / f"{_key(counted, grids)}.txt"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as unfinished, _worktree(counted) as project:
            written = Path(unfinished).resolve() / path.name
            _save(project, written, _store_folder(counted, folder), grids)
            written.replace(path)
    return path


def _save(project: Path, written: Path, out: Path, grids: Sequence[Path]) -> None:
    """Let the code in `project` write its baseline."""
    if not (project / "run_all.py").is_file():
        raise UncountedError("it has no run_all.py")
    chosen = [word for grid in grids for word in ("--grid", str(grid.resolve()))]
    words = [sys.executable, "run_all.py", "baseline", "save", str(written), "--out", str(out), *chosen]
    done = subprocess.run(words, cwd=project, env=_environment(project), capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        said = _last_line(done.stderr) or _last_line(done.stdout) or f"it ended with exit code {done.returncode}"
        raise UncountedError(said.replace(f"{project}{os.sep}", ""))
    if not written.is_file() or len(written.read_text(encoding="utf-8").splitlines()) <= 1:
        raise UncountedError("it counted nothing")


def _environment(project: Path) -> dict[str, str]:
    """The present one, in which the packages of `project` come before those of any other checkout."""
    inherited = [str(Path(place).absolute()) for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    unwrapped = {"COLUMNS": "400", "PYTHONPATH": os.pathsep.join([str(project), *inherited])}
    return _without_git() | unwrapped


def _last_line(said: str) -> str:
    """The last line of `said` that has words, without the frame that the command line draws around errors."""
    lines = [line.strip(" │") for line in said.splitlines()]
    return next((line for line in reversed(lines) if re.search(r"\w", line)), "")


@contextlib.contextmanager
def _worktree(counted: Commit) -> Iterator[Path]:
    """The project as of a commit, in a folder that is gone afterwards, whatever happens.

    Forced twice, git also removes a worktree that it locked because it was interrupted while checking it out.
    """
    with tempfile.TemporaryDirectory(prefix="nlbench-") as folder:
        tree = Path(folder).resolve() / counted.short
        try:
            if _git("-c", f"core.hooksPath={os.devnull}", "worktree", "add", "--detach", str(tree), counted.id) is None:
                raise UserError(f"cannot check out {_told(counted.id)} beside {machine.ROOT}")
            yield tree / (_git("rev-parse", "--show-prefix") or "")
        finally:
            _git("worktree", "remove", "--force", "--force", str(tree))


def _store_folder(counted: Commit, folder: Path) -> Path:
    """Older code cannot open a store that newer code has migrated, so each number of migrations has a store."""
    listed = _git("ls-tree", "--name-only", counted.id, "harness/migrations/") or ""
    return folder.resolve() / f"store-{sum(name.endswith('.sql') for name in listed.split())}"


def _key(counted: Commit, grids: Sequence[Path]) -> str:
    texts = [_text(grid) for grid in grids]
    outside = sorted({module for text in texts for module in PLUG_IN.findall(text)})
    depends = {"sources": counted.sources, "torch": machine.versions()["torch"], "grids": texts}
    return fingerprint(depends | {"outside": {module: code_version(module) for module in outside}})


def _text(grid: Path) -> str:
    try:
        return grid.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the grid {grid}: {error}") from error


def _described(found: str) -> Commit:
    told = _git("log", "-1", "--no-show-signature", f"--format={FIELDS}", found)
    assert told is not None
    name, day, subject = told.split("\x1f", maxsplit=2)
    return Commit(id=name, subject=subject, day=day, sources=_sources(name))


def _sources(found: str) -> str:
    """One word for all files that a count may depend on, from the hashes that git keeps of them."""
    listed = (_git("ls-tree", "-r", found, "--", *COUNTED_BY) or "").splitlines()
    paths = {line.partition("\t")[2]: line for line in listed}
    counting = [line for path, line in paths.items() if not path.startswith("reports/") or path.endswith(".py")]
    return fingerprint({"files": counting})


def _resolved(revision: str) -> str:
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found is None:
        if _git("rev-parse", "--git-dir") is None:
            raise UserError(f"no history: {machine.ROOT} is no git checkout, or git is not installed")
        names = (_git("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags") or "").split()
        hint = f"{nearest(revision, ['HEAD', *names])} Or the id of a commit"
        raise UserError(f"no commit {revision!r}: {hint}{_shallow()}")
    return found


def _related(first: str, last: str) -> str:
    """How two commits lie to each other, where the first is no ancestor of the last."""
    if _git("merge-base", "--is-ancestor", last, first) is not None:
        return "it is the other way round, exchange them"
    shared = _git("merge-base", first, last)
    return f"the last commit that both follow from is {_told(shared)}" if shared else "they have no commit in common"


def _told(found: str) -> str:
    return _git("log", "-1", "--no-show-signature", "--format=%h (%s)", found) or found


def _shallow() -> str:
    return SHALLOW if _git("rev-parse", "--is-shallow-repository") == "true" else ""


def _git(*arguments: str) -> str | None:
    """What git says, asked of the folder that this code lies in; None if it fails."""
    words = ["git", "-C", str(machine.ROOT), *arguments]
    try:
        done = subprocess.run(words, env=_without_git(), capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _without_git() -> dict[str, str]:
    """The environment without what git sets for its hooks, which would name another repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
