"""Where cells run. An engine takes a job and yields what happens to it; the driver alone writes to the store."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from harness.worker import Event, Job


class Engine(Protocol):
    """Carries out jobs. A job's failure is an event, never an exception."""

    def run(self, job: Job) -> Generator[Event]:
        """Yield the start, the progress and the outcome of every task of `job`, in order; closing it ends the work."""
