"""All sets of one protocol side by side, as papers print them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from reports.frames import Frames
from reports.overview import overviews
from reports.pairs import compared
from reports.quality import qualities
from reports.tables import TIMES, Table
from tests.reports.twins import frames_of
from tests.stores import BICUBIC, EDSR, MANY, NLN, SETS, psnr_of

Make = Callable[..., Frames]


def tables(frames: Frames) -> list[Table]:
    scored = qualities(frames)
    return overviews(frames, list(zip(scored, compared(scored), strict=True)))


def test_a_table_for_each_scale_with_a_pair_of_columns_for_each_set(frames: Make) -> None:
    found = tables(frames(sets=SETS, scales=(2, 4)))
    assert [table.caption for table in found] == [
        f"All sets at {TIMES}{scale}: tiling whole, precision fp32" for scale in (2, 4)
    ]
    assert [column.title for column in found[0].columns] == [
        "Parameters",
        "pier PSNR-Y",
        "pier SSIM-Y",
        "tiles PSNR-Y",
        "tiles SSIM-Y",
    ]


def test_figures_are_means_over_the_images_of_a_set(frames: Make) -> None:
    (table,) = tables(frames(sets=SETS, variants=(BICUBIC, EDSR, NLN)))
    row = next(row for row in table.rows if row.head == "EDSR")
    mean = sum(psnr_of(EDSR, image) for image in range(3)) / 3
    assert row.entries["pier psnr_y"].text == f"{mean:.2f}"


def test_the_best_of_a_set_is_marked_and_what_is_not_told_from_it_too(frames: Make) -> None:
    (table,) = tables(frames(sets={**MANY, "tiles": SETS["tiles"]}, variants=(BICUBIC, EDSR, NLN), seeds=range(6)))
    marks = {row.head: (row.entries["pier psnr_y"].rank, row.entries["tiles psnr_y"].mark) for row in table.rows}
    assert marks == {"Bicubic": ("", ""), "EDSR": ("second", "?"), "NLN": ("best", "")}


def test_one_set_alone_has_its_own_table_already(frames: Make) -> None:
    assert tables(frames()) == []


def test_a_network_that_was_not_scored_on_a_set_has_a_dash_there(frames: Make) -> None:
    from harness.records import Status

    fails = {("NLN", "evaluate", "tiles"): (Status.ERROR, "broken")}
    (table,) = tables(frames(sets=SETS, fails=fails))
    row = next(row for row in table.rows if row.head == "NLN")
    assert row.entries["tiles psnr_y"].value is None
    assert row.entries["pier psnr_y"].value is not None


def test_sets_have_protocols_of_their_own_and_still_stand_together(frames: Make) -> None:
    run = frames(sets=SETS)
    (shared,) = {quality.comparable for quality in qualities(run)}
    of_set = {"pier": "of pier", "tiles": "of tiles"}
    records = run.records.assign(comparable=run.records["dataset"].map(of_set).fillna(shared))
    protocols = {f"of {name}": {**run.protocols[shared], "dataset": name, "data": f"hash {name}"} for name in of_set}
    own = dataclasses.replace(run, records=records, protocols={**run.protocols, **protocols})
    assert len(qualities(own)) == 2
    (table,) = tables(own)
    assert [column.key for column in table.columns if "psnr" in column.key] == ["pier psnr_y", "tiles psnr_y"]


def test_other_images_of_the_same_name_never_share_a_column(frames: Make) -> None:
    run = frames(sets=SETS)
    scored = qualities(run)
    paired = list(zip(scored, compared(scored), strict=True))
    assert len(overviews(run, [*paired, *paired])) == 2


def test_published_scores_have_rows_of_their_own_that_do_not_compete(tmp_path: Path) -> None:
    frames = frames_of(tmp_path)
    (quality,) = scored = qualities(frames)
    (pairs,) = compared(scored)
    (table,) = overviews(frames, [(quality, pairs), (dataclasses.replace(quality, dataset="Set14"), pairs)])
    by_head = {row.head: row for row in table.rows}
    heads = ["EDSR", "NLSN plain", "NLSN fidelity", "NLSN fidelity, published"]
    assert [row.head for row in table.rows] == heads, "once for all settings of a method, under its title"
    published = by_head["NLSN fidelity, published"].entries
    assert (published["Set5 psnr_y"].text, published["Set5 ssim_y"].text) == ("38.34", "0.9618")
    assert not published["Set5 psnr_y"].ranked
    assert by_head["NLSN fidelity"].entries["Set5 psnr_y"].rank == "best"
