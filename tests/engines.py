"""What tests of engines share: a listener that acts while a run goes on, and the figures that no engine may change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.engines import Engine
from harness.isolate import start_server
from harness.place import Place
from harness.plan import PlannedCell
from harness.records import METRICS, Outcome, Record, Task
from harness.run import Run, prepare

MEASURED = ("s", "MHz")
VARYING = ("load_average", "rss_bytes", "converged", "race_converged")


class Hearer:
    """Keeps what it hears as words, and calls `act` at each step of progress."""

    def __init__(self, act: Callable[[PlannedCell, Task, int], None] = lambda *_: None) -> None:
        self.heard: list[str] = []
        self.act = act

    def begin(self, run: Run) -> None:
        pass

    def started(self, cell: PlannedCell, task: Task) -> None:
        self.heard.append(f"start {cell.label} {task.kind}")

    def progress(self, cell: PlannedCell, task: Task, done: int, total: int) -> None:  # noqa: ARG002
        self.act(cell, task, done)

    def ended(self, cell: PlannedCell, outcome: Outcome) -> None:
        self.heard.append(f"end {cell.label} {outcome.task.kind}")


def go(path: Path, place: Place, make: Callable[[Run], Engine], hearer: Hearer | None = None) -> list[Outcome]:
    """The outcomes of the grid at `path`, by the engine that `make` gives for its run."""
    start_server()
    run = prepare(path, place)
    try:
        return run.proceed(run.begin(), hearer or Hearer(), make(run))
    finally:
        run.store.close()


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What was scored and counted, and how each task ended, by task: times and what sensors tell are left out."""
    return {o.task.key: (o.status, o.reason, sorted(map(str, filter(_counted, o.records)))) for o in outcomes}


def _counted(record: Record) -> bool:
    return METRICS[record.metric].unit not in MEASURED and record.metric not in VARYING
