"""Trainings by all processes that `torchrun` started. Rank 0 is the driver; the other ranks do what it announces.

Each rank trains in a fresh process of its own. Rank 0 alone plans, stores, reports, and carries out all other tasks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from datasets.patches import share
from harness.engines.attempt import BROKEN_OFF, Attempt
from harness.engines.board import POLL_S, Board
from harness.engines.local import LocalEngine, run_on
from harness.errors import UserError
from harness.grid import read_grid
from harness.isolate import Worker, WorkerDiedError, interrupted_once
from harness.place import Place
from harness.plan import PlannedCell, data_names, plan
from harness.ranks import LOST, Rank
from harness.records import Outcome, Status, Task
from harness.worker import Event, Job

SETTLE_S = 5.0
"""How long, once one rank has failed or ended, another waits for what its own process and the others say of it."""
COMMON = frozenset({Status.DONE, Status.DIVERGED})
"""Ends to which all ranks come by themselves, at the same step; others are told, for they end the training on all."""


class RanksEngine:
    """Has all ranks train, and `local` do everything else, on this rank, which is 0."""

    def __init__(self, rank: Rank, board: Board, local: LocalEngine) -> None:
        self.rank, self.board, self.local = rank, board, local
        self.numbers = itertools.count()

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Event]]:
        """Yield the events of all jobs, one job at a time."""
        for job in jobs:
            known = dict(job.known)
            for task in (each for each in job.tasks if each.kind == "train"):
                for event in self._train(job, task):
                    if isinstance(event, Outcome):
                        known[task.key] = event.status
                    yield job, event
            others = tuple(task for task in job.tasks if task.kind != "train")
            rest = dataclasses.replace(job, tasks=others, known=known)
            with contextlib.closing(self.local.run([rest] if others else [])) as events:
                for _, event in events:
                    yield job, event

    def end(self) -> None:
        """Tell the other ranks that all is done."""
        with contextlib.suppress(UserError):  # then they know
            self.board.tell(f"announced {next(self.numbers)}", end=1)

    def _train(self, job: Job, task: Task) -> Generator[Event]:
        number = next(self.numbers)
        self.board.tell(f"announced {number}", cell=job.cell.key, task=task.key)
        shared = _shared(job, task, self.rank, number)
        log = self.local.logs / f"{job.cell.key}.log"
        with Worker(run_on, (shared, self.rank.device(job.device)), log) as worker:
            try:
                yield from self._watched(worker, Attempt(shared, self.local.task_s), number, log)
            except (KeyboardInterrupt, GeneratorExit):
                worker.ask_to_stop()
                raise
            finally:
                with contextlib.suppress(UserError):
                    self.board.tell(f"over {number}")

    def _watched(self, worker: Worker, attempt: Attempt, number: int, log: Path) -> Iterator[Event]:
        """What this rank's process reports; if a rank fails, how."""
        cause = f"cause {number}"
        try:
            for event in _reports(worker, attempt.left_s, lambda: self.board.told(cause) is not None):
                if isinstance(event, Outcome) and LOST in str(event.reason) and self.board.awaited(cause, SETTLE_S):
                    break
                attempt.note(event)
                yield event
            said = self.board.told(cause) or {"status": Status.ERROR, "reason": f"{BROKEN_OFF}; see {log.name}"}
            end = attempt.failure(Status(said["status"]), said["reason"])
        except TimeoutError:
            end = attempt.overdue()
        except WorkerDiedError as death:
            end = attempt.failure(**_cause(self.rank, death, log))
        yield from [] if end is None else [end]


@contextlib.contextmanager
def leading(rank: Rank, cells: Iterable[PlannedCell], place: Place, task_s: float) -> Iterator[RanksEngine]:
    """The engine of rank 0; when it is left, however that happens, the other ranks are told to end.

    Raises:
        UserError: the ranks cannot share a cell's batch evenly, or there is no device for each.
        KeyboardInterrupt: from inside, on SIGINT and on SIGTERM.
    """
    for cell in cells:
        _require_even(cell, rank.count)
    rank.device(place.device)
    engine = RanksEngine(rank, Board(rank), LocalEngine(place.logs, task_s, place.devices))
    with interrupted_once():
        try:
            yield engine
        finally:
            engine.end()


