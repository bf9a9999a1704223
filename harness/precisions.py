"""Whether a machine has the precisions that a grid asks for: known before anything is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.grid import Grid
from harness.grid_tables import Precision
from harness.records import Kind

EVALUATIONS: tuple[Kind, ...] = ("evaluate", "harm", "attention")
"""What asks a network as `[evaluate]` says."""


def check_precisions(grid: Grid, machine: Mapping[str, Any]) -> None:
    """Refuse tf32 where there is no GPU; `machine` is as `harness.machine.describe` has it, or empty if unknown.

    Raises:
        ValueError: a table of a task of `grid` asks for tf32, and the machine's device is another.
    """
    device = machine.get("device", "cuda")
    tables = [table for table, precision in _asked(grid) if precision == "tf32"]
    if tables and not device.startswith("cuda"):
        raise ValueError(f"{tables[0]}: precision tf32 needs an NVIDIA GPU, this is {device}")


def _asked(grid: Grid) -> Iterator[tuple[str, Precision]]:
    """Each precision that a task of `grid` would take, with the table that says so."""
    if "train" in grid.tasks:
        yield from (("train", budget.precision) for budget in grid.budgets())
    if not set(EVALUATIONS).isdisjoint(grid.tasks):
        yield from (("evaluate", precision) for precision in grid.evaluate.precision)
    if "profile" in grid.tasks:
        yield from (("profile", precision) for precision in grid.profile.precision)
    if "race" in grid.tasks and grid.race.measure:
        yield from (("race", precision) for precision in grid.race.precision)
