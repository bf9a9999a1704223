"""What is published about a method: the paper, its settings and scores, and where code and paper part ways.

Each method package keeps it in a `published.toml` beside its module, found here without importing the module. Reading
is strict: a key too many, too few or of another type is told with file and place.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib.util
import json
import tomllib
from pathlib import Path
from typing import Any

import pydantic
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from methods.catalogue import NETWORKS
from methods.settings import Scalar, unknown_name

FILE = "published.toml"
PEERS = Path(__file__).with_name("peers.csv")
"""What papers print of other methods: a row per method, scale and test set, and where it was read."""
UNKNOWN = "unexpected_keyword_argument"
STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Setting:
    """A released value, and where it was read."""

    value: Scalar
    source: str


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Score:
    """One published number: PSNR in dB and SSIM on luma, of one scale and test set, as one source has it."""

    scale: int
    dataset: str
    psnr: float
    ssim: float | None
    source: str
    train_set: str
    confidence: str = "seen"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Paper:
    """A published method, in our own words.

    `code` names the repository that ours was checked against; `cost` is Markdown. `deviations` are the ways in which
    our code is unlike paper or released code, `differences` those in which the released code is unlike the paper.
    """

    attention: str = ""
    paper: str
    code: str
    idea: str
    equation: str
    cost: str
    deviations: tuple[str, ...]
    differences: tuple[str, ...]
    notes: str = ""
    scores: tuple[Score, ...] = ()
    settings: dict[str, Setting]


def paper(name: str) -> Paper:
    """What is published about the method called `name`, a key of the catalogue or `"package.module:METHOD"`.

    Raises:
        ValueError: no such method, none with a `published.toml`, or a file that is not as it should be.
    """
    return read(file_of(name))


def read(file: Path) -> Paper:
    """The content of a `published.toml`.

    Raises:
        ValueError: it is no TOML, or a key is unknown, missing, or of the wrong type.
    """
    try:
        table = json.dumps(tomllib.loads(file.read_text(encoding="utf-8")), default=str)
        return pydantic.TypeAdapter(Paper).validate_json(table)  # strict mode makes dataclasses of JSON alone
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file}: {error}") from error
    except pydantic.ValidationError as error:
        raise ValueError(f"{file}: {_told(error)}") from error


def scores_of(name: str) -> tuple[Score, ...]:
    """Every published number of the method `name`, of the catalogue or of another by the name papers give it.

    A name that ends in "+" means the method's self-ensemble. Nothing is known of most methods.
    """
    try:
        file = file_of(name)
    except ValueError:
        file = None
    own = read(file).scores if file else ()
    return own + tuple(score for method, score in _peers() if method.casefold() == name.casefold())


@functools.cache
def _peers() -> list[tuple[str, Score]]:
    with PEERS.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [(row.pop("method"), _score(row)) for row in rows]


def _score(row: dict[str, str]) -> Score:
    numbers: dict[str, Any] = {
        "scale": int(row["scale"]),
        "psnr": float(row["psnr"]),
        "ssim": float(row["ssim"]) if row["ssim"] else None,
    }
    return Score(dataset=row["dataset"], source=row["source"], train_set=row["train_set"], **numbers)


def file_of(name: str) -> Path:
    """The `published.toml` of the method called `name`.

    Raises:
        ValueError: no such method, or it has no such file.
    """
    if name not in NETWORKS and ":" not in name:
        raise unknown_name("method", name, NETWORKS)
    module = NETWORKS.get(name, name).partition(":")[0]
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError) as error:
        raise ValueError(f"cannot find method {name!r}: {error}") from error
    if found is None or not found.origin or not (file := Path(found.origin).with_name(FILE)).is_file():
        raise ValueError(f"method {name!r} has no {FILE} beside its module: nothing is known to be published about it")
    return file


def _told(error: pydantic.ValidationError) -> str:
    """The first mistake in one line; a misspelt key comes before the key that it leaves missing."""
    mistake = min(error.errors(), key=lambda each: each["type"] != UNKNOWN)
    *table, key = (str(part) for part in mistake["loc"])
    place = ".".join([*table, key])
    if mistake["type"] == UNKNOWN:
        kind = {"settings": Setting, "scores": Score}[table[0]] if table else Paper
        known = (field.name for field in dataclasses.fields(kind))
        return str(unknown_name(f"key in {'.'.join(table)}" if table else "key", key, known))
    if mistake["type"] == "missing":
        return f"missing key {place!r}"
    return f"{place}: {mistake['msg']}, not {mistake['input']!r}"