def follow(rank: Rank, path: Path, place: Place) -> bool:
    """On every other rank: take part in the trainings of the grid in `path` until rank 0 says that all is done.

    Returns whether it did; False: this rank was asked to stop before.

    Raises:
        UserError: the grid is wrong in any way, there is no device for this rank, or rank 0 has ended.
    """
    rank.device(place.device)
    grid = read_grid(path)
    cells = {cell.key: cell for cell in plan(grid, path.name, place.machine)}
    follower = _Follower(rank=rank, board=Board(rank), place=place, cells=cells, data=data_names(grid))
    try:
        with interrupted_once():
            for number, said in follower.announced():
                follower.take_part(number, said)
    except KeyboardInterrupt:
        return False
    return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Follower:
    """A rank that is not 0: what it knows of the grid, and where it does its part."""

    rank: Rank
    board: Board
    place: Place
    cells: Mapping[str, PlannedCell]
    data: Mapping[str, str]

    def announced(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """What rank 0 announces, as soon as it does, until the end."""
        for number in itertools.count():
            said = self.board.awaited(f"announced {number}", math.inf)
            assert said is not None
            if "end" in said:
                return
            yield number, said

    def take_part(self, number: int, said: Mapping[str, Any]) -> None:
        """This rank's part of a training. If it fails here, the others are told how."""
        cause = self._part(number, self.cells.get(said["cell"]), said["task"])
        if cause is not None:
            self.board.tell(f"cause {number}", **cause)

    def _part(self, number: int, cell: PlannedCell | None, key: str) -> dict[str, str] | None:
        tasks = [task for task in cell.tasks if task.key == key] if cell else []
        if cell is None or not tasks:
            why = "plans no such training: its grid, code or data are not those of rank 0"
            return {"status": Status.ERROR, "reason": f"rank {self.rank.rank} {why}"}
        shared = _shared(self._job(cell), tasks[0], self.rank, number)
        log = self.place.logs / f"{cell.key}.rank{self.rank.rank}.log"
        with Worker(run_on, (shared, self.rank.device(self.place.device)), log) as worker:
            try:
                return self._watched(worker, number, log)
            except KeyboardInterrupt:
                worker.ask_to_stop()
                self.board.tell(
                    f"cause {number}", status=Status.ERROR, reason=f"rank {self.rank.rank} was asked to stop"
                )
                raise
            finally:
                worker.ask_to_stop()

    def _watched(self, worker: Worker, number: int, log: Path) -> dict[str, str] | None:
        """How the process fails, if it does; that of rank 0 knows what else happens."""
        try:
            for event in _reports(worker, lambda: math.inf, lambda: self.board.told(f"over {number}") is not None):
                if isinstance(event, Outcome) and event.status not in COMMON and LOST not in str(event.reason):
                    return {"status": event.status, "reason": f"rank {self.rank.rank}: {event.reason}"}
        except WorkerDiedError as death:
            return _cause(self.rank, death, log)
        return None

    def _job(self, cell: PlannedCell) -> Job:
        return Job(
            cell=cell,
            tasks=cell.tasks,
            known={},
            cache=self.place.cache.folder,
            device=self.place.device,
            threads=self.place.threads,
            data=self.data,
        )


def _shared(job: Job, task: Task, rank: Rank, number: int) -> Job:
    """`task` as a job of its own for this rank, on its part of the machine's threads."""
    threads = max(1, job.threads // rank.local_count)
    return dataclasses.replace(job, tasks=(task,), threads=threads, meeting=rank.meeting(f"training {number}"))


def _reports(worker: Worker, left_s: Callable[[], float], ended: Callable[[], bool]) -> Iterator[Event]:
    """What `worker` reports until it is done, or has nothing more to say after the training has `ended`.

    Raises:
        TimeoutError: `left_s()` seconds have passed.
        WorkerDiedError: the process ended early.
    """
    messages = worker.messages(lambda: min(POLL_S, left_s()))
    while True:
        if wait([worker.pipe], timeout=min(POLL_S, max(0.0, left_s()))) or left_s() <= 0:
            try:
                event = next(messages)
            except StopIteration:
                return
            yield event
        elif ended() and not wait([worker.pipe], timeout=SETTLE_S):
            return


def _cause(rank: Rank, death: WorkerDiedError, log: Path) -> dict[str, Any]:
    """A death as status and reason."""
    status = Status.OUT_OF_MEMORY if death.killed_for_memory else Status.ERROR
    return {"status": status, "reason": f"rank {rank.rank}: {death}; see {log.name}"}


def _require_even(cell: PlannedCell, ranks: int) -> None:
    """Find out whether so many ranks can share the cell's batch.

    Raises:
        UserError: they cannot.
    """
    if cell.budget is None:
        return
    try:
        share(cell.budget.batch, ranks)
    except ValueError as error:
        raise UserError(f"{cell.label}: {error}") from error
