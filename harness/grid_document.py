"""The text of a grid file as tables, lists and values: bounded, so that none takes long to be refused. No torch here.

TOML allows keys of any depth, numbers of any length and names of any signs. What a grid can use of that is little:
names are printed in tables and on terminals, numbers are handed to libraries that take 64 bits.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import UserError

MOST_BYTES = 1 << 20
MOST_TEXT = 1000
"""Signs of a name or a path."""
MOST_DEPTH = 16
"""Of keys, tables and lists inside each other."""
WHOLE = range(-(2**63), 2**63)
"""Whole numbers that a TOML file may have."""
SHOWN = 60
"""Signs of a value that a message shows."""
LONG_KEY = re.compile(rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MOST_DEPTH}}}""", re.ASCII)
"""A dotted key that is too deep: the reader of the standard library takes minutes for one of some thousand parts."""


def read_document(path: Path) -> dict[str, Any]:
    """The document in a TOML file, of printable text, finite numbers and little depth.

    Raises:
        UserError: a file that is too large or cannot be read, broken TOML, or a value of another kind.
    """
    try:
        document = tomllib.loads(_text(path))
    except RecursionError as error:
        raise UserError(f"{path}: tables or lists stand in each other more than {MOST_DEPTH} deep") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # broken TOML, bytes that are no UTF-8, a number of too many digits
        raise UserError(f"{path}: {clipped(str(error))}") from error
    for place, fault in _faults(document):
        raise UserError(f"{path}: {'.'.join(place)} {fault}")
    return document


def is_file(path: Path) -> bool:
    """Whether there is a regular file at `path`, whatever its name."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises where a name is too long


def clipped(text: str) -> str:
    """The beginning of a text that may be of any length."""
    return text if len(text) <= MOST_TEXT else f"{text[:SHOWN]}…"


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"a grid has at most {MOST_BYTES:,} bytes; split it into several")
    text = content.decode("utf-8").replace("\r\n", "\n")
    if found := LONG_KEY.search(text):
        raise ValueError(f"a key of more than {MOST_DEPTH} parts: {found[0][:SHOWN]}…")
    return text


def _faults(document: dict[str, Any]) -> Iterator[tuple[list[str], str]]:
    """What no grid may hold, with its place."""
    waiting: list[tuple[list[str], Any]] = [([], document)]
    while waiting:
        place, value = waiting.pop()
        if fault := _fault(value) if len(place) <= MOST_DEPTH else f"is more than {MOST_DEPTH} deep":
            yield [part if part.isprintable() else repr(part) for part in place], fault
        elif isinstance(value, list):
            waiting += [([*place, str(index)], each) for index, each in enumerate(value)]
        elif isinstance(value, dict):
            waiting += [([*place, repr(key)], key) for key in value if _fault(key)]
            waiting += [([*place, key], each) for key, each in value.items()]


def _fault(value: Any) -> str:
    """What is wrong with a single value, if anything."""
    if isinstance(value, str) and len(value) > MOST_TEXT:
        return f"has {len(value):,} signs; at most {MOST_TEXT:,} are read"
    if isinstance(value, str) and not value.isprintable():
        return f"holds a sign that cannot be printed: {value[:SHOWN]!r}"
    if isinstance(value, str) and not value.strip():
        return "is blank; leave the key out for its default"
    if isinstance(value, int) and value not in WHOLE:
        return "is a whole number of more than 64 bits"
    return "is no finite number" if isinstance(value, float) and not math.isfinite(value) else ""
