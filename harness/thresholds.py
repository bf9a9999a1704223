"""Thresholds of a grid: whether each is about something that the grid measures."""

from __future__ import annotations

from collections.abc import Collection

from datasets.naming import nearest
from datasets.sets import called
from harness.grid import Grid


def check_thresholds(grid: Grid, methods: Collection[str]) -> None:
    """Check that what thresholds name is there; `methods` are names and labels of the grid's cells.

    Raises:
        ValueError: a method, scale, size or test set that the grid has not: the threshold would allow nothing.
    """
    places = {*grid.profile.sizes, *grid.count.sizes, *grid.race.sizes, *map(called, grid.evaluate.data)}
    scales = list(map(str, grid.scale))
    for position, row in enumerate(grid.thresholds):
        _check(f"thresholds.{position}.method", [row.method] if row.method else [], methods)
        _check(f"thresholds.{position}.scale", [str(row.scale)] if row.scale else [], scales)
        _check(f"thresholds.{position}.at", row.at or (), places)


def _check(key: str, named: Collection[str], known: Collection[str]) -> None:
    for name in named:
        if name not in known:
            raise ValueError(f"{key}: the grid has no {name!r}: {nearest(name, known)}")
