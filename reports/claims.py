"""Claims: statements about what attention costs and how good it is, phrased so that figures can decide them.

A claim names a method (and whom it is compared with), a quantity, the sizes or test sets, and a form with bounds: an
exponent of n, a ratio, a value, the size from which one is cheaper than the other, or a gain in dB. `claims.toml` holds
ours, each with its source.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pydantic
from pydantic import Field

from datasets.manifest import names
from datasets.naming import nearest
from harness.errors import UserError

CLAIMS = Path(__file__).with_name("claims.toml")
VERDICTS = ("supported", "contradicted", "undecided")
Word = Literal["supported", "contradicted", "undecided"]
Scalar = bool | int | float | str
CountedQuantity = Literal[
    "macs", "attention_macs", "moved_bytes", "peak_bytes", "parameters", "idle_parameters", "moved_buffers"
]
TimedQuantity = Literal["time", "attention_time"]
ScoredQuantity = Literal["psnr_y", "ssim_y"]
EXACT: tuple[str, ...] = get_args(CountedQuantity)
"""Quantities that are counted: the same on every machine."""
SCORED: tuple[str, ...] = get_args(ScoredQuantity)
"""Quantities of quality: means over test sets."""
PAIRED = frozenset({"ratio", "crossover", "gain"})
"""Forms that compare with another subject."""
SHORTEST = 300_000
"""Steps of EDSR's released training (300 epochs of 1,000), the shortest of the networks that are compared here."""
Size = Annotated[str, Field(pattern=r"^[1-9]\d*x[1-9]\d*$")]


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Subject(_Table):
    """A method as released but for `settings`; `times` so many of it, where layers are compared with layers."""

    method: str
    settings: dict[str, Scalar] = Field(default_factory=dict)
    times: float = 1.0

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        whole = f"{self.method} ({told})" if told else self.method
        return whole if self.times == 1.0 else f"{self.times:g} times {whole}"


class Way(_Table):
    """What of a method is looked at, and how it is called; attentions know no scale."""

    scope: Literal["attention", "network"] = "attention"
    scale: int = 0
    mode: Literal["inference", "training"] = "inference"
    precision: str = "fp32"
    batch: int = 1

    @pydantic.model_validator(mode="after")
    def _scaled(self) -> Way:
        if bool(self.scale) != (self.scope == "network"):
            raise ValueError("a network has a scale of 2, 3 or 4, an attention has none")
        return self


class Scoring(_Table):
    """On which test sets a network is scored, how its images are cut, and from how many training steps on it counts."""

    data: Annotated[tuple[str, ...], Field(min_length=1)]
    tiling: Literal["whole", "chop"] = "whole"
    least_steps: Annotated[int, Field(ge=1)] = SHORTEST

    @pydantic.field_validator("data")
    @classmethod
    def _known(cls, data: tuple[str, ...]) -> tuple[str, ...]:
        for name in data:
            if name not in names():
                raise ValueError(f"unknown data set {name!r}: {nearest(name, names())}")
        return data


class Claim(_Table):
    """A statement, whose it is, and what would decide it. `verdict` is what it came to when it was last looked at.

    `low` and `high` bound the exponent of n, the ratio to `against`, the value, the n from which the method is cheaper
    than `against`, or its gain over that in dB; one of them may be open. A claim about quality has `scoring`, any other
    has `sizes`. `origin` tells what is published from what follows from the code.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    statement: str
    source: str
    origin: Literal["published", "derived"]
    subject: Subject
    against: Subject | None = None
    way: Way = Field(default_factory=Way)
    quantity: Literal[CountedQuantity, TimedQuantity, ScoredQuantity]
    form: Literal["exponent", "ratio", "value", "crossover", "gain"]
    sizes: tuple[Size, ...] = ()
    scoring: Scoring | None = None
    low: float | None = None
    high: float | None = None
    verdict: Word | None = None

    @pydantic.model_validator(mode="after")
    def _falsifiable(self) -> Claim:
        if self.low is None and self.high is None:
            raise ValueError("a claim without low and high cannot be wrong")
        if (self.against is not None) != (self.form in PAIRED):
            raise ValueError("against goes with the forms ratio, crossover and gain, and only with them")
        if self.form in {"exponent", "crossover"} and len(self.sizes) < 2:  # noqa: PLR2004 - a line needs two points
            raise ValueError(f"the form {self.form} needs two sizes or more")
        return self

    @pydantic.model_validator(mode="after")
    def _sizes_or_data(self) -> Claim:
        quality = self.quantity in SCORED
        if (self.scoring is not None, not self.sizes) != (quality, quality):
            raise ValueError(
                f"{self.quantity} is of {'data, and not of sizes' if quality else 'sizes, and not of data'}"
            )
        if quality and (self.way.scope, self.way.mode, self.way.batch) != ("network", "inference", 1):
            raise ValueError(f"{self.quantity} is of networks, in inference, image by image")
        if quality and self.form not in {"value", "gain"}:
            raise ValueError(f"{self.quantity} takes the forms value and gain, not {self.form}")
        if self.form == "gain" and self.quantity != "psnr_y":
            raise ValueError(f"a gain is one of psnr_y, in dB, not of {self.quantity}")
        return self

    @property
    def exact(self) -> bool:
        """Whether it is about counted figures, which no machine changes."""
        return self.quantity in EXACT

    def holds(self, value: float) -> bool:
        """Whether `value` is within the bounds."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def excludes(self, low: float, high: float) -> bool:
        """Whether no value from `low` to `high` is within the bounds."""
        return (self.low is not None and high < self.low) or (self.high is not None and low > self.high)

    @property
    def bounds(self) -> str:
        """The bounds in words."""
        told = ("" if bound is None else f"{bound:,.10g}" for bound in (self.low, self.high))
        low, high = (each.replace(",", "\u202f") for each in told)
        if low == high:
            return f"exactly {low}"
        return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"


def read_claims(path: Path = CLAIMS) -> tuple[Claim, ...]:
    """The claims of a TOML file: `[[claim]]` tables.

    Raises:
        UserError: a missing file, broken TOML, an unknown key, a claim that nothing could contradict, an id used twice.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        found = tuple(_claim(table, number) for number, table in enumerate(tables.get("claim", ()), start=1))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from error
    twice = {claim.id for claim in found if sum(other.id == claim.id for other in found) > 1}
    if twice or not found:
        raise UserError(f"{path}: " + (f"two claims are called {min(twice)!r}" if twice else "no [[claim]] in it"))
    return found


def _claim(table: Mapping[str, Any], number: int) -> Claim:
    """Keys of subject, way and scoring stand in the claim itself: there is one of each."""
    flat = dict(table)
    held = {name: {key: flat.pop(key) for key in fields if key in flat} for name, fields in HELD.items()}
    try:
        return Claim.model_validate(flat | {name: keys for name, keys in held.items() if keys})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part not in HELD)
        told = first["ctx"]["error"] if first["type"] == "value_error" else f"{first['msg']}, not {first['input']!r}"
        raise ValueError(f"claim {table.get('id', number)}{': ' + place if place else ''}: {told}") from error


HELD = {
    "subject": ("method", "settings", "times"),
    "way": ("scope", "scale", "mode", "precision", "batch"),
    "scoring": ("data", "tiling", "least_steps"),
}
