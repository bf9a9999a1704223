"""One process's way through a job, for whoever watches it: what is under way, and what is left when it dies."""

from __future__ import annotations

import dataclasses
import time

from harness.records import Outcome, Status
from harness.worker import Event, Job, Started

BROKEN_OFF = "the process ended before its work was done"


class Attempt:
    """Which task of `job` is under way, since when, and what has ended; a task may take `task_s` seconds."""

    def __init__(self, job: Job, task_s: float) -> None:
        self.job, self.task_s = job, task_s
        self.known = dict(job.known)
        self.waiting = list(job.tasks)
        self.started = time.monotonic()

    def left_s(self) -> float:
        """Seconds that the task under way may still take."""
        return self.started + self.task_s - time.monotonic()

    def note(self, event: Event) -> None:
        """Take account of what the process reported."""
        if isinstance(event, Started):
            self.started = time.monotonic()
        elif isinstance(event, Outcome):
            self.known[event.task.key] = event.status
            self.waiting = [task for task in self.waiting if task.key != event.task.key]

    def failure(self, status: Status, reason: str) -> Outcome | None:
        """The outcome of the task under which the process ended, noted; None if it died with nothing left to do."""
        if not self.waiting:
            return None
        seconds = time.monotonic() - self.started
        outcome = Outcome(task=self.waiting[0], status=status, seconds=seconds, reason=reason)
        self.note(outcome)
        return outcome

    def overdue(self) -> Outcome | None:
        """The outcome of a task past its time."""
        return self.failure(Status.TIMEOUT, f"not done after {self.task_s:g} s")

    @property
    def remaining(self) -> Job:
        """The job less all that has ended."""
        return dataclasses.replace(self.job, tasks=tuple(self.waiting), known=self.known)
