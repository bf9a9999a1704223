"""Printed tables as Markdown and as CSV, and what those share with LaTeX: cells, signs, what stands under a table."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

import pandas as pd

from reports.tables import DASH, MINUS, Column, Entry, Rank, Row, Table, fixed

LEGEND = "Bold is best in its column, underlined second best; figures that print alike share a mark."
PROTOCOL_DIGITS = 8
NOTES = "Notes"
"""The title of the last column of CSV."""
FORMULA = re.compile(r"[=@\t\r]|[+-](?!(?:[\d.]+|inf)[%×]?(?:$| to | ± | \())")  # noqa: RUF001 - the sign that is printed
"""How text begins that a spreadsheet would compute; a number with its sign, alone or before its interval, is none."""
POWER = re.compile(r"\bn\^([\d.]*\d)")
"""How text writes a power of n."""
SPECIAL = re.compile(r"[\\|*`<~]|\](?=[(\[])|(?<!\w)_|_(?!\w)")
"""What Markdown would take for its own."""
RANKED: Mapping[Rank, str] = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}
LEADING = re.compile(r"([+-]?(?:\d+(?:\.\d+)?|inf))\s*(?:(×|%)?$|±|\()")  # noqa: RUF001 - the sign that is printed
"""A number that an entry is about, alone or before its spread or its interval."""
UNITS = (1.0, 1e9, 1e6, 1e3, 1e-3, 1e-2)
"""By what the value that sorts an entry is divided to be printed: bytes as MB, seconds as ms, a share in percent."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """A place of a printed table: its text, its mark among its column, and the `sign` that is explained below."""

    text: str
    rank: Rank = ""
    sign: str = ""


def titles(table: Table) -> list[str]:
    """The heads of all columns, with units."""
    return [table.head, *(f"{c.title} [{c.unit}]" if c.unit else c.title for c in table.columns)]


def cells(table: Table) -> list[list[Cell]]:
    """All rows. A row of words has its note in its head, where any other has a sign."""
    signs = _signs(table)
    return [
        [_head(table, row, signs), *(_cell(row, row.entries[column.key], signs) for column in table.columns)]
        for row in table.rows
    ]


def left(table: Table) -> list[bool]:
    """Which columns are words and stand on the left; heads of rows are."""
    return [True, *(column.words or not _has_digits(table, column) for column in table.columns)]


def remarks(table: Table) -> list[str]:
    """What stands under a table before the signs: the legend of marks, notes, the protocol."""
    legend = [LEGEND] if table.marked else []
    protocol = [f"Protocol {table.protocol[:PROTOCOL_DIGITS]}."] if table.protocol else []
    return [*legend, *table.notes, *protocol]


def explanations(table: Table) -> list[tuple[str, str]]:
    """Each sign with what it says."""
    return [(sign, reason) for reason, sign in _signs(table).items()]


def markdown(table: Table) -> str:
    """A table of GitHub's Markdown: caption, rows, then everything that is to be said of them."""
    heads = [escaped(title) for title in titles(table)]
    rules = [":---" if words else "---:" for words in left(table)]
    rows = [[_marked(cell) for cell in row] for row in cells(table)]
    under = [escaped(remark) for remark in remarks(table)]
    signs = [f"<sup>{sign}</sup> {escaped(reason)}" for sign, reason in explanations(table)]
    grid = "\n".join("| " + " | ".join(row) + " |" for row in (heads, rules, *rows))
    return "\n\n".join([f"**{escaped(table.caption)}**", grid, *under, *(["  \n".join(signs)] if signs else [])]) + "\n"


def escaped(text: str) -> str:
    """Text on one line of Markdown, powers of n raised."""
    line = SPECIAL.sub(_guarded, " ".join(re.split(r"[\n\r\t]+", text)))
    return POWER.sub(r"n<sup>\1</sup>", line)


def _guarded(found: re.Match[str]) -> str:
    return "&lt;" if found[0] == "<" else f"\\{found[0]}"


def csv(tables: Sequence[Table]) -> str:
    """Tables below each other, named by their captions, with the columns of all: values at full precision.

    Where an entry prints more than its number, such as an interval, a further column has it as printed. What signs
    and heads explain stands in the last column.
    """
    rows = [row for table in tables for row in _values(table)]
    frame = pd.DataFrame(rows)
    return as_csv(frame[[*frame.columns.drop(NOTES), NOTES]])


