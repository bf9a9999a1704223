"""The tables of a grid file, each with its keys, their ranges and their defaults. No torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

import pydantic
from pydantic import BeforeValidator, Field

from datasets.degrade import Degradation

SIZE = re.compile(r"(?P<height>[1-9]\d*)x(?P<width>[1-9]\d*)")
TILING = re.compile(r"whole|chop|tile:[1-9]\d*(\+\d+)?")

Scalar = bool | int | float | str
T = TypeVar("T")
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Scope = Literal["attention", "network"]
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
"""tf32 is float32 whose products an NVIDIA GPU's tensor cores compute from 10 bits of mantissa."""


def listed(value: object) -> tuple[object, ...]:
    """A list as the alternatives that it sweeps, a single value as the only one."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


Sweep = Annotated[tuple[T, ...], BeforeValidator(listed), Field(min_length=1)]


class Table(pydantic.BaseModel):
    """A table whose keys are known and whose values are of the right type to the letter."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


def _whole_number(value: object) -> object:
    """TOML has no way to write 1e6 as an integer; a float is never silently cut."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def positions(size: str) -> int:
    """Number of positions of a size such as `"96x128"`."""
    height, width = height_width(size)
    return height * width


def height_width(size: str) -> tuple[int, int]:
    """A size such as `"96x128"` as numbers."""
    height, _, width = size.partition("x")
    return int(height), int(width)


def sorted_sizes(sizes: tuple[str, ...]) -> tuple[str, ...]:
    """Sizes by number of positions.

    Raises:
        ValueError: one that is no size.
    """
    for size in sizes:
        if not SIZE.fullmatch(size):
            raise ValueError(f"a size is written height x width, such as 96x128, not {size!r}")
    return tuple(sorted(sizes, key=positions))


def checked_tilings(tilings: tuple[str, ...]) -> tuple[str, ...]:
    """The same.

    Raises:
        ValueError: one that is no tiling.
    """
    for tiling in tilings:
        if not TILING.fullmatch(tiling):
            raise ValueError(f"tiling is 'whole', 'chop' or 'tile:SIZE+OVERLAP' such as tile:96+8, not {tiling!r}")
    return tilings


class TrainBudget(Table):
    """How one network is trained. `patch` is in low-resolution pixels, `milestones` are fractions of `steps`.

    `noise_seed` matters to the degradation `down_noise` only.
    """

    data: str = "builtin-train"
    degradation: Degradation = "bicubic"
    noise_seed: NotNegative = 0
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


class Profile(Table):
    """What is measured of cost: input sizes (low resolution, height x width) and how long timing may take for each."""

    sizes: Annotated[Sweep[str], Field(validate_default=True)] = ("24x24", "48x48", "72x72", "96x96")
    precision: Sweep[Precision] = ("fp32",)
    warm_up_s: Annotated[float, Field(ge=0)] = 0.5
    budget_s: Annotated[float, Field(gt=0)] = 4.0

    _sizes = pydantic.field_validator("sizes")(sorted_sizes)


class Count(Table):
    """What is counted under fake tensors, nothing run: of the grid's attentions alone, its whole networks, or both.

    `mode` training is forward and backward with what attention adds to the loss.
    """

    measure: bool = False
    scope: Sweep[Scope] = ("attention",)
    sizes: Annotated[Sweep[str], Field(validate_default=True)] = ("24x24", "48x48", "96x96", "192x192")
    precision: Sweep[Precision] = ("fp32",)
    mode: Sweep[Literal["inference", "training"]] = ("inference",)
    batch: Sweep[Positive] = (1,)

    _sizes = pydantic.field_validator("sizes")(sorted_sizes)


class Race(Table):
    """What is timed in turn in one process: the grid's attentions alone, its whole networks, or both.

    `mode` training is forward and backward with what attention adds to the loss. `tiling` is how networks are asked in
    inference, as in `evaluate`. Each of `passes` is a process of its own; `budget_s` is for all contenders at one size
    of one pass together.
    """

    measure: bool = False
    scope: Sweep[Scope] = ("attention",)
    sizes: Annotated[Sweep[str], Field(validate_default=True)] = ("24x24", "48x48", "72x72", "96x96", "144x144")
    precision: Sweep[Precision] = ("fp32",)
    mode: Sweep[Literal["inference", "training"]] = ("inference",)
    batch: Sweep[Positive] = (1,)
    tiling: Sweep[str] = ("whole",)
    passes: Positive = 3
    warm_up_s: Annotated[float, Field(ge=0)] = 0.2
    budget_s: Annotated[float, Field(gt=0)] = 20.0

    _sizes = pydantic.field_validator("sizes")(sorted_sizes)
    _tilings = pydantic.field_validator("tiling")(checked_tilings)


class Threshold(Table):
    """By how much a figure may become worse before `compare` fails: all figures of a metric, or fewer of them.

    `allow` is in the metric's own unit for scores, a share of what it was for costs and `time` (0.05: 5 %). `method` is
    a name of the catalogue or the label of a row, `at` input sizes or test sets.
    """

    metric: Literal[
        "psnr_y",
        "ssim_y",
        "psnr_y_rounded",
        "psnr_rgb_div2k",
        "lpips",
        "dists",
        "time",
        "macs",
        "attention_macs",
        "moved_bytes",
        "peak_bytes",
        "parameters",
        "idle_parameters",
        "moved_buffers",
    ]
    allow: Annotated[float, Field(ge=0)]
    method: str | None = None
    scale: Literal[2, 3, 4] | None = None
    at: Sweep[str] | None = None


class Limits(Table):
    """When a task is ended from outside, in seconds."""

    task_s: Annotated[float, Field(gt=0)] = 24 * 3600.0


class MethodEntry(Table):
    """One method of a grid: its name in the catalogue or `package.module:METHOD`, its settings, its weights.

    `weights` is a file that is used as it is; `start` one that training starts from, made at this scale or another.
    `twin` names the method of this grid, by its label or name, that is the same network without attention; it is found
    by its settings where it is not named.
    """

    name: str
    label: str | None = None
    weights: str | None = None
    start: str | None = None
    twin: str | None = None
    settings: dict[str, Sweep[Scalar]] = Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _one_file(self) -> MethodEntry:
        if self.weights and self.start:
            raise ValueError("weights are used as they are, start begins a training: give one of them")
        return self


class Evaluate(Table):
    """On what, and how, each network is scored; `crops` images of each set are kept for the strip.

    `noise_seed` matters to the degradation `down_noise` only. `perceptual` scores are downloaded networks.
    """

    data: Sweep[str] = ("builtin-test",)
    degradation: Sweep[Degradation] = ("bicubic",)
    noise_seed: NotNegative = 0
    tiling: Sweep[str] = ("whole",)
    precision: Sweep[Precision] = ("fp32",)
    self_ensemble: Sweep[bool] = (False,)
    hash_seeds: Sweep[int] = (0,)
    perceptual: Annotated[tuple[Literal["lpips", "dists"], ...], Field(strict=False)] = ()
    crops: NotNegative = 3

    _tilings = pydantic.field_validator("tiling")(checked_tilings)


class Harm(Table):
    """Where attention helps and where it harms, beside the twin without; maps of `maps` images of each set."""

    measure: bool = True
    maps: NotNegative = 1


class Attention(Table):
    """Whom queries attend to, on parts of the first test set's images as large as each profiled size.

    `queries` random positions in each of the first `images` images; `top` is how many of the largest dot products are
    relevant. Maps are drawn for `maps` images, of the position that `at` gives an image (low-resolution row and
    column), or else of the middle of its busiest window.
    """

    measure: bool = True
    images: Positive = 2
    queries: Positive = 64
    top: Positive = 16
    maps: NotNegative = 1
    at: dict[str, Annotated[tuple[NotNegative, NotNegative], Field(strict=False)]] = Field(default_factory=dict)


TABLES: Mapping[str, type[Table]] = {
    "train": TrainBudget,
    "evaluate": Evaluate,
    "profile": Profile,
    "harm": Harm,
    "attention": Attention,
    "count": Count,
    "race": Race,
    "limits": Limits,
    "thresholds": Threshold,
    "methods": MethodEntry,
}
