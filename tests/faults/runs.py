"""Runs inside the test's process, with a hand in what happens, and what they left in the store."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file
from torch import Tensor

from harness.engines import Engine
from harness.engines.local import LocalEngine
from harness.place import Place
from harness.plan import PlannedCell
from harness.records import Outcome, Task
from harness.run import Run, prepare
from harness.store import Store
from harness.worker import Event, Job

SMALL = "settings = { chunk_size = 8 }\n[trunk]\nn_feats = 8\nn_resblocks = 1\n"
TINY = "tests.plugins:TINY"


class Hand:
    """A listener that does something when a task starts or ends."""

    def __init__(
        self, *, at_start: Callable[[Task], None] = lambda _: None, at_end: Callable[[Outcome], None] = lambda _: None
    ) -> None:
        self.at_start, self.at_end = at_start, at_end

    def begin(self, run: Run) -> None:
        pass

    def started(self, cell: PlannedCell, task: Task) -> None:  # noqa: ARG002
        self.at_start(task)

    def progress(self, cell: PlannedCell, task: Task, done: int, total: int) -> None:
        pass

    def ended(self, cell: PlannedCell, outcome: Outcome) -> None:  # noqa: ARG002
        self.at_end(outcome)


class EveryStep:
    """The engine of one machine, with a checkpoint after every step."""

    def __init__(self, place: Place) -> None:
        self.local = LocalEngine(place.logs, 600.0, place.devices)

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Event]]:
        return self.local.run(dataclasses.replace(job, checkpoint_s=0.0) for job in jobs)


def go(path: Path, place: Place, hand: Hand | None = None, engine: Engine | None = None) -> list[Outcome]:
    prepared = prepare(path, place)
    try:
        return prepared.proceed(prepared.begin(), hand or Hand(), engine)
    finally:
        prepared.store.close()


def ends(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(outcome.task.kind, outcome.status.value) for outcome in outcomes]


def attempts(place: Place) -> pd.DataFrame:
    return frame(place, "SELECT * FROM attempt ORDER BY ended_at")


def values(place: Place, metric: str) -> list[tuple[object, float]]:
    """Every number of a metric, by step or image."""
    found = frame(place, "SELECT * FROM record ORDER BY position").query(f"metric == '{metric}'")
    named = found["step"].where(found["step"].notna(), found["image"])
    return sorted(zip(named, found["value"], strict=True), key=str)


def frame(place: Place, query: str) -> pd.DataFrame:
    store = Store(place.store)
    try:
        return store.frame(query)
    finally:
        store.close()


def weights(place: Place) -> dict[str, Tensor]:
    """Copies: what is loaded shares its memory with the file."""
    (file,) = (place.cache.folder / "weights").glob("*.safetensors")
    return {name: tensor.clone() for name, tensor in load_file(file).items()}
