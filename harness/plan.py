"""From a grid to the tasks it asks for: methods looked up, settings resolved, keys made. Nothing is run.

A task's key is the hash of all that its result depends on: settings, code, data, protocol, seed. It holds no path and
no label, so work done for one grid is found by another.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

import datasets
import methods
from datasets.naming import nearest
from datasets.sets import ImageSet, called
from harness.errors import UserError
from harness.exclusions import check_exclusions, excluded
from harness.grid import Cell, Grid, Scalar, TrainBudget
from harness.labels import labels
from harness.records import Task, fingerprint
from harness.sources import code_version
from methods.catalogue import FROM_FILES, NETWORKS
from methods.interface import FromFile, Plugin
from methods.settings import our_names
from methods.weights import file_hash

ELSEWHERE = {"bicubic": "harness.bicubic:METHOD", **FROM_FILES}
TRAIN_CODE = ("harness.train",)
EVALUATE_CODE = ("harness.evaluate",)
PROFILE_CODE = ("harness.profile",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell with its method found and its tasks known. `spec` describes it in the store."""

    key: str
    label: str
    address: str
    spec: Mapping[str, Any]
    weights: Path | None
    start: Path | None
    tasks: tuple[Task, ...]

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


def plan(grid: Grid, source: str, machine: Mapping[str, Any]) -> list[PlannedCell]:
    """Every cell of `grid` with its tasks, exclusions applied, duplicates merged, in the grid's order.

    `source` is the grid's file name, for messages; `machine` is what profiles depend on.

    Raises:
        UserError: an unknown method, setting, data set or weights file, a value that a method refuses, an exclusion
            that names nothing.
    """
    try:
        data_names(grid)
        resolved = list({cell.key: cell for cell in map(_resolve, grid.cells())}.values())
        _check_trunk(grid, resolved)
        check_exclusions(grid.exclude, [_cell_view(cell) for cell in resolved])
        named = labels([(cell.title, _label_view(cell)) for cell in resolved])
        planned = [_planned(cell, label, grid, machine) for cell, label in zip(resolved, named, strict=True)]
    except ValueError as error:
        raise UserError(f"{source}: {error}") from error
    kept = [cell for cell in planned if cell.tasks]
    if not kept:
        raise UserError(f"{source}: the exclusions leave no cell")
    return kept


@functools.cache
def image_set(name: str, scale: int) -> ImageSet:
    """The set `name` at `scale`; its fingerprint is computed once."""
    return datasets.load(name, scale)


