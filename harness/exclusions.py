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


def excluded(rows: Iterable[Row], cell: Mapping[str, Any], task: Task) -> bool:
    """Whether a row names this task of a cell. A row that names nothing but its cell names every task of it."""
    named = {name: task.spec[inside] for name, inside in TASK_NAMES.items() if inside in task.spec}
    view = {**cell, **({} if task.kind == "train" else named)}
    return any(all(name in view and view[name] in allowed for name, allowed in row.items()) for row in rows)


def check_exclusions(rows: Iterable[Row], cells: Iterable[Mapping[str, Any]]) -> None:
    """Raise `ValueError` with the nearest match if a row names what neither a cell nor a task has."""
    known = set(TASK_NAMES).union(*cells)
    for position, row in enumerate(rows):
        for name in row:
            if name not in known:
                raise ValueError(f"exclude.{position}: unknown key {name!r}: {nearest(name, known)}")
