"""An attempt done again from what the store tells of it: its grid is planned by the present code, in a fresh folder.

What went into the attempt is compared with what goes in now. Other images, or other weights from a file, end it; other
code, machine or versions are told, since then the question is whether the figure holds under these.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets.sets import called
from harness import recorded
from harness.errors import UserError
from harness.grid import Grid, read_grid
from harness.grid_tables import MethodEntry
from harness.inputs import (
    SHOWN,
    files_of,
    inputs_of,
    needed,
    old_code,
    other_code,
    other_files,
    other_images,
    other_place,
    remarks,
)
from harness.place import Place
from harness.plan import NEED_WEIGHTS, PlannedCell, plan
from harness.recorded import Recorded, Training
from harness.records import Status, Task, canonical
from harness.run import Listener, Run
from harness.store import Store, read_json

IMPORTED = "benchmark"
JOINT = ("race", "count")
"""Kinds of task that are about all networks of a grid at once."""
FOLDER = "replay"
MADE = frozenset(
    {"code", "contender", "contenders", "data", "file", "machine", "reference", "settings", "start", "torch", "twin",
     "weights"}
)  # fmt: skip
"""What of a task's specification is found out when it is planned: code, contents of files, the machine. The rest is
asked for by the grid, and tells the tasks of a cell apart."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Again:
    """The task that does an attempt again, and its cell, or the `refusal` that says why there is none.

    `changes` tell what is not as it was then, `remarks` what else is worth knowing; `trains` are the tasks that make
    the weights, each with its cell.
    """

    then: Recorded
    cell: PlannedCell | None = None
    task: Task | None = None
    trains: tuple[tuple[PlannedCell, Task], ...] = ()
    refusal: str = ""
    changes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    exact: bool = False
    """Whether every bit must be the same: on a CPU, with nothing that changed."""

    @property
    def work(self) -> Iterator[tuple[PlannedCell, Task]]:
        """All that is to do: trainings, each with its cell; of those the attempt's own cell knows its own as well."""
        yield from self.trains
        if self.cell and self.task:
            own = {task.key for task in self.cell.tasks}
            yield from ((self.cell, train) for _, train in self.trains if train.key in own)
            yield self.cell, self.task


def attempts(store: Store, asked: str) -> list[Recorded]:
    """The attempt whose id begins with `asked`; or of the run whose id does, every attempt that it did.

    Raises:
        UserError: there is no such id, or several begin so, or what it names was imported, or did nothing itself.
    """
    what, whole = recorded.named(store, asked)
    found = [recorded.attempt(store, whole)] if what == "attempt" else recorded.attempts_of(store, whole)
    if any(each.kind == IMPORTED for each in found):
        raise UserError(f"{what} {whole} was imported from pytest-benchmark, which alone can measure it again")
    if what == "attempt":
        return found
    if done := [each for each in found if each.status == Status.DONE]:
        return done
    why = f"its {len(found)} attempts failed; name one by its id" if found else "earlier runs answered its tasks"
    raise UserError(f"run {whole} did nothing that could be replayed: {why}")


def fresh_place(out: Path, then: Recorded, asked: str, device: str | None, threads: int | None) -> Place:
    """A folder in `out` that nobody has used yet; device and threads are those of the record unless named.

    Raises:
        UserError: the device is not here.
    """
    free = (out / FOLDER / f"{asked[:SHOWN]}{suffix}" for suffix in _suffixes())
    folder = next(folder for folder in free if not folder.exists())
    wanted = device or str(then.machine.get("device", "cpu"))
    try:
        return Place.of(folder, None, wanted, threads or then.machine.get("threads"))
    except UserError as error:
        hint = "" if device else f"; it was measured on {wanted}, --device cpu replays it here"
        raise UserError(f"{error}{hint}") from error