def set_name(name: str) -> str:
    """How a set is called in the store: its name, or the part of a folder's path that tells it from others."""
    return called(name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Resolved:
    """A cell with its method's full settings; seeds and budgets that cannot matter are gone."""

    cell: Cell
    address: str
    title: str
    plugin: Plugin
    settings: dict[str, Scalar]

    @property
    def trained(self) -> bool:
        return self.plugin.trainable and self.cell.weights is None

    @property
    def spec(self) -> dict[str, Any]:
        """The cell as the store describes it."""
        return {
            "method": self.cell.method,
            "title": self.title,
            "settings": self.settings,
            "scale": self.cell.scale,
            "seed": self.cell.seed if self.trained else 0,
            "weights": _described(self.cell.weights),
            "start": _described(self.cell.start) if self.trained else None,
            "train": self.budget if self.trained else None,
        }

    @property
    def budget(self) -> dict[str, Any]:
        """The training budget, its data set by name."""
        return self.cell.train.model_dump(mode="json") | {"data": set_name(self.cell.train.data)}

    @property
    def key(self) -> str:
        return fingerprint(self.spec)

    @property
    def weights_sha256(self) -> str | None:
        weights = _described(self.cell.weights)
        return weights["sha256"] if weights else None

    @property
    def function(self) -> dict[str, Any]:
        """What the network computes: method, settings, code; how it is executed left out."""
        settings = {k: v for k, v in self.settings.items() if k not in self.plugin.execution}
        code = code_version(self.address.partition(":")[0])
        known = {"method": self.cell.method, "settings": settings, "scale": self.cell.scale, "code": code}
        return known | ({"file": self.weights_sha256} if isinstance(self.plugin, FromFile) else {})


def _resolve(cell: Cell) -> _Resolved:
    address = ELSEWHERE.get(cell.method, cell.method)
    if address not in NETWORKS and ":" not in address:
        raise ValueError(f"unknown method {cell.method!r}: {nearest(cell.method, [*NETWORKS, *ELSEWHERE])}")
    plugin = methods.method(address)
    try:
        chosen = _chosen(plugin, cell)
        if cell.weights is None or not isinstance(plugin, FromFile):
            with torch.device("meta"):
                plugin.build(cell.scale, chosen)
        settings = plugin.settings(chosen)
    except ValueError as error:
        raise ValueError(f"method {cell.method!r}: {error}") from error
    title = cell.label or (Path(cell.weights).stem if isinstance(plugin, FromFile) and cell.weights else plugin.title)
    module = NETWORKS.get(address, address)
    return _Resolved(cell=cell, address=module, title=title, plugin=plugin, settings=settings)


def _chosen(plugin: Plugin, cell: Cell) -> dict[str, Scalar]:
    """The method's own overrides, and those sizes of the grid's trunk that it has; which trunk is settled first."""
    chosen = our_names(cell.overrides)
    for name, value in sorted(our_names(cell.trunk).items(), key=lambda item: item[0] != "trunk"):
        if name not in chosen and name in plugin.settings(chosen):
            chosen[name] = value
    return chosen


def _described(path: str | None) -> dict[str, str] | None:
    """A weights file as the store knows it: its name and its hash."""
    if path is None:
        return None
    if not (file := Path(path)).is_file():
        raise ValueError(f"no weights file at {path}")
    return {"file": file.name, "sha256": _hash(file, file.stat().st_mtime_ns)}


@functools.cache
def _hash(file: Path, modified: int) -> str:  # noqa: ARG001 - part of the cache's key
    return file_hash(file)


def _planned(resolved: _Resolved, label: str, grid: Grid, machine: Mapping[str, Any]) -> PlannedCell:
    view = _cell_view(resolved)
    return PlannedCell(
        key=resolved.key,
        label=label,
        address=resolved.address,
        spec=resolved.spec,
        weights=Path(resolved.cell.weights) if resolved.cell.weights else None,
        start=Path(resolved.cell.start) if resolved.cell.start else None,
        tasks=tuple(task for task in _tasks(resolved, grid, machine) if not excluded(grid.exclude, view, task)),
    )


def _tasks(resolved: _Resolved, grid: Grid, machine: Mapping[str, Any]) -> Iterator[Task]:
    train = _train_task(resolved) if resolved.trained else None
    if train is not None:
        yield train
    yield from _evaluate_tasks(resolved, grid, train)
    yield from _profile_tasks(resolved, grid, machine)


def _train_task(resolved: _Resolved) -> Task:
    data = image_set(resolved.cell.train.data, resolved.cell.scale)
    spec = resolved.function | {
        "train": resolved.budget,
        "data": data.fingerprint,
        "seed": resolved.cell.seed,
        "start": resolved.spec["start"],
        "train_code": code_version(*TRAIN_CODE),
    }
    return Task(kind="train", key=fingerprint(spec | {"kind": "train"}), spec=spec)


def _evaluate_tasks(resolved: _Resolved, grid: Grid, train: Task | None) -> Iterator[Task]:
    axes = grid.evaluate
    for data in axes.data:
        images = image_set(data, resolved.cell.scale)
        for tiling in axes.tiling:
            for precision in axes.precision:
                for hash_seed in axes.hash_seeds:
                    spec = resolved.function | {
                        "settings": resolved.settings,
                        "weights": train.key if train else resolved.weights_sha256,
                        "dataset": set_name(data),
                        "data": images.fingerprint,
                        "border": images.border,
                        "tiling": tiling,
                        "precision": precision,
                        "hash_seed": hash_seed,
                        "crops": axes.crops,
                        "evaluate_code": code_version(*EVALUATE_CODE),
                    }
                    key = fingerprint(spec | {"kind": "evaluate"})
                    yield Task(kind="evaluate", key=key, spec=spec, needs=train.key if train else None)


def _profile_tasks(resolved: _Resolved, grid: Grid, machine: Mapping[str, Any]) -> Iterator[Task]:
    for precision in grid.profile.precision:
        for size in grid.profile.sizes:
            spec = resolved.function | {
                "settings": resolved.settings,
                "size": size,
                "precision": precision,
                "warm_up_s": grid.profile.warm_up_s,
                "budget_s": grid.profile.budget_s,
                "machine": fingerprint(machine),
                "profile_code": code_version(*PROFILE_CODE),
            }
            yield Task(kind="profile", key=fingerprint(spec | {"kind": "profile"}), spec=spec)


def _label_view(cell: _Resolved) -> dict[str, Scalar]:
    """What may tell two cells of a method apart in a label: settings, budget, weights; scale and seed are columns."""
    spec = cell.spec
    budget: dict[str, Scalar] = {f"train {name}": str(value) for name, value in (spec["train"] or {}).items()}
    absent = {"weights": "trained", "start": "from scratch"}
    return cell.settings | budget | {name: spec[name]["file"] if spec[name] else word for name, word in absent.items()}


def _cell_view(resolved: _Resolved) -> dict[str, Any]:
    """What an exclusion may name of a cell."""
    spec = resolved.spec
    budget = {f"train.{name}": value for name, value in (spec["train"] or {}).items()}
    return resolved.settings | budget | {name: spec[name] for name in ("method", "scale", "seed")}


def data_names(grid: Grid) -> dict[str, str]:
    """Every data set of a grid: its name in the store, and its name or path in the grid.

    Raises:
        ValueError: two folders of one name, whose scores nobody could tell apart.
    """
    found: dict[str, str] = {}
    for name in [*grid.evaluate.data, *(budget.data for budget in grid.budgets())]:
        if found.setdefault(set_name(name), name) != name:
            raise ValueError(f"two data sets are called {set_name(name)!r}: {found[set_name(name)]} and {name}")
    return found


def _check_trunk(grid: Grid, cells: Iterable[_Resolved]) -> None:
    """Sizes of the trunk go to the methods that have them; one that no method has is a mistake."""
    known = set().union(*(cell.settings for cell in cells))
    for name in our_names(dict.fromkeys(grid.trunk, 0)):
        if name not in known:
            raise ValueError(f"trunk: no method of this grid has a setting {name!r}: {nearest(name, known)}")
