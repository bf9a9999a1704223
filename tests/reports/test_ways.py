"""What the way of asking changes, as differences paired by image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pandas as pd
import pytest

from reports.frames import Frames
from reports.quality import qualities
from reports.tables import DASH, Table
from reports.ways import ways_tables
from tests.stores import BICUBIC, EDSR, MANY, NLSN


def tables(frames: Frames) -> list[Table]:
    return ways_tables(frames, qualities(frames))


def test_one_way_of_asking_has_nothing_beside_it(frames: Callable[..., Frames]) -> None:
    assert tables(frames()) == []


def test_each_data_set_and_scale_has_a_table_of_differences(frames: Callable[..., Frames]) -> None:
    found = tables(frames(tilings=("whole", "chop", "tile:8+2"), scales=(2, 3), sets=MANY))
    assert [table.caption.partition(":")[0] for table in found] == ["pier ×2", "pier ×3"]  # noqa: RUF001 - as printed
    assert [column.title for column in found[0].columns] == ["whole, fp32", "chop, fp32", "tile:8+2, fp32"]
    (row,) = [row for row in found[0].rows if row.head == EDSR.label]
    assert [entry.text for entry in row.entries.values()][1:] == ["+0.000 (0.000 to 0.000)"] * 2


def test_differences_are_those_of_the_same_image(frames: Callable[..., Frames]) -> None:
    subject = frames(tilings=("whole", "chop"), variants=(BICUBIC, EDSR, NLSN), sets=MANY)
    first, second = qualities(subject)
    shifted = second.by_draw.copy()
    for column in shifted[[EDSR.label]]:
        shifted[column] += [0.5 if i % 2 else -0.1 for i in range(len(shifted))]
    (table,) = ways_tables(subject, [first, dataclasses.replace(second, by_draw=shifted)])
    (entry,) = [row.entries[second.comparable] for row in table.rows if row.head == EDSR.label]
    assert entry.value == pytest.approx(0.2)
    assert entry.text.startswith("+0.200 (")


def test_only_trainings_and_draws_that_were_asked_in_both_ways_are_compared(frames: Callable[..., Frames]) -> None:
    """The second way asked the first training alone, whose scores are not those of the other."""
    subject = frames(tilings=("whole", "chop"), variants=(BICUBIC, EDSR, NLSN), sets=MANY, seeds=(0, 1))
    first, second = qualities(subject)
    alone = second.by_draw.xs(0, axis="columns", level="seed", drop_level=False)
    (table,) = ways_tables(subject, [first, dataclasses.replace(second, by_draw=alone, images=second.images + 1.0)])
    (row,) = [row for row in table.rows if row.head == EDSR.label]
    assert row.entries[second.comparable].value == pytest.approx(0.0)
    seeds = [(label, 7 if label == EDSR.label else seed, draw) for label, seed, draw in alone.columns]
    other = alone.set_axis(pd.MultiIndex.from_tuples(seeds, names=alone.columns.names), axis="columns")
    (table,) = ways_tables(subject, [first, dataclasses.replace(second, by_draw=other)])
    (row,) = [row for row in table.rows if row.head == EDSR.label]
    assert row.entries[second.comparable].text == DASH


def test_a_method_that_was_not_scored_in_one_way_has_a_dash(frames: Callable[..., Frames]) -> None:
    subject = frames(tilings=("whole", "chop"), sets=MANY)
    first, second = qualities(subject)
    without = tuple(label for label in second.labels if label != EDSR.label)
    (table,) = ways_tables(subject, [first, dataclasses.replace(second, labels=without)])
    (row,) = [row for row in table.rows if row.head == EDSR.label]
    assert row.entries[second.comparable].text == DASH
    assert row.entries["first"].value is not None
