"""What people see of a run: bars with the remaining time on a terminal, a line for each task elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from harness.estimate import estimates
from harness.plan import PlannedCell
from harness.records import Outcome, Status, Task, executed
from harness.run import Run

TRUSTED_SHARE = 0.1


class Ledger:
    """How much of a run is done, in seconds of estimated work, corrected by how fast the work really goes."""

    def __init__(self, estimates: Mapping[str, float]) -> None:
        self.estimates = dict(estimates)
        self.total = sum(estimates.values())
        self.done = 0.0
        self.present: dict[str, float] = {}
        self.started = time.monotonic()

    def advance(self, task: Task, share: float) -> None:
        """`share` of a task under way is done."""
        self.present[task.key] = self.estimates.get(task.key, 0.0) * share

    def finish(self, task: Task) -> None:
        """A task is done."""
        self.done += self.estimates.pop(task.key, 0.0)
        self.present.pop(task.key, None)

    @property
    def completed(self) -> float:
        """Seconds of estimated work that are done, parts of tasks under way included."""
        return self.done + sum(self.present.values())

    @property
    def remaining_s(self) -> float:
        """Seconds left: as estimated at first, then corrected by the pace so far, fully once a tenth is done."""
        completed = self.completed
        if not completed:
            return self.total
        pace = (time.monotonic() - self.started) / completed
        trust = min(1.0, completed / (TRUSTED_SHARE * self.total))
        return (self.total - completed) * (trust * pace + 1 - trust)


class Lines:
    """A log: one line when a task ends."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.ledger = Ledger({})
        self.count = self.ended_count = 0

    def begin(self, run: Run) -> None:
        """Say how much there is to do."""
        self.ledger = Ledger({key: found.seconds for key, found in estimates(run).items()})
        self.count = len(self.ledger.estimates)
        wanted = len({task.key for cell in run.cells for task in cell.tasks})
        self._say(f"{run.grid.name}: {wanted - self.count} of {wanted} tasks are in the store, {self.count} to do")

    def started(self, cell: PlannedCell, task: Task) -> None:
        """Lines wait for the end of a task."""

    def progress(self, cell: PlannedCell, task: Task, done: int, total: int) -> None:
        """Long tasks are silent in a log."""

    def ended(self, cell: PlannedCell, outcome: Outcome) -> None:
        """One line: position, cell, task, how it ended, how long it took, how long the rest may take."""
        self.ended_count += 1
        self.ledger.finish(outcome.task)
        left = f", about {clock(self.ledger.remaining_s)} left" if self.ended_count < self.count else ""
        end = "" if outcome.status is Status.DONE else f": {outcome.status} ({outcome.reason})"
        what = f"{_named(cell)} {told(outcome.task)}"
        self._say(f"[{self.ended_count}/{self.count}] {what}{end}, {outcome.seconds:.1f} s{left}")

    def close(self) -> None:
        """Nothing to take down."""

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class Quiet(Lines):
    """Says how much there is to do and what fails, and nothing else of tasks: for many short ones, not estimated."""

    def begin(self, run: Run) -> None:
        """Say how much there is to do."""
        wanted, pending = {task.key for cell in run.cells for task in cell.tasks}, len(run.pending())
        self._say(f"{run.grid.name}: {len(wanted) - pending} of {len(wanted)} tasks are in the store, {pending} to do")

    def ended(self, cell: PlannedCell, outcome: Outcome) -> None:
        """A line of a failure."""
        if outcome.status is not Status.DONE:
            self._say(f"{_named(cell)} {told(outcome.task)}: {outcome.status} ({outcome.reason})")


class Bars(Lines):
    """Bars on a terminal: the whole run, and each task under way."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[note]}"))
        self.bars = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        self.whole: TaskID = self.bars.add_task("run", note="", total=None)
        self.rows: dict[str, TaskID] = {}

    def begin(self, run: Run) -> None:
        """Put up the bars."""
        super().begin(run)
        self.bars.update(self.whole, total=self.ledger.total)
        self.bars.start()

    def started(self, cell: PlannedCell, task: Task) -> None:
        """A row for the task; anew if it was begun before, elsewhere."""
        self._take_down(task)
        self.rows[task.key] = self.bars.add_task(f"{_named(cell)} {told(task)}", note="", total=None)

    def progress(self, cell: PlannedCell, task: Task, done: int, total: int) -> None:  # noqa: ARG002 - its row has its name
        """The task's row and the whole move."""
        self.ledger.advance(task, done / total)
        self.bars.update(self.rows[task.key], completed=done, total=total, note=f"{done}/{total}")
        self._move()

    def ended(self, cell: PlannedCell, outcome: Outcome) -> None:
        """The line of the log above the bars, which move on."""
        self._take_down(outcome.task)
        super().ended(cell, outcome)
        self._move()

    def close(self) -> None:
        """Take the bars down."""
        self.bars.stop()

    def _take_down(self, task: Task) -> None:
        if (row := self.rows.pop(task.key, None)) is not None:
            self.bars.remove_task(row)

    def _move(self) -> None:
        note = f"about {clock(self.ledger.remaining_s)} left"
        self.bars.update(self.whole, completed=self.ledger.completed, note=note)


def listener(console: Console) -> Lines:
    """Bars where someone watches, lines where something records."""
    return Bars(console) if console.is_terminal else Lines(console)


def told(task: Task) -> str:
    """A task in a few words."""
    spec = task.spec
    if task.kind == "train":
        return f"train {spec['train']['steps']} steps, seed {spec['seed']}"
    if task.kind == "count":
        return f"{spec['scope']} {spec['mode']} {spec['size']} {spec['precision']}"
    if task.kind == "race":
        what = f"networks x{spec['scale']}" if spec["scale"] else "attention"
        how = " ".join(spec[name] for name in ("mode", "tiling", "size", "precision"))
        return " ".join([what, how, *executed(spec), f"batch {spec['batch']}, pass {spec['pass'] + 1}"])
    where = ("dataset", "size") if task.kind == "attention" else ("dataset", "tiling", "size")
    parts = [*(str(spec[name]) for name in (*where, "precision") if name in spec), *executed(spec)]
    if (degradation := spec.get("degradation", "bicubic")) != "bicubic":
        parts.append(degradation)
    return " ".join([task.kind, *parts, *(["self-ensemble"] if spec.get("self_ensemble") else [])])


def _named(cell: PlannedCell) -> str:
    """What times others is of no scale."""
    return f"{cell.label} x{cell.scale}" if cell.scale else cell.label


def clock(seconds: float) -> str:
    """Seconds as people say them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
