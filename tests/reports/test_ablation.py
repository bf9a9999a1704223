"""Variants of a method beside the full one, with what each change does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from reports.ablation import ablation_tables, compared_with_full
from reports.cost import costs
from reports.frames import Frames
from reports.pair_tables import ONE_SEED
from reports.quality import qualities
from reports.tables import MINUS, TIMES, Row, Table
from tests.stores import BICUBIC, EDSR, MANY, NLSN

Make = Callable[..., Frames]
ONE = dataclasses.replace(
    NLSN, label="NLSN one", psnr=29.2, wobble=-0.5, factor=3e-6, settings={"n_hashes": 1, "chunk_size": 144}
)
FOUR = dataclasses.replace(NLSN, settings={"n_hashes": 4, "chunk_size": 144})


def tables(frames: Frames) -> list[Table]:
    (quality,) = qualities(frames)
    return ablation_tables(frames, quality, costs(frames), *compared_with_full(frames, [quality]))


def rows(frames: Frames) -> dict[str, Row]:
    (table,) = tables(frames)
    return {row.head: row for row in table.rows}


def test_only_methods_with_several_variants_have_a_table(frames: Make) -> None:
    found = tables(frames(variants=(BICUBIC, EDSR, FOUR, ONE), sets=MANY))
    assert [table.caption for table in found] == [f"pier {TIMES}2: ablation of NLSN"]
    assert tables(frames(variants=(BICUBIC, EDSR, FOUR))) == []


def test_settings_that_differ_are_columns_and_no_others(frames: Make) -> None:
    (table,) = tables(frames(variants=(FOUR, ONE), sets=MANY))
    assert [column.title for column in table.columns if column.words] == ["n_hashes"]
    assert {row.head: row.entries["set n_hashes"].text for row in table.rows} == {"NLSN": "4", "NLSN one": "1"}


def test_changes_are_against_the_variant_nearest_to_the_release(frames: Make) -> None:
    found = rows(frames(variants=(ONE, FOUR), sets=MANY))
    assert found["NLSN one"].note == "full", "where nothing tells, the grid's first"
    made = frames(variants=(ONE, FOUR), sets=MANY, seeds=(0, 1))
    for label, spec in made.tasks[["label", "cell_spec"]].itertuples(index=False):
        spec["changed"] = {"n_hashes": 1} if label == "NLSN one" else {}
    assert rows(made)["NLSN"].note == "full"


def test_the_change_is_told_with_interval_and_cost(frames: Make) -> None:
    found = rows(frames(variants=(FOUR, ONE), sets=MANY))
    change = found["NLSN one"].entries
    assert change["change"].text == f"{MINUS}0.35"
    low, high = (float(end.replace(MINUS, "-")) for end in change["interval"].text.split(" to "))
    assert low < -0.35 < high < 0
    assert change["change"].mark == ""
    assert change["macs"].text == "+0.0"
    assert float(change["forward_s"].text.replace(MINUS, "-")) < -30
    assert found["NLSN"].entries["change"].value is None


def test_a_change_that_is_noise_is_marked(frames: Make) -> None:
    alike = dataclasses.replace(ONE, psnr=29.55)
    change = rows(frames(variants=(FOUR, alike), sets=MANY))["NLSN one"].entries["change"]
    assert (change.mark, change.doubt) == ("≈", "not told from zero")


def test_one_seed_is_told_with_caution(frames: Make) -> None:
    (table,) = tables(frames(variants=(FOUR, ONE), sets=MANY))
    assert ONE_SEED in table.notes
    (table,) = tables(frames(variants=(FOUR, ONE), sets=MANY, seeds=(0, 1)))
    assert ONE_SEED not in table.notes


def test_too_few_images_decide_nothing_as_in_pairs(frames: Make) -> None:
    change = rows(frames(variants=(FOUR, ONE)))["NLSN one"].entries["change"]
    assert (change.text, change.mark, change.doubt) == (f"{MINUS}0.37", "?", "undecided")


def test_variants_are_a_family_of_the_page(frames: Make) -> None:
    """Of many variants that are alike, some come out different at 5 % each; Holm knows how many were tried."""
    many = [
        dataclasses.replace(ONE, label=f"NLSN {n}", settings={"n_hashes": n, "chunk_size": 144}) for n in range(5, 9)
    ]
    made = frames(variants=(FOUR, ONE, *many), sets=MANY)
    change = rows(made)["NLSN one"].entries["change"]
    assert "over 5 comparisons" in change.note
