"""Exclusions: rows of a grid that name what to leave out, a whole cell or single tasks of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datasets.naming import nearest
from harness.grid_tables import Scalar
from harness.records import Task

Row = Mapping[str, Sequence[Scalar]]
TASK_NAMES = {
    "data": "dataset",
    "degradation": "degradation",
    "tiling": "tiling",
    "precision": "precision",
    "self_ensemble": "self_ensemble",
    "hash_seed": "hash_seed",
    "compile": "compile",
    "channels_last": "channels_last",
    "cuda_graphs": "cuda_graphs",
    "size": "size",
}
"""What a row may name of a task: the name in a grid, and the name in a task's spec."""
NO_TASK = Task(kind="train", key="", spec={})
"""A row that names this names the cell itself, and so every task of it."""


class Exclusions:
    """The rows of a grid, and what has been asked of them: a row that leaves nothing out is a mistake."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.used: set[int] = set()
        self.seen: dict[str, set[str]] = {}

    def name(self, cell: Mapping[str, Any], task: Task) -> bool:
        """Whether a row names this task of a cell. A row that names nothing but its cell names every task of it."""
        if not self.rows:
            return False
        named = {name: task.spec[inside] for name, inside in TASK_NAMES.items() if inside in task.spec}
        view = {**cell, **({} if task.kind == "train" else named)}
        for name, value in view.items():
            self.seen.setdefault(name, set()).add(str(value))
        found = {
            position
            for position, row in enumerate(self.rows)
            if all(name in view and view[name] in allowed for name, allowed in row.items())
        }
        self.used |= found
        return bool(found)

    def check(self) -> None:
        """Raise `ValueError` if a row has named nothing: an expensive cell would run for a misspelt value."""
        for position, row in enumerate(self.rows):
            if position not in self.used:
                raise ValueError(f"exclude.{position} names no cell and no task{self._lacking(row)}")

    def _lacking(self, row: Row) -> str:
        for name, allowed in row.items():
            known = self.seen.get(name, set())
            if known.isdisjoint(map(str, allowed)):
                return f": none has {name} {allowed[0]!r}: {nearest(str(allowed[0]), known)}"
        return ": none has all that it asks for together"


def check_exclusions(rows: Iterable[Row], cells: Iterable[Mapping[str, Any]]) -> None:
    """Raise `ValueError` with the nearest match if a row names what neither a cell nor a task has."""
    known = set(TASK_NAMES).union(*cells)
    for position, row in enumerate(rows):
        for name in row:
            if name not in known:
                raise ValueError(f"exclude.{position}: unknown key {name!r}: {nearest(name, known)}")
