"""The engine of one machine: each cell in a fresh process; nothing runs beside what takes times on a device."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from multiprocessing.connection import wait
from pathlib import Path

from harness.engines.attempt import BROKEN_OFF, Attempt
from harness.isolate import Report, Worker, WorkerDiedError
from harness.records import Outcome, Status
from harness.worker import Event, Job, run_cell

VISIBLE = "CUDA_VISIBLE_DEVICES"


class LocalEngine:
    """Runs jobs on this machine, `cells` on each of `devices` at a time; output of methods goes to `logs`.

    With more than one on a device, tasks that take times wait until all others have ended, and are then done one at a
    time. A task may take `task_s` seconds. Where a device is another than the job names, which happens among several
    GPUs, the process sees that one alone, under the job's name for it: what it records does not tell which it got.
    """

    def __init__(self, logs: Path, task_s: float, devices: Sequence[str], cells: int = 1) -> None:
        self.logs, self.task_s, self.devices, self.cells = logs, task_s, tuple(devices), cells

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Event]]:
        """Yield the events of all jobs; after the death of a process its remaining tasks go on in a new one."""
        if self.cells == 1:
            yield from self._at(self.devices, jobs)
            return
        parts = [_apart(job) for job in jobs]
        yield from self._at(self.devices * self.cells, chain.from_iterable(together for together, _ in parts))
        yield from self._at(self.devices, chain.from_iterable(alone for _, alone in parts))

    def _at(self, places: Sequence[str], jobs: Iterable[Job]) -> Generator[tuple[Job, Event]]:
        """One job at each of `places`, which are devices, at a time."""
        waiting, free = iter(jobs), list(reversed(places))
        busy: list[_Cell] = []
        try:
            while True:
                while free and (job := next(waiting, None)) is not None:
                    busy.append(_Cell(job, free.pop(), self.logs, self.task_s))
                if not busy:
                    return
                for cell in _ready(busy):
                    yield from ((cell.job, event) for event in cell.take())
                    if cell.done:
                        busy.remove(cell)
                        free.append(cell.device)
        finally:
            _stop(busy)


class _Cell:
    """A job on its device, in one process after another until all of it has ended."""

    def __init__(self, job: Job, device: str, logs: Path, task_s: float) -> None:
        self.job, self.device, self.task_s = job, device, task_s
        self.log = logs / f"{job.cell.key}.log"
        self.open = contextlib.ExitStack()
        self._begin(job)

    def take(self) -> Iterator[Event]:
        """What the process has to tell now; after its death the outcome of the task under way, and a new process."""
        try:
            event = next(self.messages)
        except StopIteration:
            yield from self._end(self.attempt.failure(Status.ERROR, f"{BROKEN_OFF}; see {self.log.name}"))
        except TimeoutError:
            yield from self._end(self.attempt.overdue())
        except WorkerDiedError as error:
            status = Status.OUT_OF_MEMORY if error.killed_for_memory else Status.ERROR
            yield from self._end(self.attempt.failure(status, f"{error}; see {self.log.name}"))
        else:
            self.attempt.note(event)
            yield event

    def _end(self, death: Outcome | None) -> Iterator[Event]:
        self.open.close()
        if death is not None:
            yield death
        self.done = not self.attempt.waiting
        if not self.done:
            self._begin(self.attempt.remaining)

    def _begin(self, job: Job) -> None:
        self.attempt, self.done = Attempt(job, self.task_s), False
        self.worker = self.open.enter_context(Worker(run_on, (job, self.device), self.log))
        self.messages = self.worker.messages(self.attempt.left_s)


def run_on(where: tuple[Job, str], report: Report) -> None:
    """In the worker: carry out the job on the device; a GPU with another name than the job's is the only one seen."""
    job, device = where
    if device != job.device:
        index = int(device.partition(":")[2])
        shown = os.environ.get(VISIBLE)
        os.environ[VISIBLE] = shown.split(",")[index] if shown else str(index)
    run_cell(job, report)


def _apart(job: Job) -> tuple[list[Job], list[Job]]:
    """The job's tasks that may go on beside others, and those that take times; each as a job if there are any."""
    parts = ([task for task in job.tasks if task.timed is timed] for timed in (False, True))
    together, alone = ([dataclasses.replace(job, tasks=tuple(part))] if part else [] for part in parts)
    return together, alone


def _ready(busy: Sequence[_Cell]) -> list[_Cell]:
    """Those with something to tell, or past their time; waits for the first."""
    left_s = min(cell.attempt.left_s() for cell in busy)
    told = wait([cell.worker.pipe for cell in busy], timeout=max(0.0, left_s))
    return [cell for cell in busy if cell.worker.pipe in told or cell.attempt.left_s() <= 0]


def _stop(busy: Sequence[_Cell]) -> None:
    """Have all save what they have, at the same time, and end."""
    if busy:
        with ThreadPoolExecutor(len(busy)) as pool:
            list(pool.map(lambda cell: cell.worker.ask_to_stop(), busy))
    for cell in busy:
        cell.open.close()
