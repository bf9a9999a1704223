"""Of very many rows a page shows some, says how many there are, and points at nothing that it does not hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports import long_tables, page
from reports.attempts import Group
from reports.frames import load
from reports.long_tables import MOST_ATTEMPTS, MOST_BEST, MOST_ROWS, shown_groups, shown_rows
from reports.markup import csv
from reports.page import page_content, write_page
from reports.table_files import placed_tables
from reports.tables import Column, Row, Table, make_table, number
from tests.benchmarks.load import variants
from tests.stores import MANY, Plan, make_store


def table(count: int) -> Table:
    """Every row is better than the one before."""
    column = Column(key="value", title="Value", better="higher")
    entries = [{"value": number(float(n), ranked=True)} for n in range(count)]
    rows = [Row(head=f"row {n}", records=f"records-{n}", entries=each) for n, each in enumerate(entries)]
    return make_table("Many", [column], rows)


def test_a_table_of_few_rows_is_shown_whole() -> None:
    assert shown_rows(table(MOST_ROWS)) == table(MOST_ROWS).rows


def test_of_many_rows_the_first_and_the_best_are_shown() -> None:
    heads = [row.head for row in shown_rows(table(MOST_ROWS + 50))]
    assert heads == [f"row {n}" for n in (*range(MOST_ROWS), MOST_ROWS + 48, MOST_ROWS + 49)]


def test_of_many_best_rows_some_are_shown() -> None:
    alike = table(MOST_ROWS + MOST_BEST + 50)
    entries = [number(float(n >= MOST_ROWS), ranked=True) for n in range(len(alike.rows))]
    rows = [Row(head=row.head, entries={"value": entry}) for row, entry in zip(alike.rows, entries, strict=True)]
    shown = shown_rows(make_table("Many", alike.columns, rows))
    assert [row.head for row in shown] == [row.head for row in rows[: MOST_ROWS + MOST_BEST]]


def test_of_many_attempts_those_behind_the_shown_rows_are_listed() -> None:
    attempts = ({"id": "a"},) * 3

    def groups(count: int) -> dict[tuple[str, str], Group]:
        anchors = {("evaluate", f"row {n}"): f"records-{n}" for n in range(count)}
        anchors |= {("train", f"row {n}"): "" for n in range(count)} | {("race", "protocol"): "raced"}
        return {key: Group(anchor=anchor, title="", attempts=attempts) for key, anchor in anchors.items()}

    few, many = groups(10), groups(MOST_ATTEMPTS // 2)
    assert shown_groups([table(10)], few) == list(few.values())
    listed = shown_groups({"quality": [(table(MOST_ROWS + 50),)]}, many)
    rows = [*range(MOST_ROWS), MOST_ROWS + 48, MOST_ROWS + 49]
    wanted = [many[kind, f"row {n}"] for kind in ("evaluate", "train") for n in rows]
    assert listed == [*wanted, many["race", "protocol"]]


def test_a_page_tells_what_it_leaves_out_and_leads_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(variants=variants(14), seeds=(0, 1), sets=MANY, sizes=("8x8", "16x16"), steps=3, crops=0)
    store, _ = make_store(tmp_path / "store.sqlite", plan)
    frames = load(store)
    store.close()
    monkeypatch.setattr(page, "MOST_ROWS", 2)
    for name, most in (("MOST_ROWS", 2), ("MOST_BEST", 1), ("MOST_ATTEMPTS", 3)):
        monkeypatch.setattr(long_tables, name, most)
    write_page(frames, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    tables = re.findall(r"(\d+) of (\d+) rows: the first 2(?:, and (\d+) further)?", text)
    assert all(int(shown) == 2 + int(best or 0) < int(count) for shown, count, best in tables)
    assert {bool(best) for *_, best in tables} == {True, False}
    assert "The first 2 of 28 cells" in text
    left_out, listed = re.search(r"(\d+) attempts are not listed", text), text.count('<th scope="row"><code>')
    groups = page_content(frames)["attempts"]
    assert left_out is not None
    assert int(left_out[1]) + sum(len(group.attempts) for group in groups) == frames.tasks["attempt_id"].nunique()
    assert listed == sum(min(2, len(group.attempts)) for group in groups)
    anchors = set(re.findall(r'class="records" href="#([^"]+)"', text))
    assert anchors
    assert anchors <= set(re.findall(r'id="([^"]+)"', text))
    written = csv([placed.table for placed in placed_tables(page_content(frames)) if placed.name == "quality"])
    assert all(label in written for label in frames.labels), "files hold every row"
