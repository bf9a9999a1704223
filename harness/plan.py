"""From a grid to the tasks it asks for, and the key of each. Nothing is run.

A task's key is the hash of all that its result depends on: settings, code, data, protocol, seed. It holds no path and
no label, so work done for one grid is found by another.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
from datasets.sets import ImageSet, called
from harness.contenders import Contender, Session
from harness.count import counting
from harness.errors import UserError
from harness.exclusions import NO_TASK, Exclusions, check_exclusions
from harness.grid import Grid
from harness.grid_tables import Scalar, TrainBudget, height_width
from harness.machine import versions
from harness.passes import passes
from harness.perceptual import available
from harness.positions import check_positions, positions_in
from harness.precisions import check_precisions
from harness.records import Kind, Task, fingerprint
from harness.resolve import Resolved, cell_view, check_trunk, labelled, resolve
from harness.sources import code_version
from harness.thresholds import check_thresholds
from harness.twins import Twin, Twins

CODE: Mapping[Kind, str] = {
    "train": "harness.train",
    "evaluate": "harness.evaluate",
    "harm": "harness.harm",
    "attention": "harness.attend",
    "profile": "harness.profile",
}
"""The module that does each kind of task; what it imports belongs to the task's key too."""
MADE_BY = ("harness.networks", "methods.weights")
"""What makes networks of a seed or a file, for tasks of every kind."""
NEED_WEIGHTS: tuple[Kind, ...] = ("evaluate", "harm", "attention")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell with its method found and its tasks known. `spec` describes it in the store."""

    key: str
    label: str
    address: str
    spec: Mapping[str, Any]
    weights: Path | None
    start: Path | None
    twin: Twin | None
    tasks: tuple[Task, ...]
    contenders: Mapping[str, Contender] = dataclasses.field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Scalar]:
        """Every setting of the network."""
        return dict(self.spec["settings"])

    @property
    def scale(self) -> int:
        """The enlargement."""
        return int(self.spec["scale"])

    @property
    def budget(self) -> TrainBudget | None:
        """How the network is trained, if it is."""
        return TrainBudget.model_validate(self.spec["train"], strict=False) if self.spec["train"] else None


def plan(grid: Grid, source: str, machine: Mapping[str, Any], *, whole: bool = True) -> list[PlannedCell]:
    """Every cell of `grid` with its tasks, exclusions applied, duplicates merged, in the grid's order.

    `source` is the grid's file name, for messages; `machine` is what profiles depend on. Raises UserError for an
    unknown method, setting, data set, twin or weights file, a value that a method refuses, a precision that the machine
    lacks, a threshold, or an exclusion of a `whole` grid, that names nothing.
    """
    try:
        data_names(grid)
        _check(grid)
        check_precisions(grid, machine)
        named = list({cell.key: cell for cell in map(resolve, grid.cells())}.values())
        check_trunk(grid, named)
        exclusions = Exclusions(grid.exclude)
        check_exclusions(grid.exclude, [cell_view(cell) for cell in named])
        resolved = [cell for cell in named if not exclusions.name(cell_view(cell), NO_TASK)]
        labels = labelled(resolved)
        check_thresholds(grid, {*labels, *(cell.cell.method for cell in resolved)})
        told = dict(zip([cell.key for cell in resolved], labels, strict=True))
        planned = _Planner(grid, machine, told, resolved, exclusions)
        cells = [*(planned.cell(cell) for cell in resolved), *planned.sessions()]
        if whole:
            exclusions.check()
    except ValueError as error:
        raise UserError(f"{source}: {error}") from error
    kept = [cell for cell in cells if cell.tasks]
    if not kept:
        raise UserError(f"{source}: the exclusions leave no cell")
    return kept


@functools.cache
def image_set(name: str, scale: int, degradation: Any = "bicubic", noise_seed: int = 0) -> ImageSet:
    """The set `name` at `scale`; its fingerprint is computed once."""
    return datasets.load(name, scale, degradation=degradation, noise_seed=noise_seed)


def data_names(grid: Grid) -> dict[str, str]:
    """Every data set of a grid: its name in the store, and its name or path in the grid.

    Raises:
        ValueError: two folders of one name, whose scores nobody could tell apart.
    """
    found: dict[str, str] = {}
    for name in [*grid.evaluate.data, *(budget.data for budget in grid.budgets())]:
        if found.setdefault(called(name), name) != name:
            raise ValueError(f"two data sets are called {called(name)!r}: {found[called(name)]} and {name}")
    return found


def _check(grid: Grid) -> None:
    """What no table can check for itself."""
    if needing := [kind for kind in NEED_WEIGHTS if kind in grid.tasks and "train" not in grid.tasks]:
        raise ValueError(f"tasks: {needing[0]} needs trained weights, so train must be among the tasks")
    if grid.evaluate.perceptual and (reason := available()):
        raise ValueError(f"evaluate.perceptual: {reason}")
    check_positions(grid, image_set)


@dataclasses.dataclass(frozen=True)
class _Planner:
    """Makes the tasks of each cell of one grid on one machine; `resolved` are those that no exclusion names whole."""

    grid: Grid
    machine: Mapping[str, Any]
    labels: Mapping[str, str]
    resolved: list[Resolved]
    exclusions: Exclusions

    def cell(self, resolved: Resolved) -> PlannedCell:
        """`resolved` with those of its tasks that no exclusion names."""
        view, twin = cell_view(resolved), self._beside.get(resolved.key)
        return PlannedCell(
            key=resolved.key,
            label=self.labels[resolved.key],
            address=resolved.address,
            spec=resolved.spec,
            weights=Path(resolved.cell.weights) if resolved.cell.weights else None,
            start=Path(resolved.cell.start) if resolved.cell.start else None,
            twin=self._twin(twin) if twin else None,
            tasks=tuple(task for task in self._tasks(resolved, twin) if not self.exclusions.name(view, task)),
        )

    @functools.cached_property
    def _shown(self) -> set[str]:
        """The first seed of each network."""
        keys = {fingerprint({**cell.spec, "seed": None}): cell.key for cell in reversed(self.resolved)}
        return set(keys.values())

    @functools.cached_property
    def _beside(self) -> dict[str, Resolved]:
        """By its key, what each cell is compared with: its twin, or, for a twin, its control."""
        known = Twins(self.resolved)
        twins = {cell.key: twin for cell in self.resolved if (twin := known.of(cell))}
        distinct = {twin.key: twin for twin in twins.values()}
        controls = {key: known.control(twin) for key, twin in distinct.items()}
        return {key: control for key, control in controls.items() if control} | twins

    def _twin(self, twin: Resolved) -> Twin:
        trained = twin.trained and "train" in self.grid.tasks
        return Twin(
            label=self.labels[twin.key],
            address=twin.address,
            settings=twin.settings,
            weights=Path(twin.cell.weights) if twin.cell.weights else None,
            train=_train_task(twin).key if trained else None,
        )

    def _tasks(self, resolved: Resolved, twin: Resolved | None) -> Iterator[Task]:
        kinds = self.grid.tasks
        if resolved.trained and "train" in kinds:
            yield _train_task(resolved)
        if "evaluate" in kinds:
            yield from self._evaluations(resolved)
        if "harm" in kinds and twin is not None and self.grid.harm.measure:
            yield from self._harms(resolved, twin)
        if "attention" in kinds and resolved.attends and self.grid.attention.measure:
            yield from self._looks(resolved)
        if "profile" in kinds:
            yield from self._profiles(resolved)

    def _evaluations(self, resolved: Resolved) -> Iterator[Task]:
        axes = self.grid.evaluate
        points = itertools.product(axes.degradation, axes.tiling, axes.precision, axes.self_ensemble, axes.hash_seeds)
        for name, point in itertools.product(axes.data, points):
            degradation, tiling, precision, self_ensemble, hash_seed = point
            how = {"tiling": tiling, "precision": precision, "self_ensemble": self_ensemble, "hash_seed": hash_seed}
            what = {"perceptual": list(axes.perceptual), **self._pictures(resolved, name)}
            images = self._images(resolved, name, degradation)
            yield _task("evaluate", resolved, _network(resolved) | images | how | what, _needs(resolved))

    def _pictures(self, resolved: Resolved, name: str) -> dict[str, Any]:
        """What is kept to be looked at: a page shows the first seed of a network, so others keep nothing."""
        if resolved.key not in self._shown:
            return {"crops": 0, "at": {}}
        images = image_set(name, resolved.cell.scale)
        return {"crops": self.grid.evaluate.crops, "at": positions_in(images, self.grid.evaluate.at)}

    def _harms(self, resolved: Resolved, twin: Resolved) -> Iterator[Task]:
        """On every set and degradation, asked as the first evaluation is asked."""
        axes = self.grid.evaluate
        how = {"tiling": axes.tiling[0], "precision": axes.precision[0], "self_ensemble": axes.self_ensemble[0]}
        how |= {"hash_seed": axes.hash_seeds[0], "maps": self.grid.harm.maps, "twin": _network(twin)}
        for name, degradation in itertools.product(axes.data, axes.degradation):
            spec = _network(resolved) | self._images(resolved, name, degradation) | how
            yield _task("harm", resolved, spec, (*_needs(resolved), *_needs(twin)))

    def _looks(self, resolved: Resolved) -> Iterator[Task]:
        """On the first set, at each profiled size that its images have; maps are drawn at the largest."""
        axes, table = self.grid.evaluate, self.grid.attention
        sizes = [size for size in self.grid.profile.sizes if _holds(axes.data[0], resolved.cell.scale, size)]
        asked: dict[str, Any] = {"precision": axes.precision[0], "hash_seed": axes.hash_seeds[0]}
        asked |= {"images": table.images, "queries": table.queries, "top": table.top, "at": dict(table.at)}
        for size in sizes:
            maps = {"size": size, "maps": table.maps if size == sizes[-1] else 0}
            spec = _network(resolved) | self._images(resolved, axes.data[0], axes.degradation[0]) | asked | maps
            yield _task("attention", resolved, spec, _needs(resolved))

    def sessions(self) -> Iterator[PlannedCell]:
        """What counts, and what times, all that the grid names: last of all, a cell for each process."""
        if self.grid.count.measure and "count" in self.grid.tasks:
            counted = counting(self.grid.count, self.resolved, self.labels)
            yield from [_of_session(counted)] if counted else []
        if self.grid.race.measure and "race" in self.grid.tasks:
            machine = fingerprint(self.machine)
            yield from map(_of_session, passes(self.grid.race, self.resolved, self.labels, machine))

    def _profiles(self, resolved: Resolved) -> Iterator[Task]:
        axes, names = self.grid.profile, ("precision", "compile", "channels_last", "cuda_graphs", "size")
        fixed = {"settings": resolved.settings, "warm_up_s": axes.warm_up_s, "budget_s": axes.budget_s}
        fixed |= {"machine": fingerprint(self.machine), "torch": versions()["torch"]}
        ways = (axes.precision, axes.compile, axes.channels_last, axes.cuda_graphs, axes.sizes)
        for point in itertools.product(*ways):
            yield _task("profile", resolved, fixed | dict(zip(names, point, strict=True)))

    def _images(self, resolved: Resolved, name: str, degradation: str) -> dict[str, Any]:
        images = image_set(name, resolved.cell.scale, degradation, self.grid.evaluate.noise_seed)
        made = {"degradation": degradation, "noise_seed": images.noise_seed, "border": images.border}
        return {"dataset": called(name), "data": images.fingerprint, **made}


def _of_session(each: Session) -> PlannedCell:
    return PlannedCell(
        key=fingerprint(each.spec),
        label=str(each.spec["title"]),
        address="",
        spec=each.spec,
        weights=None,
        start=None,
        twin=None,
        tasks=each.tasks,
        contenders=each.contenders,
    )


def _train_task(resolved: Resolved) -> Task:
    budget = resolved.cell.train
    data = image_set(budget.data, resolved.cell.scale, budget.degradation, budget.noise_seed)
    start = resolved.spec["start"]
    trained = {"train": resolved.budget, "data": data.fingerprint, "seed": resolved.cell.seed, "start": start}
    return _task("train", resolved, trained)


def _task(kind: Kind, resolved: Resolved, spec: dict[str, Any], needs: tuple[str, ...] = ()) -> Task:
    whole = resolved.function | spec | {f"{kind}_code": code_version(CODE[kind], *MADE_BY)}
    return Task(kind=kind, key=fingerprint(whole | {"kind": kind}), spec=whole, needs=needs)


def _network(resolved: Resolved) -> dict[str, Any]:
    """The network with its weights, as a task's specification knows it."""
    weights = _train_task(resolved).key if resolved.trained else resolved.weights_sha256
    return resolved.function | {"settings": resolved.settings, "weights": weights}


def _needs(resolved: Resolved) -> tuple[str, ...]:
    return (_train_task(resolved).key,) if resolved.trained else ()


@functools.cache
def _holds(name: str, scale: int, size: str) -> bool:
    """Whether any image of the set is as large as `size` at low resolution."""
    images, wanted = image_set(name, scale), height_width(size)
    return any(all(a >= b for a, b in zip(images.lr_size(file), wanted, strict=True)) for file in images.files)
