"""What a run asked for and has no figures of, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from harness.records import EXECUTIONS, Status, executed
from reports.frames import NOT_RUN, Frames
from reports.tables import TIMES

WORDS = {
    NOT_RUN: "not run yet",
    Status.SKIPPED: "skipped",
    Status.OUT_OF_MEMORY: "out of memory",
    Status.DIVERGED: "diverged",
    Status.TIMEOUT: "timeout",
    Status.ERROR: "error",
    Status.DONE: "done",
}
"""Statuses as the page writes them."""


def failures(frames: Frames) -> pd.DataFrame:
    """The wanted tasks whose latest attempt is not done: label, scale, seed, kind, place, status, reason."""
    tasks = frames.tasks
    return _named(tasks[~tasks["status"].isin([Status.DONE, NOT_RUN])])


def not_run(frames: Frames) -> pd.DataFrame:
    """The wanted tasks without an attempt, counted by label, scale and kind."""
    tasks = frames.tasks[frames.tasks["status"] == NOT_RUN]
    counted = tasks.groupby(["label", "scale", "kind"], sort=False, dropna=False).size()
    return counted.rename("tasks").reset_index()


def failure_lines(frames: Frames) -> tuple[str, ...]:
    """The same as plain text, a line per failure and one for all that was not run."""
    rows = failures(frames)
    lines = [
        f"{row['label']} {TIMES}{row['scale']} seed {row['seed']}: {row['kind']} {row['place']}".rstrip()
        + f": {row['status']}: {row['reason']}"
        for row in rows.to_dict("records")
    ]
    tasks = frames.tasks.drop_duplicates("task_key")
    waiting = int((tasks["status"] == NOT_RUN).sum())
    return (*lines, f"{waiting} of {len(tasks)} tasks not run yet") if waiting else tuple(lines)


def why_missing(tasks: Iterable[Mapping[str, Any]], kind: str, **place: Any) -> str:
    """Why the `tasks` of one label have no figure of `kind` at `place`, in one line."""
    asked = [task for task in tasks if task["kind"] == kind]
    if not asked:
        return "not asked for"
    here = [task for task in asked if all(task[name] == value for name, value in place.items())]
    failed = [task for task in here if task["status"] not in {Status.DONE, NOT_RUN}]
    if failed:
        last = failed[-1]
        return f"{WORDS.get(last['status'], last['status'])}: {last['reason']}"
    return "not run yet" if any(task["status"] == NOT_RUN for task in asked) else "not measured"


def _named(tasks: pd.DataFrame) -> pd.DataFrame:
    named = tasks[["label", "scale", "seed", "kind", "reason"]].copy()
    named["status"] = [WORDS.get(status, status) for status in tasks["status"]]
    named["place"] = [
        _place(row) for row in tasks[["dataset", "tiling", "precision", "size", *EXECUTIONS]].to_dict("records")
    ]
    return named.reset_index(drop=True)


def _place(row: Mapping[Any, Any]) -> str:
    """Size or data set of a task, and how it was run, as far as they are known."""
    parts = [row[name] for name in ("size", "dataset", "tiling", "precision")]
    return ", ".join([*(str(part) for part in parts if _known(part)), *executed(row)])


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and value != value)  # noqa: PLR0124 - NaN has no other test
