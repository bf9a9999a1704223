"""What a table is made of, how numbers are printed, and how the best of a column are marked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from reports.stats import Interval

DASH = "–"  # noqa: RUF001 - the sign that is printed
MINUS = "−"  # noqa: RUF001 - the sign that is printed
TIMES = "×"  # noqa: RUF001 - the sign that is printed

PERCENT = "\u202f%"
"""The sign with the narrow space before it that does not break."""

Rank = Literal["", "best", "second"]
FEWEST_FOR_SECOND = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """What stands in one place of a table. `value` sorts; `note` tells what the text cannot.

    Only a `ranked` entry competes for best and second best. `mark` is a sign after the text, `doubt` the same in
    words.
    """

    text: str
    value: float | None = None
    note: str = ""
    ranked: bool = False
    rank: Rank = ""
    mark: str = ""
    doubt: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its title with the unit, and which direction is better (None: neither); `words` are no figures."""

    key: str
    title: str
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    words: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A row: its head, what the head needs explained, an entry per column, and the anchor of what it rests on."""

    head: str
    note: str = ""
    records: str = ""
    entries: Mapping[str, Entry]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table as it is printed; `head` is the title of its first column, that of the heads of rows.

    `protocol` is the fingerprint of what all its figures share.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    protocol: str | None = None
    head: str = "Method"

    @property
    def marked(self) -> bool:
        """Whether any entry is marked best, and the legend of the marks is needed."""
        return any(entry.rank for row in self.rows for entry in row.entries.values())


def make_table(
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    notes: Sequence[str] = (),
    protocol: str | None = None,
    head: str = "Method",
) -> Table:
    """A table without the columns that hold nothing, the best of each column marked."""
    kept = tuple(c for c in columns if c.words or any(row.entries[c.key].value is not None for row in rows))
    marks = {column.key: ranks([row.entries[column.key] for row in rows], column.better) for column in kept}
    marked = tuple(
        dataclasses.replace(row, entries={k: _marked(row.entries[k], marks[k][i]) for k in marks})
        for i, row in enumerate(rows)
    )
    return Table(caption=caption, columns=kept, rows=marked, notes=tuple(notes), protocol=protocol, head=head)


def _marked(entry: Entry, rank: Rank) -> Entry:
    return dataclasses.replace(entry, rank=rank) if rank else entry


def ranks(entries: Sequence[Entry], better: Literal["higher", "lower"] | None) -> list[Rank]:
    """Best and second best; entries that print alike share a rank, and where all print alike there is no best."""
    competing = [e for e in entries if e.ranked and e.value is not None]
    ordered = sorted(competing, key=lambda e: e.value or 0.0, reverse=better == "higher")
    places = list(dict.fromkeys(map(_printed, ordered)))
    if better is None or len(places) <= 1:
        return [""] * len(entries)
    second = places[1] if len(competing) >= FEWEST_FOR_SECOND else None
    return [_rank(entry, places[0], second) for entry in entries]


def _rank(entry: Entry, best: str, second: str | None) -> Rank:
    if not entry.ranked:
        return ""
    printed = _printed(entry)
    return "best" if printed == best else "second" if printed == second else ""


def _printed(entry: Entry) -> str:
    """The figure itself: how far it scatters decides no place."""
    return entry.text.partition(" ± ")[0]


def missing(reason: str) -> Entry:
    """A figure that is not there, and why."""
    return Entry(text=DASH, note=reason)


def number(value: float | None, digits: int = 2, *, ranked: bool = True, note: str = "") -> Entry:
    """A figure with a fixed number of digits after the point."""
    if value is None or math.isnan(value):
        return missing(note or "not measured")
    return Entry(text=fixed(value, digits), value=value, ranked=ranked, note=note)


def scaled(value: float | None, unit: float, *, ranked: bool = True, note: str = "") -> Entry:
    """A figure in units of `unit`, to three significant digits."""
    if value is None or math.isnan(value):
        return missing(note or "not measured")
    return Entry(text=significant(value / unit), value=value, ranked=ranked, note=note)


def fixed(value: float, digits: int) -> str:
    """`value` with `digits` after the point and thousands apart; infinity as its sign."""
    if math.isinf(value):
        return "∞" if value > 0 else MINUS + "∞"
    return f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", MINUS)


def signed(value: float, digits: int = 2) -> str:
    """`value` with its sign."""
    text = fixed(value, digits)
    return text if text.startswith(MINUS) else "+" + text


def significant(value: float, digits: int = 3) -> str:
    """`value` to `digits` significant digits, never in powers of ten."""
    if value == 0.0 or not math.isfinite(value):
        return fixed(value, 0)
    after = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return fixed(value, after)


def bounds(interval: Interval | None, unit: float = 1.0, digits: int | None = None) -> str:
    """An interval as `low to high`, or nothing."""
    if interval is None:
        return ""
    low, high = interval.low / unit, interval.high / unit
    if digits is None:
        return f"{significant(low)} to {significant(high)}"
    return f"{fixed(low, digits)} to {fixed(high, digits)}"


def shown(size: str) -> str:
    """A size such as `96x128` as it is printed."""
    return size.replace("x", TIMES)


def described(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as flat pairs of name and text; numbers of bytes in GB."""
    pairs: list[tuple[str, str]] = []
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            pairs += described(value, f"{prefix}{name}.")
        elif name.endswith("_bytes") and isinstance(value, int | float):
            pairs.append((f"{prefix}{name.removesuffix('_bytes')}", f"{significant(value / 1e9)} GB"))
        else:
            pairs.append((f"{prefix}{name}", _worded(value)))
    return pairs


def _worded(value: Any) -> str:
    """A setting as a reader writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_worded(item) for item in value) or "none"
    return "none" if value == {} else str(value)
