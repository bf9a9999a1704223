"""The tables of a grid file, each with its keys, their ranges, defaults and meanings. No torch here.

`python -m harness.grid_reference` makes `docs/grids.md` of what stands here.
"""

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
At = Annotated[tuple[NotNegative, NotNegative], Field(strict=False)]
"""Row and column."""
Scope = Literal["attention", "network"]
Mode = Literal["inference", "training"]
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
PRECISION = "tf32 is float32 whose products an NVIDIA GPU's tensor cores compute from 10 bits of mantissa."
SIZES = "Input, height x width in low-resolution pixels, such as 96x128."
SCOPE = "Attentions by themselves, whole networks, or both."
COMPILE = "Whether by `torch.compile`; the first call, which compiles, is kept apart."
LAYOUT = "Weights and input in PyTorch's memory layout `channels_last`, or both in its usual one."
GRAPHS = "Whether inference is captured once and replayed as a CUDA graph: small inputs then wait for no launches."
MODE = "Training is forward and backward, with what attention adds to the loss, without the optimizer."


def listed(value: object) -> tuple[object, ...]:
    """A list as the alternatives that it sweeps, a single value as the only one."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


Sweep = Annotated[tuple[T, ...], BeforeValidator(listed), Field(min_length=1, json_schema_extra={"sweeps": True})]


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
    """How one network is trained: L1 loss on random patches, Adam."""

    data: str = Field(default="builtin-train", description="A set of `data list`, or a folder written as a path.")
    degradation: Degradation = Field(default="bicubic", description="How low-resolution images are made.")
    noise_seed: NotNegative = Field(default=0, description="Of the noise of `down_noise`, and of nothing else.")
    steps: Annotated[int, BeforeValidator(_whole_number)] = Field(
        default=600, ge=1, description="Optimizer steps; may be written as 3e5."
    )
    batch: Positive = Field(default=16, description="Patches in a step.")
    patch: Positive = Field(default=24, description="Side of a patch in low-resolution pixels.")
    learning_rate: float = Field(default=5e-4, gt=0, description="Of Adam; for `one_cycle` the highest.")
    schedule: Literal["constant", "milestones", "one_cycle"] = Field(
        default="one_cycle", description="How the learning rate goes: `one_cycle` is PyTorch's."
    )
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(0.5, 0.8),
        strict=False,
        description="Of the schedule `milestones`: where it falls, as shares of `steps`.",
    )
    gamma: float = Field(default=0.5, gt=0, lt=1, description="By what the rate is multiplied at each milestone.")
    clip_norm: float = Field(default=0.0, ge=0, description="Greatest norm of the gradient; 0: not clipped.")
    ema_decay: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Of a moving average of the weights, kept instead of the last ones; 0: none.",
    )
    precision: Precision = Field(default="fp32", description=PRECISION)
    channels_last: bool = Field(
        default=False, description="Weights in PyTorch's memory layout `channels_last`; batches are so in any case."
    )
    compile: bool = Field(default=False, description=COMPILE)
    fused_adam: bool = Field(default=False, description="Adam's step as one operation over all weights.")


class Profile(Table):
    """What is measured of the cost of whole networks, in inference."""

    sizes: Sweep[str] = Field(default=("24x24", "48x48", "72x72", "96x96"), validate_default=True, description=SIZES)
    precision: Sweep[Precision] = Field(default=("fp32",), description=PRECISION)
    compile: Sweep[bool] = Field(default=(False,), description=COMPILE)
    channels_last: Sweep[bool] = Field(default=(False,), description=LAYOUT)
    cuda_graphs: Sweep[bool] = Field(default=(False,), description=GRAPHS)
    warm_up_s: float = Field(default=0.5, ge=0, description="Seconds of warm-up at least, for each size.")
    budget_s: float = Field(default=4.0, gt=0, description="Seconds that timing may take at most, for each size.")

    _sizes = pydantic.field_validator("sizes")(sorted_sizes)


class Count(Table):
    """What is counted under fake tensors, nothing run: exact, and the same on every machine."""

    measure: bool = Field(default=False, description="Whether to count.")
    scope: Sweep[Scope] = Field(default=("attention",), description=SCOPE)
    sizes: Sweep[str] = Field(default=("24x24", "48x48", "96x96", "192x192"), validate_default=True, description=SIZES)
    precision: Sweep[Precision] = Field(default=("fp32",), description=PRECISION)
    mode: Sweep[Mode] = Field(default=("inference",), description=MODE)
    batch: Sweep[Positive] = Field(default=(1,), description="Inputs of a call.")

    _sizes = pydantic.field_validator("sizes")(sorted_sizes)


class Race(Table):
    """What is timed in turn in one process."""

    measure: bool = Field(default=False, description="Whether to time.")
    scope: Sweep[Scope] = Field(default=("attention",), description=SCOPE)
    sizes: Sweep[str] = Field(
        default=("24x24", "48x48", "72x72", "96x96", "144x144"), validate_default=True, description=SIZES
    )
    precision: Sweep[Precision] = Field(default=("fp32",), description=PRECISION)
    mode: Sweep[Mode] = Field(default=("inference",), description=MODE)
    batch: Sweep[Positive] = Field(default=(1,), description="Inputs of a call.")
    tiling: Sweep[str] = Field(default=("whole",), description="How networks are asked in inference; as in `evaluate`.")
    compile: Sweep[bool] = Field(default=(False,), description=COMPILE)
    channels_last: Sweep[bool] = Field(default=(False,), description=LAYOUT)
    cuda_graphs: Sweep[bool] = Field(default=(False,), description=GRAPHS)
    passes: Positive = Field(default=3, description="Repetitions of it all, each in a process of its own.")
    warm_up_s: float = Field(default=0.2, ge=0, description="Seconds of warm-up at least, for each contender.")
    budget_s: float = Field(
        default=20.0, gt=0, description="Seconds for all contenders at one size of one pass together."
    )

    _sizes = pydantic.field_validator("sizes")(sorted_sizes)
    _tilings = pydantic.field_validator("tiling")(checked_tilings)


class Threshold(Table):
    """By how much a figure may become worse before `compare` fails; of several that fit, the last counts."""

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
    ] = Field(description="Which figures.")
    allow: float = Field(ge=0, description="In the score's unit; of costs and `time` a share: 0.05 is 5 %.")
    method: str | None = Field(
        default=None, description="A name of the catalogue, or the label of a row; default: any."
    )
    scale: Literal[2, 3, 4] | None = Field(default=None, description="Default: any.")
    at: Sweep[str] | None = Field(default=None, description="Input sizes or test sets; default: any.")


class Limits(Table):
    """When a task is ended from outside."""

    task_s: float = Field(default=24 * 3600.0, gt=0, description="Seconds that one task may take.")


class MethodEntry(Table):
    """One method of the grid, with its settings and where its weights come from."""

    name: str = Field(
        description="A network of the catalogue, `bicubic`, `spandrel`, or `package.module:NAME` of your own."
    )
    label: str | None = Field(default=None, description="What tables call it; default: its title.")
    weights: str | None = Field(default=None, description="A file of weights that are used as they are.")
    start: str | None = Field(
        default=None, description="A file of weights that training starts from, of this scale or another."
    )
    twin: str | None = Field(
        default=None, description="Label or name of the same network without attention; default: found by its settings."
    )
    settings: dict[str, Sweep[Scalar]] = Field(
        default_factory=dict, description="Settings that are not as released: the method's card lists them."
    )

    @pydantic.model_validator(mode="after")
    def _one_file(self) -> MethodEntry:
        if self.weights and self.start:
            raise ValueError("weights are used as they are, start begins a training: give one of them")
        return self


class Evaluate(Table):
    """On what, and how, each network is scored."""

    data: Sweep[str] = Field(default=("builtin-test",), description="Sets of `data list`, or folders written as paths.")
    degradation: Sweep[Degradation] = Field(default=("bicubic",), description="How low-resolution images are made.")
    noise_seed: NotNegative = Field(default=0, description="Of the noise of `down_noise`, and of nothing else.")
    tiling: Sweep[str] = Field(
        default=("whole",),
        description="How images are cut: `whole`, `chop`, or `tile:SIZE+OVERLAP` such as `tile:96+8`.",
    )
    precision: Sweep[Precision] = Field(default=("fp32",), description=PRECISION)
    self_ensemble: Sweep[bool] = Field(
        default=(False,), description="Whether to take the mean over eight flips and transpositions."
    )
    hash_seeds: Sweep[int] = Field(default=(0,), description="Seeds of random hashes, set before each image.")
    perceptual: tuple[Literal["lpips", "dists"], ...] = Field(
        default=(), strict=False, description="Further scores, by networks that are downloaded: the extra `perceptual`."
    )
    crops: NotNegative = Field(
        default=3, description="Images of each set whose crops the page shows, besides those of `at`."
    )
    at: dict[str, At] = Field(
        default_factory=dict,
        description="Row and column (low resolution) of a crop's middle by image; default: where methods differ most.",
    )

    _tilings = pydantic.field_validator("tiling")(checked_tilings)


class Harm(Table):
    """Where attention helps and where it harms, beside the twin without."""

    measure: bool = Field(default=True, description="Whether to compare.")
    maps: NotNegative = Field(default=1, description="Images of each set of which maps are drawn.")


class Attention(Table):
    """Whom queries attend to, on parts of the first test set's images as large as each profiled size."""

    measure: bool = Field(default=True, description="Whether to look.")
    images: Positive = Field(default=2, description="How many images, from the first on.")
    queries: Positive = Field(default=64, description="Random positions in each, besides the one of the map.")
    top: Positive = Field(default=16, description="How many of the largest dot products are relevant.")
    maps: NotNegative = Field(default=1, description="Images of which a map is drawn.")
    at: dict[str, At] = Field(
        default_factory=dict,
        description="Row and column (low resolution) of the map's position by image; default: its busiest window.",
    )


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
