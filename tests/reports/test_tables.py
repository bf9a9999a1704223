import math

import pytest

from reports.stats import Interval
from reports.tables import (
    DASH,
    MINUS,
    Column,
    Entry,
    Row,
    bounds,
    described,
    fixed,
    make_table,
    missing,
    number,
    ranks,
    significant,
)


def entries(*values: float | None) -> list[Entry]:
    return [missing("why") if value is None else number(value) for value in values]


def test_the_highest_is_best_and_the_next_second() -> None:
    assert ranks(entries(1.0, 3.0, 2.0), "higher") == ["", "best", "second"]


def test_the_lowest_is_best_where_lower_is_better() -> None:
    assert ranks(entries(1.0, 3.0, 2.0), "lower") == ["best", "", "second"]


def test_entries_that_print_alike_share_a_rank() -> None:
    assert ranks(entries(3.001, 3.004, 2.0, 1.0), "higher") == ["best", "best", "second", ""]
    assert ranks(entries(4.0, 3.001, 3.004, 1.0), "higher") == ["best", "second", "second", ""]


def test_how_far_a_figure_scatters_decides_no_rank() -> None:
    told = [("30.21 ± 0.11", 30.214), ("30.21 ± 0.10", 30.213), ("30.20 ± 0.11", 30.204), ("30.10 ± 0.10", 30.1)]
    found = [Entry(text=text, value=value, ranked=True) for text, value in told]
    assert ranks(found, "higher") == ["best", "best", "second", ""]


def test_nothing_is_best_where_all_are_alike_or_alone_or_no_direction_is_better() -> None:
    assert ranks(entries(1.0, 1.0, 1.0), "higher") == ["", "", ""]
    assert ranks(entries(1.0, None), "higher") == ["", ""]
    assert ranks(entries(1.0, 2.0, 3.0), None) == ["", "", ""]


def test_of_two_the_worse_is_not_praised_as_second() -> None:
    assert ranks(entries(1.0, 2.0), "higher") == ["", "best"]


def test_what_is_missing_or_does_not_compete_has_no_rank() -> None:
    unranked = number(9.0, ranked=False)
    assert ranks([unranked, missing("x"), *entries(1.0, 2.0, 3.0)], "higher") == ["", "", "", "second", "best"]


def test_infinity_is_the_highest() -> None:
    assert ranks(entries(math.inf, 30.0, 29.0), "higher") == ["best", "second", ""]


@pytest.mark.parametrize(
    ("value", "text"), [(math.inf, "∞"), (-0.5, f"{MINUS}0.50"), (1234.5, "1\u202f234.50"), (32.456, "32.46")]
)
def test_numbers_are_printed_as_in_papers(value: float, text: str) -> None:
    assert fixed(value, 2) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.01234, "0.0123"), (12.34, "12.3"), (98765.0, "98\u202f765")]
)
def test_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_intervals_read_from_low_to_high() -> None:
    assert bounds(Interval(low=0.001, high=0.002), 1e-3) == "1.00 to 2.00"
    assert bounds(None) == ""


def test_columns_that_hold_nothing_are_left_out() -> None:
    columns = [Column(key="a", title="A", better="higher"), Column(key="b", title="B")]
    rows = [Row(head=str(i), entries={"a": number(float(i)), "b": missing("never")}) for i in range(3)]
    table = make_table("caption", columns, rows)
    assert [column.key for column in table.columns] == ["a"]
    assert [row.entries["a"].rank for row in table.rows] == ["", "second", "best"]


def test_settings_are_flattened_and_worded() -> None:
    content = {"a": {"b": True, "c": None}, "list": [1, 2], "memory_bytes": 8e9, "empty": {}}
    assert described(content) == [
        ("a.b", "yes"),
        ("a.c", "none"),
        ("list", "1, 2"),
        ("memory", "8.00 GB"),
        ("empty", "none"),
    ]


def test_an_entry_without_value_is_a_dash_with_its_reason() -> None:
    assert missing("out of memory") == Entry(text=DASH, note="out of memory")
