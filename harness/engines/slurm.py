"""The engine of a Slurm cluster: a Slurm job for each cell, the local engine inside it, and this process that records.

Nodes and driver share the output folder. What a job tells it adds to a file there, which is all that it needs to go on
after it was put back into the queue, and all that the driver needs to write the records.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import logging
import secrets
import signal
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.engines.attempt import Attempt
from harness.engines.baggage import absolute
from harness.engines.node import Errand, carried_out, times
from harness.engines.slurm_cluster import FOLDER, Slurm
from harness.engines.spool import Reader, Watch, Writer, end_abandoned
from harness.isolate import GRACE_S, start_server
from harness.place import Place
from harness.records import Outcome, Status
from harness.worker import Event, Job, Progress

LOG = logging.getLogger(__name__)
POLL_S, STATES_S = 1.0, 30.0
"""How often jobs are listened to, and Slurm is asked how they are."""
PROGRESS_S = 1.0
LOST = ("NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED")
"""States of Slurm in which a job ended through no fault of its own."""
ENDS = {"OUT_OF_MEMORY": Status.OUT_OF_MEMORY, "TIMEOUT": Status.TIMEOUT, "DEADLINE": Status.TIMEOUT}


@dataclasses.dataclass(frozen=True)
class Begun:
    """The job runs."""


@dataclasses.dataclass(frozen=True)
class Done:
    """All of the job has ended."""


@dataclasses.dataclass(frozen=True)
class GivenUp:
    """The job was told to end, has saved what it had, and leaves the rest."""


class TerminatedError(BaseException):
    """SIGTERM: Slurm takes the node away, or the job was cancelled. No ordinary exception: nothing may swallow it."""


class _Cell:
    """A job on its way: what has ended of it, its Slurm job with what that tells, and how often one was lost."""

    def __init__(self, job: Job, task_s: float) -> None:
        self.job, self.attempt = job, Attempt(job, task_s)
        self.submitted: Any = None
        self.losses = self.number = 0

    def begin(self, submitted: Any, file: Path) -> None:
        """What remains of it is in the queue as `submitted`, which tells what happens in `file`."""
        self.submitted, self.reader, self.number = submitted, Reader(file), self.number + 1
        self.began = self.over = self.silent = False

    @property
    def log(self) -> str:
        """The name of the file with what its Slurm job printed."""
        return str(self.submitted.paths.stderr.name)


class SlurmEngine:
    """Runs jobs on `slurm` for a run at `place`; a task may take `task_s` seconds, jobs are listened to every `poll_s`.

    A job that is taken from its node, or whose node fails, is submitted again up to `slurm.retries` times; trainings
    go on from their checkpoints.
    """

    def __init__(self, slurm: Slurm, place: Place, task_s: float, poll_s: float = POLL_S) -> None:
        self.slurm, self.place, self.task_s, self.poll_s = slurm, place, task_s, poll_s
        self.asked = time.monotonic()
        self.leaving: list[Any] = []
        """Slurm jobs that have told everything and are about to end."""

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Event]]:
        """Yield the events of all jobs; a job that dies loses the task under way, the rest is submitted again."""
        waiting, busy = iter(jobs), list[_Cell]()
        if (first := next(waiting, None)) is None:
            return
        waiting, watch = itertools.chain([first], waiting), _watch((self.place.out / FOLDER).absolute())
        try:
            while True:
                new = (_Cell(job, self.task_s) for job in itertools.islice(waiting, self.slurm.cells - len(busy)))
                busy += self._submit(list(new), watch.folder)
                if not busy:
                    break
                watch.show()
                self._ask(busy)
                for cell in busy:
                    yield from ((cell.job, event) for event in self._listen(cell))
                over = [cell for cell in busy if cell.over]
                self.leaving = [each for each in self.leaving if not each.done()] + [each.submitted for each in over]
                self._submit([cell for cell in over if cell.attempt.waiting], watch.folder)
                busy = [cell for cell in busy if not cell.over]
                time.sleep(self.poll_s)
        finally:
            self._stop(busy, watch)
        _tidy(watch.folder)

    def _submit(self, cells: list[_Cell], folder: Path) -> list[_Cell]:
        """Put what remains of `cells` into the queue, as arrays; what takes times apart, since it wants more."""
        for alone in (False, True):
            group = [cell for cell in cells if times(cell.job) is alone]
            if group:
                executor = self.slurm.executor(folder, self.place, alone=alone)
                with self.slurm.submitting(), executor.batch() if len(group) > 1 else contextlib.nullcontext():
                    for cell in group:
                        file = folder / f"{cell.job.cell.key}-{cell.number}.spool"
                        cell.begin(executor.submit(Served(self._errand(cell), file)), file)
        return cells

    def _errand(self, cell: _Cell) -> Errand:
        job, place = absolute(cell.attempt.remaining), self.place
        return Errand(job=job, logs=place.logs.absolute(), task_s=self.task_s, machine=place.machine)

    def _ask(self, busy: list[_Cell]) -> None:
        """Have Slurm tell the states of all jobs, in one question and not too often."""
        if self.slurm.cluster == "slurm" and time.monotonic() - self.asked > STATES_S:
            self.asked = time.monotonic()
            busy[0].submitted.watcher.update()

    def _listen(self, cell: _Cell) -> Iterator[Event]:
        """What the job has told since; if it is over without a word, the outcome of the task under way."""
        dead = bool(cell.submitted.done())
        for told in cell.reader.read():
            if isinstance(told, Begun):
                cell.began = True
            elif isinstance(told, Done | GivenUp):
                cell.over = True
            else:
                cell.attempt.note(told)
                yield told
        end = None
        if cell.over and cell.attempt.waiting:
            end = self._lost(cell, "it was told to end")
        elif dead and cell.silent and not cell.over:
            cell.over = True
            end = self._death(cell)
        # A shared disk may show the last words later than the end.
        cell.silent = dead
        if end is not None:
            yield end

    def _death(self, cell: _Cell) -> Outcome | None:
        state = next(iter(str(cell.submitted.state).split()), "UNKNOWN")
        if state in LOST:
            return self._lost(cell, f"Slurm says {state}")
        reason = f"the Slurm job ended as {state}; see {cell.log}"
        return cell.attempt.failure(ENDS.get(state, Status.ERROR), reason)

    def _lost(self, cell: _Cell, why: str) -> Outcome | None:
        """None if what remains goes into the queue again."""
        cell.losses += 1
        if cell.losses > self.slurm.retries:
            return cell.attempt.failure(Status.ERROR, f"the Slurm job was lost, {cell.losses} times: {why}")
        LOG.warning("the Slurm job of %s was lost (%s); what remains is submitted again", cell.job.cell.label, why)
        return None

    def _stop(self, busy: list[_Cell], watch: Watch) -> None:
        """Have all jobs save what they have, and end; what is still in the queue, or takes too long, is cancelled."""
        watch.end()
        end = time.monotonic() + GRACE_S
        for cell in busy:
            if not cell.began:
                cell.submitted.cancel(check=False)
        running = self.leaving + [cell.submitted for cell in busy]
        while (running := [each for each in running if not each.done()]) and time.monotonic() < end:
            time.sleep(self.poll_s)
        for each in running:
            each.cancel(check=False)


@dataclasses.dataclass
class Served:
    """In the Slurm job: carry out the errand, and tell what happens through the file `spool`.

    Begun anew after a requeue, it reads there what has ended already.
    """

    errand: Errand
    spool: Path

    def __call__(self) -> None:
        """Carry out what is left. SIGTERM, or a driver that is gone, has the work saved and the rest given up."""
        _start_server()
        attempt, before = Attempt(self.errand.job, self.errand.task_s), Reader(self.spool).read()
        if any(isinstance(told, Done | GivenUp) for told in before):
            return
        for told in before:
            attempt.note(told)
        signal.signal(signal.SIGTERM, _terminate)
        writer = Writer(self.spool)
        writer.write(Begun())
        try:
            whole = self._tell(dataclasses.replace(self.errand, job=attempt.remaining), writer)
        except TerminatedError:
            whole = False
        writer.write(Done() if whole else GivenUp())

    def checkpoint(self) -> Any:
        """What submitit puts into the queue when the time limit is near: the same, since the file tells the rest."""
        return importlib.import_module("submitit").helpers.DelayedSubmission(self)

    def _tell(self, errand: Errand, writer: Writer) -> bool:
        """Whether all was done."""
        watch, told_at = Watch(self.spool.parent), 0.0
        with contextlib.closing(carried_out(errand)) as events:
            for event in events:
                moved = isinstance(event, Progress)
                if not moved or time.monotonic() - told_at > PROGRESS_S:
                    told_at = time.monotonic() if moved else told_at
                    writer.write(event)
                if watch.over:
                    return False
        return True


def _start_server() -> None:
    """Start the fork server deaf to the signal by which Slurm warns all processes of a job: this one answers it."""
    warning = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    start_server()
    signal.signal(signal.SIGUSR2, warning)


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise TerminatedError


def _watch(folder: Path) -> Watch:
    """The watch over the jobs of one round, in a new folder inside `folder`; those of drivers that are gone end."""
    own = folder / secrets.token_hex(6)
    own.mkdir(parents=True)
    end_abandoned(folder, watch := Watch(own))
    return watch


def _tidy(folder: Path) -> None:
    """Remove what was told and is recorded; what Slurm jobs printed stays."""
    for file in (*folder.glob("*.spool"), *folder.glob("*.pkl")):
        file.unlink(missing_ok=True)