def as_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV. Text that a spreadsheet would take for a formula gets an apostrophe, which makes it text."""
    told = frame.rename(columns=_no_formula)
    for name, column in told.items():
        if column.dtype.kind not in "biuf":
            told[name] = column.map(_no_formula)
    text: str = told.to_csv(index=False)
    return text


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def full(entry: Entry) -> float | None:
    """The number that an entry is about, in the unit that it is printed in, as precise as it is known."""
    found = LEADING.match(plain(entry.text))
    if found is None:
        return None
    printed = found[1].lstrip("+")
    digits = len(printed.partition(".")[2])
    for unit in UNITS if entry.value is not None else ():
        if _prints(value := (entry.value or 0.0) / unit, digits) == printed:
            return value
    return float(printed)


def plain(text: str) -> str:
    """Printed text with the signs of programs: no narrow spaces, a hyphen for minus."""
    return text.replace("\u202f", "").replace(MINUS, "-").replace("∞", "inf")


def _prints(value: float, digits: int) -> str:
    return plain(fixed(value, digits)) if math.isfinite(value) else plain(fixed(value, 0))


def _signs(table: Table) -> dict[str, str]:
    """A letter for each thing to be explained, in reading order."""
    reasons = dict.fromkeys(
        reason
        for row in table.rows
        for reason in (
            "" if _prose(table) else row.note,
            *(_reason(row, row.entries[c.key]) for c in table.columns),
        )
        if reason
    )
    return {reason: _letter(index) for index, reason in enumerate(reasons)}


def _letter(index: int) -> str:
    """From a to z, then aa, ab, …."""
    before, own = divmod(index, len(ascii_lowercase))
    return (_letter(before - 1) if before else "") + ascii_lowercase[own]


def _reason(row: Row, entry: Entry) -> str:
    """What a reader must be told of an entry: its doubt, or why it is not there where the row does not say so."""
    absent = entry.value is None and entry.note != row.note
    return entry.doubt or (entry.note if absent else "")


def _prose(table: Table) -> bool:
    """Whether there are but words: then a note of a row is its sentence and stands with its head."""
    return bool(table.columns) and all(column.words for column in table.columns)


def _head(table: Table, row: Row, signs: Mapping[str, str]) -> Cell:
    if _prose(table):
        return Cell(text=f"{row.head}: {row.note}" if row.note else row.head)
    return Cell(text=row.head, sign=signs.get(row.note, ""))


def _cell(row: Row, entry: Entry, signs: Mapping[str, str]) -> Cell:
    return Cell(text=entry.text, rank=entry.rank, sign=signs.get(_reason(row, entry), ""))


def _has_digits(table: Table, column: Column) -> bool:
    return any(re.search(r"[\d∞]", row.entries[column.key].text) for row in table.rows)


def _marked(cell: Cell) -> str:
    sign = f"<sup>{cell.sign}</sup>" if cell.sign else ""
    return RANKED[cell.rank].format(escaped(cell.text)) + sign


def _values(table: Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"Table": table.caption, table.head: row.head} for row in table.rows]
    for title, column in zip(_distinct(table), table.columns, strict=True):
        entries = [row.entries[column.key] for row in table.rows]
        for name, values in _columns(title, entries).items():
            for row, value in zip(rows, values, strict=True):
                row[name] = value
    for row, own in zip(rows, table.rows, strict=True):
        row[NOTES] = _told(table, own)
    return rows


def _distinct(table: Table) -> list[str]:
    """The titles of columns; those that several have with the key of the column."""
    told = [plain(title) for title in titles(table)[1:]]
    named = zip(told, table.columns, strict=True)
    return [f"{title} ({column.key})" if told.count(title) > 1 else title for title, column in named]


def _columns(title: str, entries: Sequence[Entry]) -> dict[str, Sequence[float | str | None]]:
    """One column of numbers, or of text, or both where numbers are printed with something beside them."""
    texts = [None if entry.text == DASH else plain(entry.text) for entry in entries]
    numbers = [full(entry) for entry in entries]
    if all(number is None for number in numbers):
        return {title: texts}
    more = any(text is not None and not re.fullmatch(r"[+-]?[\d.]+[%×]?|[+-]?inf", text) for text in texts)  # noqa: RUF001
    return {title: numbers} | ({f"{title}, as printed": texts} if more else {})


def _told(table: Table, row: Row) -> str:
    """All that is to be said of a row, each of its entries by the title of its column."""
    reasons: dict[str, list[str]] = {}
    for column in table.columns:
        if reason := _reason(row, row.entries[column.key]):
            reasons.setdefault(plain(reason), []).append(plain(column.title))
    return "; ".join([*filter(None, [row.note]), *(f"{', '.join(of)}: {reason}" for reason, of in reasons.items())])
