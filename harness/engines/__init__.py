"""Where cells run. An engine takes jobs and yields what happens to them; the driver alone writes to the store."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from harness.worker import Event, Job


class Engine(Protocol):
    """Carries out jobs. A job's failure is an event, never an exception."""

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Event]]:
        """Yield the start, the progress and the outcome of every task, each with its job; those of one job in order.

        The next job is taken when there is a place for it, so a job can be made with what is known by then. Closing
        ends all work: who is training saves the state and stops.
        """
