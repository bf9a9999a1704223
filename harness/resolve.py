"""From cells of a grid to networks: methods looked up, settings resolved, weights files known by their content."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import methods
from datasets.naming import nearest
from datasets.sets import called
from harness.grid import Cell, Grid
from harness.grid_tables import Scalar
from harness.labels import labels
from harness.records import canonical, fingerprint
from harness.sources import code_version
from methods.catalogue import FROM_FILES, NETWORKS
from methods.interface import FromFile, Plugin, attention_modules
from methods.settings import our_names
from methods.weights import check_weights, file_hash

ELSEWHERE = {"bicubic": "harness.bicubic:METHOD", **FROM_FILES}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resolved:
    """A cell with its method's full settings; seeds and budgets that cannot matter are gone."""

    cell: Cell
    address: str
    title: str
    plugin: Plugin
    settings: dict[str, Scalar]
    attends: bool
    """Whether the network has attention that can be looked into; unknown, so False, before a file is opened."""

    @property
    def trained(self) -> bool:
        """Whether its weights are learnt by this grid."""
        return self.plugin.trainable and self.cell.weights is None

    @functools.cached_property
    def spec(self) -> dict[str, Any]:
        """The cell as the store describes it."""
        return {
            "method": self.cell.method,
            "title": self.title,
            "settings": self.settings,
            "changed": self.changed,
            "scale": self.cell.scale,
            "seed": self.cell.seed if self.trained else 0,
            "weights": _described(self.cell.weights),
            "start": _described(self.cell.start) if self.trained else None,
            "train": self.budget if self.trained else None,
        }

    @functools.cached_property
    def changed(self) -> dict[str, Scalar]:
        """The settings that are not as released."""
        released = self.plugin.settings()
        return {name: value for name, value in self.settings.items() if released.get(name) != value}

    @functools.cached_property
    def budget(self) -> dict[str, Any]:
        """The training budget, its data set by name."""
        return self.cell.train.model_dump(mode="json") | {"data": called(self.cell.train.data)}

    @functools.cached_property
    def key(self) -> str:
        """The cell's name in the store."""
        return fingerprint(self.spec)

    @functools.cached_property
    def weights_sha256(self) -> str | None:
        """The hash of the weights file, if there is one."""
        weights = _described(self.cell.weights)
        return weights["sha256"] if weights else None

    @functools.cached_property
    def function(self) -> dict[str, Any]:
        """What the network computes: method, settings, code; how it is executed left out."""
        settings = {k: v for k, v in self.settings.items() if k not in self.plugin.execution}
        code = code_version(self.address.partition(":")[0])
        known = {"method": self.cell.method, "settings": settings, "scale": self.cell.scale, "code": code}
        return known | ({"file": self.weights_sha256} if isinstance(self.plugin, FromFile) else {})


def resolve(cell: Cell) -> Resolved:
    """The network of `cell`, built once without memory, so that what is wrong with it is told now.

    Raises:
        ValueError: an unknown method, a setting or value that it refuses, whatever else its code raises, or a weights
            file that is not there.
    """
    address = ELSEWHERE.get(cell.method, cell.method)
    if address not in NETWORKS and ":" not in address:
        raise ValueError(f"unknown method {cell.method!r}: {nearest(cell.method, [*NETWORKS, *ELSEWHERE])}")
    plugin = methods.method(address)
    try:
        chosen = _chosen(plugin, cell)
        attends = _attends(address, plugin, cell, chosen)
        settings = plugin.settings(chosen)
        _check_files(address, plugin, cell, canonical(chosen))
    except Exception as error:  # a plug-in is anybody's code
        raise ValueError(f"method {cell.method!r}: {_told(error)}") from error
    title = cell.label or (Path(cell.weights).stem if isinstance(plugin, FromFile) and cell.weights else plugin.title)
    module = NETWORKS.get(address, address)
    return Resolved(cell=cell, address=module, title=title, plugin=plugin, settings=settings, attends=attends)


