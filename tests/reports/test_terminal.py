from __future__ import annotations

import io

import pytest
from rich.console import Console

from reports.table_files import Chosen, Placed
from reports.tables import Column, Entry, Row, Table, make_table, missing, number
from reports.terminal import listing, tables_shown

COLUMNS = [Column(key=str(i), title=f"Measured number {i}", unit="ms", better="lower") for i in range(9)]


def table_of(*heads: str) -> Table:
    rows = [
        Row(head=head, entries={c.key: number(100.0 * i + int(c.key) + 0.25) for c in COLUMNS})
        for i, head in enumerate(heads)
    ]
    return make_table("Many columns", COLUMNS, rows, notes=["Said once."])


def printed(table: Table, width: int, *, terminal: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system="standard" if terminal else None
    )
    console.print(tables_shown(Chosen(tables=[Placed("x", "", "", table)], origin="a run", whole=True), console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_number_is_cut_whatever_the_width(width: int) -> None:
    text = printed(table_of("NLSN", "EDSR"), width)
    assert "…" not in text
    assert all(len(line) <= width for line in text.splitlines())
    assert all(text.count(f"{100 * i + k}.25") == 1 for i in range(1, 2) for k in range(9))
    assert text.count("Said once.") == 1


def test_columns_without_room_stand_below_beside_the_heads_of_rows_again() -> None:
    assert printed(table_of("NLSN", "EDSR"), 200).count("NLSN") == 1
    assert printed(table_of("NLSN", "EDSR"), 60).count("NLSN") > 1


def test_marks_are_shown_and_explained_on_a_terminal_only() -> None:
    styled, plain = (printed(table_of("A", "B", "C"), 200, terminal=terminal) for terminal in (True, False))
    assert "\x1b[1m0.25\x1b[0m" in styled
    assert "\x1b[4m100.25\x1b[0m" in styled
    assert "Bold is best" in styled
    assert "Bold is best" not in plain


def test_signs_are_explained_and_keep_numbers_below_each_other() -> None:
    columns = [Column(key="a", title="A"), Column(key="b", title="B")]
    rows = [
        Row(head="NLSN", entries={"a": number(1.5), "b": missing("out of memory")}),
        Row(head="EDSR", entries={"a": Entry(text="2.50", value=2.5, doubt="in doubt"), "b": number(3.0)}),
    ]
    lines = printed(make_table("Signs", columns, rows), 80).splitlines()
    first, second = (next(line for line in lines if head in line) for head in ("NLSN", "EDSR"))
    assert first.index("1.50") == second.index("2.50")
    assert "a: out of memory" in "\n".join(lines)
    assert "2.50 b" in second
    assert "b: in doubt" in "\n".join(lines)


def test_words_are_broken_and_not_cut() -> None:
    columns = [Column(key="why", title="Why", words=True), Column(key="since", title="Since", words=True)]
    entries = {"why": Entry(text=" ".join(f"word{i}" for i in range(40))), "since": Entry(text="[bold]2026[/bold]")}
    text = printed(make_table("Claims", columns, [Row(head="claim", entries=entries)]), 60)
    assert all(f"word{i}" in text for i in range(40))
    assert "[bold]2026[/bold]" in text


def test_what_shares_a_name_is_listed_together() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(listing([("cost", "Cost [small]"), ("race", "Race"), ("cost", "Cost large")]))
    assert isinstance(console.file, io.StringIO)
    lines = [line.strip() for line in console.file.getvalue().splitlines() if line.strip()]
    assert lines[2:] == ["cost   Cost [small]", "Cost large", "race   Race"]