def rebuilt(found: Sequence[Recorded], trained: Mapping[str, Training], place: Place) -> list[Again]:
    """Each of the attempts `found`, which are of one run, as a task of the present code; `trained` is what was, then.

    Raises:
        UserError: the run's grid is none for the present code.
    """
    grid, here = grid_of(found[0]), place.machine
    planned: dict[tuple[str, str], list[PlannedCell] | str] = {}
    for then in found:
        part = (then.kind, str(then.spec.get("dataset")))
        if part not in planned:
            same = [each for each in found if (each.kind, str(each.spec.get("dataset"))) == part]
            planned[part] = _planned(_narrowed(grid, same), then, here)
    cells = [planned[then.kind, str(then.spec.get("dataset"))] for then in found]
    return [_again(then, part, trained, here) for then, part in zip(found, cells, strict=True)]


def grid_of(then: Recorded) -> Grid:
    """The grid of the attempt's run, from its text in the store.

    Raises:
        UserError: the present code does not read it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "grid.toml"
        file.write_text(then.grid, encoding="utf-8")
        try:
            return read_grid(file)
        except UserError as error:
            told = str(error).replace(str(file), _source(then))
            raise UserError(f"{told}. {old_code(then)}") from error


def carry_out(again: Sequence[Again], place: Place, listener: Listener) -> tuple[Store | None, list[Recorded]]:
    """Do all that can be done again, by workers like those of any run, in a store of its own; no store for nothing.

    Returns that store and its attempts. KeyboardInterrupt passes through.
    """
    if not (cells := tuple(_cells(again))):
        return None, []
    place.make()
    then = again[0].then
    run = Run(grid=grid_of(then), text=then.grid, cells=cells, settled={}, store=Store(place.store), place=place)
    run_id = run.begin()
    run.proceed(run_id, listener)
    return run.store, recorded.attempts_of(run.store, run_id)


def _suffixes() -> Iterator[str]:
    return itertools.chain([""], (f"-{number}" for number in itertools.count(2)))


def _source(then: Recorded) -> str:
    return f"the grid of run {then.run_id[:SHOWN]}"


def _narrowed(grid: Grid, same: Sequence[Recorded]) -> Grid:
    """`grid` without what attempts of one kind and data set do not need, so that it need not be there.

    Its methods and exclusions stay, which decide on twins and on whose pictures are kept, except that a method whose
    weights file is gone is left out unless it is asked for.
    """
    kind, data = same[0].kind, same[0].spec.get("dataset")
    methods = {str(each.cell_spec["method"]) for each in same}
    at = {name: tuple(place) for each in same for name, place in each.spec.get("at", {}).items()}
    sets = tuple(name for name in grid.evaluate.data if called(name) == data) or grid.evaluate.data
    looked = at if kind == "evaluate" else {}
    needed_kinds = ("train", kind) if kind in NEED_WEIGHTS else (kind,)
    kept = {
        "tasks": tuple(each for each in grid.tasks if each in needed_kinds),
        "evaluate": grid.evaluate.model_copy(update={"data": sets, "at": looked}),
        "attention": grid.attention if kind == "attention" else grid.attention.model_copy(update={"at": {}}),
        "thresholds": (),
        "methods": tuple(e for e in grid.methods if kind in JOINT or e.name in methods or not _gone(e)),
    }
    return grid.model_copy(update=kept)


def _gone(entry: MethodEntry) -> bool:
    return any(not Path(file).is_file() for file in (entry.weights, entry.start) if file)


def _planned(grid: Grid, then: Recorded, here: Mapping[str, Any]) -> list[PlannedCell] | str:
    """The cells of `grid`, or why it cannot be planned."""
    try:
        return plan(grid, _source(then), here, whole=False)
    except (UserError, ImportError, AttributeError) as error:
        return str(error)


def _again(
    then: Recorded, cells: list[PlannedCell] | str, trained: Mapping[str, Training], here: Mapping[str, Any]
) -> Again:
    if isinstance(cells, str):
        return Again(then=then, refusal=cells + files_of(then))
    found = _found(then, cells)
    if found is None:
        told = f"the present code makes no such task of {_source(then)}. {old_code(then)}"
        return Again(then=then, refusal=told)
    cell, task = found
    trains = tuple(_trains(then, cell, task, cells, trained))
    inputs = list(inputs_of(then, task, trains, trained))
    if refusal := other_files(then, cell, task) or other_images(inputs):
        return Again(then=then, refusal=refusal)
    changes = (*other_code(then, task, inputs), *dict.fromkeys(other_place(then, trained, here)))
    return Again(
        then=then,
        cell=cell,
        task=task,
        trains=trains,
        changes=changes,
        remarks=tuple(remarks(then, trained)),
        exact=not changes and here["device"] == "cpu",
    )


def _found(then: Recorded, cells: Sequence[PlannedCell]) -> tuple[PlannedCell, Task] | None:
    """The same task by its key, or else the one that asks for the same of the same network."""
    described = _network(then.cell_spec)
    own = [c for c in cells if c.key == then.cell_id] or [c for c in cells if _holds(described, _network(c.spec))]
    tasks = [(cell, task) for cell in own for task in cell.tasks if task.kind == then.kind]
    same = [each for each in tasks if each[1].key == then.task_key]
    was = _asked(then.spec, then.cell_spec)
    like = [each for each in tasks if _holds(was, read_json(canonical(_asked(each[1].spec, each[0].spec))))]
    return next(iter(same or like), None)


def _network(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A cell's description less what files hold, and with contenders by their labels, since their keys hold code."""
    kept = {name: value for name, value in spec.items() if name not in ("changed", "contenders", "order")}
    files = {name: (kept.get(name) or {}).get("file") for name in ("weights", "start")}
    order = [spec["contenders"][key] for key in spec.get("order", ())]
    return kept | files | {"contenders": [(each["label"], each["method"]) for each in order]}


