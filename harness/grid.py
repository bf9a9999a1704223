"""Grids: a TOML file becomes cells. Every mistake is told with file, key, what is allowed and the nearest match.

Lists sweep as a product: `scale = [2, 3]` with `seeds = [0, 1]` makes four cells of each method. No torch here; whether
a method and its settings exist is asked of the catalogue later, by `harness.plan`.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import BeforeValidator, Field

from datasets.naming import nearest
from harness.errors import UserError

GRIDS = Path(__file__).with_name("grids")
SIZE = re.compile(r"(?P<height>[1-9]\d*)x(?P<width>[1-9]\d*)")
TILING = re.compile(r"whole|chop|tile:[1-9]\d*(\+\d+)?")
MAX_CELLS = 100_000

Scalar = bool | int | float | str
T = TypeVar("T")
Positive = Annotated[int, Field(ge=1)]
Precision = Literal["fp32", "bf16", "fp16"]


def _listed(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


Sweep = Annotated[tuple[T, ...], BeforeValidator(_listed), Field(min_length=1)]


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


def _whole_number(value: object) -> object:
    """TOML has no way to write 1e6 as an integer; a float is never silently cut."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class TrainBudget(_Table):
    """How one network is trained. `patch` is in low-resolution pixels, `milestones` are fractions of `steps`."""

    data: str = "builtin-train"
    steps: Annotated[int, Field(ge=1), BeforeValidator(_whole_number)] = 600
    batch: Positive = 16
    patch: Positive = 24
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    schedule: Literal["constant", "milestones", "one_cycle"] = "one_cycle"
    milestones: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(strict=False)] = (0.5, 0.8)
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.5
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Precision = "fp32"
    channels_last: bool = False


class Profile(_Table):
    """What is measured of cost: input sizes (low resolution, height x width) and how long timing may take for each."""

    sizes: Annotated[Sweep[str], Field(validate_default=True)] = ("24x24", "48x48", "72x72", "96x96")
    precision: Sweep[Precision] = ("fp32",)
    warm_up_s: Annotated[float, Field(ge=0)] = 0.5
    budget_s: Annotated[float, Field(gt=0)] = 4.0

    @pydantic.field_validator("sizes")
    @classmethod
    def _sizes(cls, sizes: tuple[str, ...]) -> tuple[str, ...]:
        for size in sizes:
            if not SIZE.fullmatch(size):
                raise ValueError(f"a size is written height x width, such as 96x128, not {size!r}")
        return tuple(sorted(sizes, key=positions))


class Limits(_Table):
    """When a task is ended from outside, in seconds."""

    task_s: Annotated[float, Field(gt=0)] = 24 * 3600.0


class MethodEntry(_Table):
    """One method of a grid: its name in the catalogue or `package.module:METHOD`, its settings, its weights.

    `weights` is a file that is used as it is; `start` one that training starts from, made at this scale or another.
    """

    name: str
    label: str | None = None
    weights: str | None = None
    start: str | None = None
    settings: dict[str, Sweep[Scalar]] = Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _one_file(self) -> MethodEntry:
        if self.weights and self.start:
            raise ValueError("weights are used as they are, start begins a training: give one of them")
        return self


class Evaluate(_Table):
    """On what, and how, each network is scored; `crops` images of each set are kept for the strip."""

    data: Sweep[str] = ("builtin-test",)
    tiling: Sweep[str] = ("whole",)
    precision: Sweep[Precision] = ("fp32",)
    hash_seeds: Sweep[int] = (0,)
    crops: Annotated[int, Field(ge=0)] = 3

    @pydantic.field_validator("tiling")
    @classmethod
    def _tiling(cls, tilings: tuple[str, ...]) -> tuple[str, ...]:
        for tiling in tilings:
            if not TILING.fullmatch(tiling):
                raise ValueError(f"tiling is 'whole', 'chop' or 'tile:SIZE+OVERLAP' such as tile:96+8, not {tiling!r}")
        return tilings


TABLES: Mapping[str, type[_Table]] = {
    "train": TrainBudget,
    "evaluate": Evaluate,
    "profile": Profile,
    "limits": Limits,
    "methods": MethodEntry,
}


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
    train: TrainBudget


class Grid(_Table):
    """A whole grid file."""

    name: str
    scale: Sweep[Literal[2, 3, 4]] = (2,)
    seeds: Sweep[Annotated[int, Field(ge=0)]] = (0,)
    trunk: dict[str, Sweep[Scalar]] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)
    evaluate: Evaluate = Field(default_factory=Evaluate)
    profile: Profile = Field(default_factory=Profile)
    limits: Limits = Field(default_factory=Limits)
    methods: Annotated[tuple[MethodEntry, ...], Field(min_length=1, strict=False)]
    exclude: Annotated[tuple[dict[str, Sweep[Scalar]], ...], Field(strict=False)] = ()

    @pydantic.field_validator("train")
    @classmethod
    def _train(cls, train: dict[str, Any]) -> dict[str, Any]:
        """Each alternative is checked alone, so that a vast product costs nothing here."""
        for key, alternatives in _swept(train).items():
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
                    train=budget,
                )

    def size(self) -> int:
        """Number of cells, counted without making them."""
        per_method = len(self.scale) * len(self.seeds) * _count(self.trunk) * _count(_swept(self.train))
        return per_method * sum(_count(entry.settings) for entry in self.methods)


def read_grid(path: Path) -> Grid:
    """The grid in a TOML file.

    Raises:
        UserError: a missing file, broken TOML, a misspelt key, an impossible value, or more than 100,000 cells.
    """
    if not path.is_file():
        shipped = [grid.stem for grid in GRIDS.glob("*.toml")]
        raise UserError(f"no grid at {path}. Of those that come with nlbench: {nearest(path.stem, shipped)}")
    try:
        grid = Grid.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from error
    except pydantic.ValidationError as error:
        raise UserError(f"{path}: {_told(error)}") from error
    if grid.size() > MAX_CELLS:
        raise UserError(f"{path}: the lists multiply to {grid.size():,} cells; at most {MAX_CELLS:,} are run at once")
    return grid


def positions(size: str) -> int:
    """Number of positions of a size such as `"96x128"`."""
    height, width = height_width(size)
    return height * width


def height_width(size: str) -> tuple[int, int]:
    """A size such as `"96x128"` as numbers."""
    height, _, width = size.partition("x")
    return int(height), int(width)


def _swept(table: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Each value as the tuple of its alternatives; `milestones` is a list by nature and does not sweep."""
    return {key: (value,) if key == "milestones" else _listed(value) for key, value in table.items()}


def _product(table: Mapping[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(table, choice, strict=True)) for choice in itertools.product(*table.values())]


def _count(table: Mapping[str, tuple[Any, ...]]) -> int:
    count = 1
    for alternatives in table.values():
        count *= len(alternatives)
    return count


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
    return f"{key}: {mistake['msg']}, not {mistake['input']!r}"


def _keys_at(place: tuple[int | str, ...]) -> list[str]:
    """The keys that the table at `place` may have."""
    table = next((TABLES[str(part)] for part in place if str(part) in TABLES), Grid)
    return list(table.model_fields)
