"""Grids: a TOML file becomes cells. Every mistake is told with file, key, what is allowed and the nearest match.

Lists sweep as a product: `scale = [2, 3]` with `seeds = [0, 1]` makes four cells of each method. No torch here; whether
a method and its settings exist is asked of the catalogue later, by `harness.plan`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import Field

from datasets.naming import nearest
from harness.errors import UserError
from harness.grid_document import clipped, is_file, read_document
from harness.grid_tables import (
    TABLES,
    Attention,
    Count,
    Evaluate,
    Harm,
    Limits,
    MethodEntry,
    NotNegative,
    Profile,
    Race,
    Scalar,
    Sweep,
    Table,
    Threshold,
    TrainBudget,
    listed,
)
from harness.records import KINDS, GridKind

GRIDS = Path(__file__).with_name("grids")
MAX_CELLS = 100_000
MAX_TASKS = 1_000_000
PRINTED = 10**15
"""Larger counts are told by their powers of ten."""
SPLIT = "at most {most:,} are run at once. Split the longest list over several grids: they share what is done"
EXCLUDE = (
    "What to leave out: a row names settings, `method`, `scale`, `seed` or `train.KEY` of cells, or `data`, "
    "`degradation`, `tiling`, `precision`, `self_ensemble`, `hash_seed`, `compile`, `channels_last`, `cuda_graphs` or "
    "`size` of tasks; all its keys must match, and it must leave something out."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of a grid: a network and how it gets its weights. `overrides` are settings as the grid wrote them."""

    method: str
    label: str | None = None
    overrides: Mapping[str, Scalar] = dataclasses.field(default_factory=dict)
    trunk: Mapping[str, Scalar] = dataclasses.field(default_factory=dict)
    scale: int
    seed: int
    weights: str | None = None
    start: str | None = None
    twin: str | None = None
    train: TrainBudget


class Grid(Table):
    """A whole grid file: its own keys, and its tables."""

    name: str = Field(description="What the page and the store call the grid.")
    tasks: Sweep[GridKind] = Field(default=KINDS, description="Kinds of task to do: others are left out.")
    scale: Sweep[Literal[2, 3, 4]] = Field(default=(2,), description="How much larger the output is.")
    seeds: Sweep[NotNegative] = Field(
        default=(0,), description="Of trainings: initial weights and the order of patches."
    )
    trunk: dict[str, Sweep[Scalar]] = Field(
        default_factory=dict,
        description="Settings for every method that has them, such as `n_feats`; a method's own `settings` come first.",
    )
    train: dict[str, Any] = Field(default_factory=dict)
    evaluate: Evaluate = Field(default_factory=Evaluate)
    profile: Profile = Field(default_factory=Profile)
    harm: Harm = Field(default_factory=Harm)
    attention: Attention = Field(default_factory=Attention)
    count: Count = Field(default_factory=Count)
    race: Race = Field(default_factory=Race)
    limits: Limits = Field(default_factory=Limits)
    methods: tuple[MethodEntry, ...] = Field(min_length=1, strict=False)
    exclude: tuple[dict[str, Sweep[Scalar]], ...] = Field(default=(), strict=False, description=EXCLUDE)
    thresholds: tuple[Threshold, ...] = Field(default=(), strict=False)

    @pydantic.field_validator("train")
    @classmethod
    def _train(cls, train: dict[str, Any]) -> dict[str, Any]:
        """Each alternative is checked alone, so that a vast product costs nothing here."""
        for key, alternatives in _swept(train).items():
            if not alternatives:
                raise ValueError(f"{key} needs at least one value")
            for value in alternatives:
                TrainBudget.model_validate({key: value})
        return train

    def budgets(self) -> list[TrainBudget]:
        """Every training budget that the table `train` spans."""
        return [TrainBudget.model_validate(choice) for choice in _product(_swept(self.train))]

    def cells(self) -> Iterator[Cell]:
        """Every cell, exclusions left in: `harness.plan` applies them once settings are known."""
        trunks, budgets = list(_product(self.trunk)), self.budgets()
        for entry in self.methods:
            axes = (self.scale, trunks, _product(entry.settings), budgets, self.seeds)
            for scale, trunk, overrides, budget, seed in itertools.product(*axes):
                yield Cell(
                    method=entry.name,
                    label=entry.label,
                    overrides=overrides,
                    trunk=trunk,
                    scale=scale,
                    seed=seed,
                    weights=entry.weights,
                    start=entry.start,
                    twin=entry.twin,
                    train=budget,
                )

    def size(self) -> int:
        """Number of cells, counted without making them."""
        per_method = len(self.scale) * len(self.seeds) * _count(self.trunk) * _count(_swept(self.train))
        return per_method * sum(_count(entry.settings) for entry in self.methods)

    def most_tasks(self) -> int:
        """Tasks that the grid asks for at the most, counted without making them; exclusions take some away."""
        axes, cells = self.evaluate, self.size()
        most = {
            "train": cells,
            "evaluate": cells * _spanned(axes),
            "harm": cells * len(axes.data) * len(axes.degradation) if self.harm.measure else 0,
            "attention": cells * len(self.profile.sizes) if self.attention.measure else 0,
            "profile": cells * _spanned(self.profile),
            "count": cells * _spanned(self.count) if self.count.measure else 0,
            "race": len(self.scale) * self.race.passes * _spanned(self.race) if self.race.measure else 0,
        }
        return sum(most[kind] for kind in self.tasks)


