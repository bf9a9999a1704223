"""The engine of one machine: each cell in a fresh process, one at a time, so that nothing disturbs what is timed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator
from pathlib import Path

from harness.isolate import Worker, WorkerDiedError
from harness.records import Outcome, Status, Task
from harness.worker import Event, Job, Started, run_cell


class LocalEngine:
    """Runs jobs on this machine; output of methods goes to `logs`, and a task may take `task_s` seconds."""

    def __init__(self, logs: Path, task_s: float) -> None:
        self.logs, self.task_s = logs, task_s

    def run(self, job: Job) -> Generator[Event]:
        """Yield the events of `job`; after the death of its process the remaining tasks go on in a new one."""
        while job.tasks:
            attempt = _Attempt(job, self.task_s)
            log = self.logs / f"{job.cell.key}.log"
            with Worker(run_cell, job, log) as worker:
                try:
                    for event in worker.messages(attempt.left_s):
                        attempt.note(event)
                        yield event
                except (TimeoutError, WorkerDiedError) as error:
                    death = attempt.failure(error, log)
                except (KeyboardInterrupt, GeneratorExit):
                    worker.ask_to_stop()
                    raise
                else:
                    return
            yield death
            job = attempt.remaining(death)


class _Attempt:
    """One process's way through a job: which task is under way, since when, and what has ended."""

    def __init__(self, job: Job, task_s: float) -> None:
        self.job, self.task_s = job, task_s
        self.known = dict(job.known)
        self.waiting = list(job.tasks)
        self.started = time.monotonic()

    def left_s(self) -> float:
        return self.started + self.task_s - time.monotonic()

    def note(self, event: Event) -> None:
        if isinstance(event, Started):
            self.started = time.monotonic()
        elif isinstance(event, Outcome):
            self._ended(event)

    def failure(self, error: TimeoutError | WorkerDiedError, log: Path) -> Outcome:
        """The outcome of the task under which the process died or was ended."""
        seconds = time.monotonic() - self.started
        task: Task = self.waiting[0]
        if isinstance(error, TimeoutError):
            reason = f"not done after {self.task_s:g} s"
            return Outcome(task=task, status=Status.TIMEOUT, seconds=seconds, reason=reason)
        status = Status.OUT_OF_MEMORY if error.killed_for_memory else Status.ERROR
        return Outcome(task=task, status=status, seconds=seconds, reason=f"{error}; see {log.name}")

    def remaining(self, death: Outcome) -> Job:
        """The job less all that has ended, `death` included."""
        self._ended(death)
        return dataclasses.replace(self.job, tasks=tuple(self.waiting), known=self.known)

    def _ended(self, outcome: Outcome) -> None:
        self.known[outcome.task.key] = outcome.status
        self.waiting = [task for task in self.waiting if task.key != outcome.task.key]
