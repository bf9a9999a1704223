"""Tables and figures of a run on a terminal: what there are, and tables in as many parts as its width asks for."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Column as GridColumn
from rich.table import Table as Grid
from rich.text import Text

from reports.markup import LEGEND, Cell, cells, explanations, left, remarks, titles
from reports.table_files import Chosen
from reports.tables import Rank, Table

STYLES: Mapping[Rank, str] = {"": "", "best": "bold", "second": "underline"}
BETWEEN = 3
"""Signs that the space around a column takes."""
LONG = 24
"""Words of more signs are broken where there is no room."""


class _Column(NamedTuple):
    """A column as it is printed, with the signs that it takes on a line at the least."""

    title: str
    words: bool
    cells: tuple[Cell, ...]
    width: int


def listing(named: Iterable[tuple[str, str]]) -> RenderableType:
    """Names with their captions; what shares a name stands together."""
    captions: dict[str, list[str]] = {}
    for name, caption in named:
        captions.setdefault(name, []).append(caption)
    grid = Grid(GridColumn("Name", no_wrap=True), "Caption", box=box.SIMPLE_HEAD)
    for name, told in captions.items():
        grid.add_row(name, Text("\n".join(told)))
    return grid


def tables_shown(chosen: Chosen, console: Console) -> RenderableType:
    """All tables below each other, each as wide as the console at the most."""
    return Group(Text(chosen.origin), *(_table(each.table, console) for each in chosen.tables))


def _table(table: Table, console: Console) -> RenderableType:
    """Caption, rows, what is to be said of them; columns without room stand below, beside the heads of rows again."""
    legend = [] if console.is_terminal else [LEGEND]
    told = [Text(remark) for remark in remarks(table) if remark not in legend]
    told += [Text(f"{sign}: {reason}") for sign, reason in explanations(table)]
    caption = Padding(Text(table.caption, style="bold"), (1, 0, 0, 1))
    return Group(caption, *map(_grid, _parts(_columns(table), console.width)), Padding(Group(*told), (0, 0, 0, 1)))


def _columns(table: Table) -> list[_Column]:
    rows = cells(table)
    return [
        _Column(title, words, own, _width(title, own, words=words))
        for title, words, own in zip(titles(table), left(table), zip(*rows, strict=True), strict=True)
    ]


def _width(title: str, own: Sequence[Cell], *, words: bool) -> int:
    """That of the longest word of the title or of the widest cell, of which long words can be broken."""
    widest = max((len(cell.text) + _slot(own) for cell in own), default=0)
    return max(*map(len, title.split()), min(widest, LONG) if words else widest)


def _slot(own: Sequence[Cell]) -> int:
    """Signs that stand for explanations take so much room in every row, for numbers to stand below each other."""
    return max((len(cell.sign) + 1 for cell in own if cell.sign), default=0)


def _parts(columns: Sequence[_Column], width: int) -> Iterator[list[_Column]]:
    """Columns that fit side by side, each time after the first."""
    head, *others = columns
    part, taken = [head], head.width + BETWEEN
    for column in others:
        if len(part) > 1 and taken + column.width + BETWEEN > width - BETWEEN:
            yield part
            part, taken = [head], head.width + BETWEEN
        part.append(column)
        taken += column.width + BETWEEN
    yield part


def _grid(columns: Sequence[_Column]) -> Grid:
    grid = Grid(*(GridColumn(_title(each), no_wrap=not each.words) for each in columns), box=box.SIMPLE_HEAD)
    for row in zip(*(column.cells for column in columns), strict=True):
        grid.add_row(*(_cell(cell, column) for cell, column in zip(row, columns, strict=True)))
    return grid


def _title(column: _Column) -> Text:
    lines = textwrap.wrap(column.title, column.width, break_on_hyphens=False)
    return Text("\n".join(lines if column.words else [line.rjust(column.width) for line in lines]))


def _cell(cell: Cell, column: _Column) -> Text:
    """Numbers are aligned here: Rich would move those to the right that no sign follows."""
    slot = _slot(column.cells)
    indent = 0 if column.words else column.width - slot - len(cell.text)
    return Text.assemble(" " * indent, (cell.text, STYLES[cell.rank]), f" {cell.sign}".ljust(slot) if slot else "")
