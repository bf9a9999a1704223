"""The driver: what a grid still wants is handed to an engine, and what comes back is written down at once."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
from pathlib import Path
from typing import Protocol

from harness import answers, machine
from harness.engines import Engine
from harness.engines.local import LocalEngine
from harness.grid import Grid, read_grid
from harness.place import Place
from harness.plan import PlannedCell, data_names, plan
from harness.published import published
from harness.records import Outcome, Status, Task, canonical
from harness.store import Store, Wanted
from harness.worker import Job, Progress, Started

NO_STORE = "sqlite://"
"""A store in memory: empty, and gone with the process."""


class Listener(Protocol):
    """Whom the driver tells what happens, for people to see."""

    def begin(self, run: Run) -> None:
        """The run begins."""

    def started(self, cell: PlannedCell, task: Task) -> None:
        """A task begins."""

    def progress(self, cell: PlannedCell, task: Task, done: int, total: int) -> None:
        """So much of a task under way is done; there may be several such tasks, each of another cell."""

    def ended(self, cell: PlannedCell, outcome: Outcome) -> None:
        """A task has ended and is in the store."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A grid read and planned in a place. `settled` are the tasks that need no attempt, with how each ended."""

    grid: Grid
    text: str
    cells: tuple[PlannedCell, ...]
    settled: dict[str, str]
    store: Store
    place: Place

    def pending(self) -> dict[str, tuple[PlannedCell, Task]]:
        """Every task to do, once each, by key; a training whose weights are gone is done again for who needs them."""
        tasks = [(cell, task) for cell in self.cells for task in cell.tasks]
        waiting = {task.key for _, task in tasks if task.key not in self.settled}
        needed = {need for _, task in tasks if task.key in waiting for need in task.needs}
        found: dict[str, tuple[PlannedCell, Task]] = {}
        for cell, task in tasks:
            if task.key in waiting or (task.key in needed and self._lost(task)):
                found.setdefault(task.key, (cell, task))
        return found

    def begin(self) -> str:
        """Write down the run and everything it wants; returns its id."""
        commit, dirty = machine.commit()
        description = {
            "grid_name": self.grid.name,
            "grid": self.text,
            "command": machine.command(),
            "commit_id": commit,
            "dirty": int(dirty),
            "versions": canonical(machine.versions()),
            "published": canonical(published(self.cells)),
        }
        wanted = [Wanted(cell=c.key, cell_spec=c.spec, label=c.label, task=t) for c in self.cells for t in c.tasks]
        return self.store.begin_run(description, self.place.machine, wanted)

    def proceed(self, run_id: str, listener: Listener, engine: Engine | None = None) -> list[Outcome]:
        """Do what is pending, each outcome in the store at once; `engine` says where, on this machine if None.

        KeyboardInterrupt passes through; what had ended by then is in the store, and a training has its checkpoint.
        """
        engine = engine or self._on_this_machine()
        listener.begin(self)
        outcomes: list[Outcome] = []
        self._forget_answers()  # of a run that was broken off: the weights may be others by now
        for cells in self._rounds():
            with contextlib.closing(engine.run(self._job(cell, tasks) for cell, tasks in cells)) as events:
                present: dict[str, Task] = {}
                for job, event in events:
                    if isinstance(event, Started):
                        present[job.cell.key] = event.task
                        listener.started(job.cell, event.task)
                    elif isinstance(event, Progress):
                        listener.progress(job.cell, present[job.cell.key], event.done, event.total)
                    else:
                        self._keep(run_id, event)
                        listener.ended(job.cell, event)
                        outcomes.append(event)
        self._forget_answers()
        return outcomes

    def _forget_answers(self) -> None:
        shutil.rmtree(answers.folder(self.place.cache.folder), ignore_errors=True)

    def _on_this_machine(self) -> Engine:
        """A place on each device. Counting computes nothing, and nothing is timed beside it: each thread is a place."""
        devices = self.place.devices
        if all(task.kind == "count" for _, task in self.pending().values()):
            devices = devices[:1] * self.place.threads
        return LocalEngine(self.place.logs, self.grid.limits.task_s, devices)

    def _rounds(self) -> list[list[tuple[PlannedCell, tuple[Task, ...]]]]:
        """Each cell with its tasks to do, in two rounds: those that need what other cells train wait for the second."""
        pending = self.pending()
        rounds: tuple[dict[str, list[Task]], ...] = ({}, {})
        for cell, task in pending.values():
            later = any(need in pending and pending[need][0].key != cell.key for need in task.needs)
            rounds[later].setdefault(cell.key, []).append(task)
        cells = {cell.key: cell for cell in self.cells}
        return [[(cells[key], part) for key, tasks in each.items() for part in self._parts(tasks)] for each in rounds]

    def _parts(self, tasks: list[Task]) -> list[tuple[Task, ...]]:
        """The tasks of a cell as jobs: one, but counts, which do not need each other, as many as may go on at once."""
        counts = all(task.kind == "count" for task in tasks)
        parts = self.place.threads if counts else 1
        return [part for first in range(parts) if (part := tuple(tasks[first::parts]))]

    def _job(self, cell: PlannedCell, tasks: tuple[Task, ...]) -> Job:
        asked = {key for task in cell.tasks for key in (task.key, *task.needs)}
        exact = {each for task in tasks for each in answers.asked_by(task)}
        return Job(
            cell=cell,
            tasks=tasks,
            known={key: self.settled[key] for key in asked & self.settled.keys()},
            cache=self.place.cache.folder,
            device=self.place.device,
            threads=self.place.threads,
            data=data_names(self.grid),
            shared=self._shared & {*exact, *(each.with_any_seed for each in exact)},
        )

    @functools.cached_property
    def _shared(self) -> frozenset[answers.Asked]:
        """What several pending tasks ask of networks; first looked at before any of them is done."""
        return answers.shared(task for _, task in self.pending().values())

    def _keep(self, run_id: str, outcome: Outcome) -> None:
        """Into the store; a finished training's checkpoint has served once its curve is there."""
        self.store.write(run_id, outcome)
        self.settled[outcome.task.key] = outcome.status
        if outcome.task.kind == "train" and outcome.status is Status.DONE:
            self.place.cache.checkpoint(outcome.task.key).unlink(missing_ok=True)

    def _lost(self, task: Task) -> bool:
        done = self.settled.get(task.key) == Status.DONE
        return done and not self.place.cache.weights(task.key).is_file()


def prepare(path: Path, place: Place, *, retry: bool = False, dry: bool = False) -> Run:
    """Read and plan the grid in `path`, then open the store and look up what is done.

    With `retry` what failed for good counts as not done. With `dry` nothing is written, not even an empty store.

    Raises:
        UserError: the grid is wrong in any way, or the store cannot be opened.
    """
    grid = read_grid(path)
    cells = tuple(plan(grid, path.name, place.machine))
    if not dry:
        place.make()
    store = Store(NO_STORE if dry and not place.has_store else place.store)
    settled = store.settled((task.key for cell in cells for task in cell.tasks), place.machine)
    kept = {key: status for key, status in settled.items() if status == Status.DONE or not retry}
    text = path.read_text(encoding="utf-8")
    return Run(grid=grid, text=text, cells=cells, settled=kept, store=store, place=place)
