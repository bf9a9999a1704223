"""The sides of a comparison: a baseline file, runs of a store, a whole store, a commit, or the present code."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from harness.errors import UserError
from harness.grid_tables import Threshold
from harness.options import SQLITE, existing_store
from harness.store import Store
from reports.allowances import allowed, thresholds
from reports.baseline import Figures, figures, read
from reports.changes import Change
from reports.compare import exact_changes
from reports.frames import Frames, load
from reports.quality_changes import quality_changes
from reports.time_changes import not_compared, time_changes

BASELINE = ".txt"
NEWEST = "SELECT id, grid_name, commit_id, dirty FROM run ORDER BY started_at"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """What a side was told to be, its exact figures, and runs whose scores and times are compared as well."""

    told: str
    exact: Figures
    runs: Sequence[Frames] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finder:
    """Finds sides: in the store that options name (None: there is none), and by counting what a commit costs.

    `commit` gives the full id of a revision, or None; `count` the exact figures of a commit.
    """

    store: Store | None
    commit: Callable[[str], str | None]
    count: Callable[[str], Figures]

    def side(self, told: str) -> Side:
        """A file, a store, a run or a commit.

        Raises:
            UserError: it is none of these, or both a run and a commit.
        """
        path = Path(told)
        if "://" in told or path.suffix in SQLITE:
            return self._of_store(told)
        if path.suffix == BASELINE or path.is_file():
            return Side(told=told, exact=read(path))
        runs = [run for run in self._runs() if run.startswith(told)]
        commit = self.commit(told)
        if runs and commit:
            raise UserError(f"{told!r} begins both a run and a commit: write more of it")
        if not runs and not commit:
            known = ", ".join(run[:8] for run in self._runs()[-5:])
            raise UserError(
                f"no run begins with {told!r}, and no commit or file is called so. Latest runs: {known or 'none'}"
            )
        return self._of_commit(told, commit) if commit else self._of_run(told)

    def _of_store(self, told: str) -> Side:
        store = existing_store(Path(), told)
        runs = _newest(store)
        store.close()
        return _measured(told, runs)

    def _of_run(self, told: str) -> Side:
        assert self.store is not None
        return _measured(told, [load(self.store, self.store.run_id(told), pictures=False)])

    def _of_commit(self, told: str, commit: str) -> Side:
        """The newest run of every grid at that commit without further changes; exact figures are counted if need be."""
        found = _measured(told, _newest(self.store, commit) if self.store else [])
        return found if found.exact else dataclasses.replace(found, exact=self.count(commit))

    def _runs(self) -> list[str]:
        return list(self.store.frame(NEWEST)["id"]) if self.store else []


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """All changes, how many exact figures stayed equal, and what was not compared and why."""

    changes: tuple[Change, ...]
    equal: int
    remarks: tuple[str, ...]


def compared(before: Side, after: Side, asked: Sequence[Threshold] = ()) -> Compared:
    """Every figure of `before` beside that of `after`, judged by its own rule and by what was `asked` to be allowed.

    Thresholds of the grids of `after` hold where none are asked for.
    """
    exact = exact_changes(before.exact, after.exact)
    changes = [*exact, *quality_changes(before.runs, after.runs), *time_changes(before.runs, after.runs)]
    limits = asked or [limit for frames in after.runs for limit in thresholds(str(frames.run["grid"]))]
    return Compared(
        changes=tuple(allowed(changes, limits)),
        equal=sum(map(len, before.exact.values())) - sum(each.before is not None for each in exact),
        remarks=tuple(_remarks(before, after)),
    )


def _remarks(before: Side, after: Side) -> Iterable[str]:
    if bool(before.runs) == bool(after.runs):
        return not_compared(before.runs, after.runs)
    lacking = after if before.runs else before
    return [f"{lacking.told} holds exact costs alone: scores and times are not compared."]


def _measured(told: str, runs: Sequence[Frames]) -> Side:
    return Side(told=told, exact=figures(runs), runs=tuple(runs))


def _newest(store: Store, commit: str | None = None) -> list[Frames]:
    """The newest run of every grid, oldest first; of those that one commit made, if it is named."""
    runs = store.frame(NEWEST)
    if commit:
        runs = runs[(runs["commit_id"] == commit) & (runs["dirty"] == 0)]
    return [load(store, str(run), pictures=False) for run in runs.drop_duplicates("grid_name", keep="last")["id"]]
