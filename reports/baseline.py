"""Baselines: exact costs as a small text file that belongs in version control, a line for each subject, way and size.

    nlsn {"n_hashes":1} | network x2 inference fp32 batch 1 | 48x48 | macs 123 parameters 45

What stands in braces are the settings that are not as released.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from rich.table import Column, Table

from harness.errors import UserError
from harness.records import canonical
from reports.claims import Way
from reports.evidence import counted
from reports.frames import Frames, positions

FIRST = "# nlbench baseline of exact costs"
SEPARATOR = " | "
SCALE = re.compile(r" x(\d)\b")


class Key(NamedTuple):
    """What figures are of: a method with its changed settings, how it is called, and the size."""

    subject: str
    way: str
    size: str

    @property
    def scale(self) -> int:
        """Of networks; 0 of attentions."""
        found = SCALE.search(self.way)
        return int(found[1]) if found else 0


Figures = Mapping[Key, Mapping[str, float]]
"""By what they are of, then by quantity."""


def figures(runs: Iterable[Frames]) -> dict[Key, dict[str, float]]:
    """All exact figures of `runs`, those of later ones in the place of earlier ones."""
    found: dict[Key, dict[str, float]] = {}
    for frames in runs:
        for place, told, figure in counted(frames):
            key = Key(f"{place.method} {canonical(told['changed'])}", way_told(place.way), place.size)
            found.setdefault(key, {})[place.quantity] = figure.value
    return found


def way_told(way: Way) -> str:
    """A way as a line has it."""
    scale = f" x{way.scale}" if way.scale else ""
    return f"{way.scope}{scale} {way.mode} {way.precision} batch {way.batch}"


def written(found: Figures, made_with: str) -> str:
    """The text of a baseline; `made_with` is what its figures may depend on besides the code."""
    lines = [_line(key, found[key]) for key in sorted(found, key=_order)]
    return "\n".join([f"{FIRST}, counted with {made_with}", *lines]) + "\n"


def read(path: Path) -> dict[Key, dict[str, float]]:
    """The figures of a baseline file.

    Raises:
        UserError: it cannot be read, or is none.
    """
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if not first.startswith(FIRST):
        raise UserError(f"{path} is no baseline: one begins with {FIRST!r}; `baseline save` writes one")
    return dict(_parsed(path, number, line) for number, line in enumerate(lines, start=2))


def table(found: Figures) -> Table:
    """For people to read: a line for each quantity, so that no number is cut on a narrow terminal."""
    shown = Table("method", "how", "size", Column("quantity", no_wrap=True), Column("", justify="right", no_wrap=True))
    for key, values in found.items():
        names, figures = zip(*sorted(values.items()), strict=True)
        told = ("\n".join(name.replace("_", " ") for name in names), "\n".join(f"{each:,.0f}" for each in figures))
        shown.add_row(*key, *told)
    return shown


def _order(key: Key) -> tuple[str, str, int, str]:
    return key.subject, key.way, positions(key.size), key.size


def _line(key: Key, values: Mapping[str, float]) -> str:
    told = " ".join(f"{quantity} {value:.0f}" for quantity, value in sorted(values.items()))
    return SEPARATOR.join([*key, told])


def _parsed(path: Path, number: int, line: str) -> tuple[Key, dict[str, float]]:
    try:
        subject, way, size, told = line.split(SEPARATOR)
        words = told.split()
        values = {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    except ValueError as error:
        raise UserError(f"{path}, line {number}: not a line of a baseline: {line!r}") from error
    return Key(subject, way, size), values