def _holds(was: Any, has: Any) -> bool:
    """Whether all that was said then is said now. The present code may say more: settings and axes that came since."""
    if isinstance(was, Mapping) and isinstance(has, Mapping):
        return all(_holds(value, has.get(name)) for name, value in was.items())
    return bool(was == has)


def _asked(spec: Mapping[str, Any], cell: Mapping[str, Any]) -> dict[str, Any]:
    """What the grid asked of the task; a contender, whose key holds its code, by its label."""
    kept = {name: value for name, value in spec.items() if name not in MADE and not name.endswith("_code")}
    return kept | {"of": cell.get("contenders", {}).get(spec.get("contender"), {}).get("label")}


def _trains(
    then: Recorded, cell: PlannedCell, task: Task, cells: Iterable[PlannedCell], trained: Mapping[str, Training]
) -> Iterator[tuple[PlannedCell, Task]]:
    """Each training that `task` needs, with the cell that did it then: who shares it may round otherwise."""
    was = dict(zip(task.needs, needed(then, trained), strict=False))
    for key in task.needs:
        owner, train = next((c, t) for c in (cell, *cells) for t in c.tasks if t.key == key)
        yield _trainer(owner, cells, was[key]) if key in was else owner, train


def _trainer(owner: PlannedCell, cells: Iterable[PlannedCell], was: Training) -> PlannedCell:
    """The cell that trained; where the grid lacks it, `owner` with its settings, which differ in execution alone."""
    if found := next((cell for cell in cells if cell.key == was.cell_id), None):
        return found
    settings = owner.settings | {name: was.cell_spec["settings"].get(name, x) for name, x in owner.settings.items()}
    return dataclasses.replace(owner, key=was.cell_id, spec={**owner.spec, "settings": settings})


def _cells(again: Iterable[Again]) -> list[PlannedCell]:
    """The cells to carry out, each once, with the tasks that are asked for and the trainings that they need.

    Of cells that share a training the first does it, so those that did it then come first. Who is compared with a twin
    must be planned with its training.
    """
    cells: dict[str, PlannedCell] = {}
    tasks: dict[str, dict[str, Task]] = {}
    for each in again:
        for cell, task in each.work:
            if cell.key not in cells or each.then.kind == "harm":
                cells[cell.key] = cell
            tasks.setdefault(cell.key, {}).setdefault(task.key, task)
    trainers = {cell.key for each in again for cell, _ in each.trains}
    trainers |= {each.cell.key for each in again if each.cell and each.then.kind == "train"}
    ordered = sorted(cells, key=lambda key: key not in trainers)
    return [dataclasses.replace(cells[key], tasks=tuple(tasks[key].values())) for key in ordered]