def read_grid(path: Path) -> Grid:
    """The grid in a TOML file.

    Raises:
        UserError: a missing or unreadable file, broken TOML, a misspelt key, an impossible value, or more than 100,000
            cells or 1,000,000 tasks, which are counted before any is made.
    """
    if not is_file(path):
        shipped = [grid.stem for grid in GRIDS.glob("*.toml")]
        raise UserError(
            f"no grid at {path}, nor does one of that name come with nlbench: {nearest(path.stem, shipped)}"
        )
    try:
        grid = Grid.model_validate(read_document(path))
    except pydantic.ValidationError as error:
        raise UserError(f"{path}: {_told(error)}") from error
    for what, count, most in (("cells", grid.size(), MAX_CELLS), ("tasks", grid.most_tasks(), MAX_TASKS)):
        if count > most:
            raise UserError(f"{path}: the lists multiply to {_number(count)} {what}; {SPLIT.format(most=most)}")
    return grid


def _swept(table: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Each value as the tuple of its alternatives; `milestones` is a list by nature and does not sweep."""
    return {key: (value,) if key == "milestones" else listed(value) for key, value in table.items()}


def _product(table: Mapping[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(table, choice, strict=True)) for choice in itertools.product(*table.values())]


def _count(table: Mapping[str, tuple[Any, ...]]) -> int:
    return math.prod(map(len, table.values()))


def _spanned(table: Table) -> int:
    """How many points the lists of `table` span; a `Sweep` is what has something extra in the schema."""
    fields = type(table).model_fields.items()
    return math.prod(len(getattr(table, name)) for name, field in fields if field.json_schema_extra)


def _number(count: int) -> str:
    """A count that may have more digits than Python prints."""
    return f"{count:,}" if count < PRINTED else f"about 10^{math.log10(count):.0f}"


def _told(error: pydantic.ValidationError, outer: tuple[int | str, ...] = ()) -> str:
    """The first mistake of a grid in one line: where, what, and what is allowed. A misspelt key comes before others."""
    mistake = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    inner = mistake.get("ctx", {}).get("error")
    if isinstance(inner, pydantic.ValidationError):
        return _told(inner, (*outer, *mistake["loc"]))
    place = (*outer, *mistake["loc"])
    key = ".".join(str(part) for part in place)
    if mistake["type"] == "extra_forbidden":
        return f"unknown key {key!r}: {nearest(str(place[-1]), _keys_at(place[:-1]))}"
    if mistake["type"] == "value_error":
        return f"{key}: {mistake['ctx']['error']}"
    if mistake["type"] == "missing":
        return f"{key} is missing"
    return f"{key}: {mistake['msg']}, not {clipped(repr(mistake['input']))}"


def _keys_at(place: tuple[int | str, ...]) -> list[str]:
    """The keys that the table at `place` may have."""
    table = next((TABLES[str(part)] for part in place if str(part) in TABLES), Grid)
    return list(table.model_fields)
