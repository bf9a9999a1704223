"""The engine of a Ray cluster: a Ray task for each cell, the local engine inside it, and this process that records.

A node that sees the output folder works in it. To another the files that a cell needs go through Ray's object store,
and what is trained there comes back before its outcome.
"""

from __future__ import annotations

import logging
import pickle
import secrets
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.engines import baggage
from harness.engines.attempt import BROKEN_OFF, Attempt
from harness.engines.baggage import Brought
from harness.engines.node import Errand, times
from harness.engines.ray_cluster import Cluster, Share, last_line
from harness.engines.ray_node import WORD, Arrived, Luggage, Unseen, on_node, remove
from harness.isolate import GRACE_S
from harness.place import Place
from harness.records import Outcome, Status
from harness.worker import Event, Job

LOG = logging.getLogger(__name__)
RETRIES = 3
"""How many times a cell goes on elsewhere after its node was lost, unless the user says otherwise."""
Told = Arrived | Unseen | Brought | Event


class _Cell:
    """A job on its way: what has ended of it, the node where it is, and how often one was lost under it."""

    def __init__(self, job: Job, task_s: float) -> None:
        self.job, self.attempt = job, Attempt(job, task_s)
        self.at: Arrived | None = None
        self.losses = 0
        self.again = False
        """Whether it was turned away by a node for want of files, and goes again with them."""


class RayEngine:
    """Runs jobs on `cluster` for a run at `place`; a task may take `task_s` seconds.

    `cells` are under way at the same time, as many as the cluster holds if None; a cell whose node is lost goes on
    elsewhere up to `retries` times, a training from its checkpoint if the other node sees the same cache.
    """

    def __init__(
        self, cluster: Cluster, place: Place, task_s: float, *, retries: int = RETRIES, cells: int | None = None
    ) -> None:
        self.cluster, self.place, self.task_s, self.retries, self.cells = cluster, place, task_s, retries, cells
        self.share = Share(device=place.device, threads=place.threads)
        self.word = secrets.token_hex(8)
        self.packing = False
        self.parcels: dict[str, Any] = {}

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Event]]:
        """Yield the events of all jobs as they arrive; what was under way on a lost node goes on on another."""
        self._show()
        waiting, busy = iter(jobs), dict[Any, _Cell]()
        try:
            while True:
                while len(busy) < self._room() and (job := next(waiting, None)) is not None:
                    self._send(_Cell(job, self.task_s), busy)
                if not busy:
                    return
                (stream, *_), _ = self.cluster.ray.wait(list(busy), num_returns=1)
                cell = busy[stream]
                yield from ((cell.job, event) for event in self._take(stream, busy))
        finally:
            self._stop(busy)

    def _room(self) -> int:
        return self.cells or max(1, self.share.cells(self.cluster.nodes))

    def _show(self) -> None:
        """Leave the word of this run where nodes look for it."""
        Brought(self.place.cache.folder / WORD, self.word.encode()).keep()

    def _send(self, cell: _Cell, busy: dict[Any, _Cell]) -> None:
        """Hand what remains of `cell` to whichever node has room for it."""
        job = baggage.absolute(cell.attempt.remaining)
        errand = Errand(job=job, logs=self.place.logs.absolute(), task_s=self.task_s, machine=self.place.machine)
        needed = baggage.needed(job)
        parcels = {name: self._parcel(name, files) for name, files in needed.items()} if self.packing else None
        luggage = Luggage(cache=job.cache, word=self.word, needed=needed, parcels=parcels)
        whole = min((int(node.get("CPU", 0)) for node in self.cluster.nodes), default=0) if times(job) else 0
        options = {"num_returns": "streaming", "max_calls": 1, "max_retries": 0, **self.share.resources(whole)}
        busy[self.cluster.ray.remote(**options)(on_node).remote(pickle.dumps(errand), luggage)] = cell

    def _parcel(self, name: str, files: list[Path]) -> Any:
        if name not in self.parcels:
            self.parcels[name] = self.cluster.ray.put(baggage.packed(files))
        return self.parcels[name]

    def _take(self, stream: Any, busy: dict[Any, _Cell]) -> Iterator[Event]:
        """What the node has told next, or how the Ray task ended; what remains of the cell is sent again."""
        cell = busy[stream]
        try:
            told = self.cluster.ray.get(next(stream))
        except StopIteration:
            end = None if cell.again else cell.attempt.failure(Status.ERROR, BROKEN_OFF)
        except self.cluster.ray.exceptions.RayError as error:
            end = self._death(cell, error)
        else:
            yield from self._heard(cell, told)
            return
        del busy[stream]
        if end is not None:
            yield end
        if cell.attempt.waiting:
            self._send(cell, busy)

    def _heard(self, cell: _Cell, told: Told) -> Iterator[Event]:
        if isinstance(told, Arrived):
            cell.at, cell.again = told, False
        elif isinstance(told, Unseen):
            self.packing = cell.again = True
        elif isinstance(told, Brought):
            told.keep()
        else:
            cell.attempt.note(told)
            yield told

    def _death(self, cell: _Cell, error: Exception) -> Outcome | None:
        """The outcome of the task under way; None if its node was lost and it goes on on another."""
        errors = self.cluster.ray.exceptions
        if isinstance(error, errors.OutOfMemoryError):
            return cell.attempt.failure(Status.OUT_OF_MEMORY, "the node killed the process: out of memory")
        if isinstance(error, errors.RayTaskError | errors.RuntimeEnvSetupError):
            return cell.attempt.failure(Status.ERROR, f"the node could not run it: {last_line(error)}")
        if cell.at is not None and self.cluster.answers(cell.at.node):
            reason = f"process {cell.at.process} of node {cell.at.node[:8]} ended: {last_line(error)}"
            return cell.attempt.failure(Status.ERROR, reason)
        cell.losses += 1
        if cell.losses > self.retries:
            return cell.attempt.failure(Status.ERROR, f"its node was lost, {cell.losses} times: {last_line(error)}")
        LOG.warning("the node of %s was lost; what remains goes on on another", cell.job.cell.label)
        return None

    def _stop(self, busy: dict[Any, _Cell]) -> None:
        """Have all nodes save what they have, and end; what has not ended in time is ended."""
        end = time.monotonic() + GRACE_S
        for stream in busy:
            self.cluster.ray.cancel(stream)
        while busy and (left_s := end - time.monotonic()) > 0:
            for stream in self.cluster.ray.wait(list(busy), num_returns=1, timeout=left_s)[0]:
                if not self._drop(stream):
                    del busy[stream]
        for stream in busy:
            self.cluster.ray.cancel(stream, force=True)
        if self.packing:
            self._clear()

    def _drop(self, stream: Any) -> bool:
        """Read one thing that a node still tells; False if there is no more."""
        try:
            self.cluster.ray.get(next(stream))
        except StopIteration:
            return False
        except self.cluster.ray.exceptions.RayError:
            return True
        return True

    def _clear(self) -> None:
        """Remove what was unpacked on nodes."""
        clear = self.cluster.ray.remote(remove)
        done = [clear.options(**self.cluster.on(node["id"])).remote(self.word) for node in self.cluster.nodes]
        self.cluster.ray.wait(done, num_returns=len(done), timeout=GRACE_S)