def _check_files(address: str, plugin: Plugin, cell: Cell, chosen: str) -> None:
    """Whether weights fit the network, which is known before anything is trained."""
    for file, starts in ((cell.weights, False), (cell.start, True)):
        if file and not isinstance(plugin, FromFile) and os.path.isfile(file):  # noqa: PTH113 - as in `_described`
            _check_file(address, cell.scale, chosen, file, os.stat(file).st_mtime_ns, starts=starts)  # noqa: PTH116


@functools.cache
def _check_file(address: str, scale: int, chosen: str, file: str, modified: int, *, starts: bool) -> None:  # noqa: ARG001
    """Once for all seeds; the time of its change is part of the cache's key."""
    with torch.device("meta"):
        network = methods.method(address).build(scale, json.loads(chosen))
    check_weights(network, file, new_upsampler=starts)


def _told(error: Exception) -> str:
    """The first line of what a method raised, with its kind unless it was raised for the user."""
    line = next(iter(str(error).splitlines()), "")
    return line if isinstance(error, ValueError) and line else f"{type(error).__name__}: {line}"


def _attends(address: str, plugin: Plugin, cell: Cell, chosen: Mapping[str, Scalar]) -> bool:
    if cell.weights is not None and isinstance(plugin, FromFile):
        return False
    return _has_attention(address, cell.scale, canonical(chosen))


@functools.cache
def _has_attention(address: str, scale: int, chosen: str) -> bool:
    """Cells that differ in seed or budget are of one network; `chosen` is JSON, in which 1 and true differ."""
    with torch.device("meta"):
        return bool(attention_modules(methods.method(address).build(scale, json.loads(chosen))))


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
    if not os.path.isfile(file := Path(path)):  # noqa: PTH113 - Path.is_file raises where a name is too long
        raise ValueError(f"no weights file at {path}")
    return {"file": file.name, "sha256": _hash(file, file.stat().st_mtime_ns)}


@functools.cache
def _hash(file: Path, modified: int) -> str:  # noqa: ARG001 - part of the cache's key
    return file_hash(file)


def labelled(cells: Sequence[Resolved]) -> list[str]:
    """The label of each cell. Cells of one label differ in scale and seed alone, which are columns of their own.

    Raises:
        ValueError: two that differ in more would bear one label, as a plug-in that is titled like a built-in method.
    """
    named, first = labels([(cell.title, _label_view(cell)) for cell in cells]), dict[tuple[str, int], Resolved]()
    for label, cell in zip(named, cells, strict=True):
        held = first.setdefault((label, cell.cell.scale), cell)
        if told := [name for name, value in cell.spec.items() if name != "seed" and value != held.spec[name]]:
            both = f"{held.cell.method!r} and {cell.cell.method!r}, which differ in {', '.join(told)}"
            raise ValueError(f"two methods of the grid would be called {label!r}: {both}. Give one of them a label")
    return named


def _label_view(cell: Resolved) -> dict[str, Scalar]:
    """What may tell two cells of a method apart in a label: settings, budget, weights; scale and seed are columns."""
    spec = cell.spec
    budget: dict[str, Scalar] = {f"train {name}": str(value) for name, value in (spec["train"] or {}).items()}
    absent = {"weights": "trained", "start": "from scratch"}
    return cell.settings | budget | {name: spec[name]["file"] if spec[name] else word for name, word in absent.items()}


def cell_view(resolved: Resolved) -> dict[str, Any]:
    """What an exclusion may name of a cell."""
    spec = resolved.spec
    budget = {f"train.{name}": value for name, value in (spec["train"] or {}).items()}
    return resolved.settings | budget | {name: spec[name] for name in ("method", "scale", "seed")}


def check_trunk(grid: Grid, cells: Iterable[Resolved]) -> None:
    """Sizes of the trunk go to the methods that have them; one that no method has is a mistake."""
    known = set().union(*(cell.settings for cell in cells))
    for name in our_names(dict.fromkeys(grid.trunk, 0)):
        if name not in known:
            raise ValueError(f"trunk: no method of this grid has a setting {name!r}: {nearest(name, known)}")
