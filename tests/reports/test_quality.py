import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.records import Outcome, Record, Status
from harness.store import Store
from reports.cost import costs
from reports.frames import Frames, load
from reports.pairs import compared
from reports.quality import qualities
from reports.scores import quality_table
from reports.significance import paired_interval
from reports.tables import DASH, TIMES, Row, Table, bounds
from tests.stores import (
    BICUBIC,
    EDSR,
    NLN,
    NLSN,
    SETS,
    Ask,
    Plan,
    add_run,
    asked,
    attention_macs_of,
    attention_s_of,
    evaluate_protocol,
    outcome_of,
    psnr_of,
)

Make = Callable[..., Frames]
Change = Callable[[Ask, Outcome], Outcome]


def table_of(frames: Frames, index: int = 0) -> Table:
    scored = qualities(frames)
    return quality_table(frames, scored[index], costs(frames), compared(scored)[index])


def row_of(table: Table, label: str) -> Row:
    return next(row for row in table.rows if row.head == label)


def text_of(table: Table, label: str, key: str) -> str:
    return row_of(table, label).entries[key].text


def test_means_over_images_then_seeds_with_spread_over_seeds(frames: Make) -> None:
    table = table_of(frames(seeds=(0, 1, 5)))
    per_seed = [np.mean([psnr_of(NLSN, image, seed) for image in range(3)]) for seed in (0, 1, 5)]
    assert text_of(table, "NLSN", "psnr_y") == f"{np.mean(per_seed):.2f} ± {np.std(per_seed, ddof=1):.2f}"
    ssim = np.array(per_seed) / 40.0
    assert text_of(table, "NLSN", "ssim_y") == f"{ssim.mean():.4f} ± {ssim.std(ddof=1):.4f}"


def test_hash_draws_are_averaged_first_and_their_spread_stands_apart(frames: Make) -> None:
    table = table_of(frames(hash_seeds=(0, 1, 5)))
    draws = [np.mean([psnr_of(NLN, i, hash_seed=draw) for i in range(3)]) for draw in (0, 1, 5)]
    assert text_of(table, "NLN", "psnr_y") == f"{np.mean(draws):.2f}"
    assert text_of(table, "NLN", "draws") == f"{np.std(draws, ddof=1):.3f}"


def test_gain_is_over_bicubic_and_its_interval_is_paired_by_image(frames: Make) -> None:
    table = table_of(frames())
    differences = [psnr_of(NLSN, i) - psnr_of(BICUBIC, i) for i in range(3)]
    assert text_of(table, "NLSN", "gain") == f"+{np.mean(differences):.2f}"
    assert text_of(table, "NLSN", "interval") == bounds(paired_interval(np.array(differences)[:, None]), digits=2)
    assert text_of(table, "Bicubic", "gain") == DASH


def test_cost_stands_beside_at_the_largest_size_that_all_have(frames: Make) -> None:
    fails = {("NLN", "profile", "192x192"): (Status.OUT_OF_MEMORY, "too large")}
    table = table_of(frames(fails=fails))
    n = 96 * 96
    macs = (1.5e5 * n + attention_macs_of(NLSN, "96x96")) / 1e9
    forward = (2e-3 + 2e-6 * n + attention_s_of(NLSN, "96x96")) / 1e-3
    assert text_of(table, "NLSN", "macs") == f"{macs:.2f}"
    assert text_of(table, "NLSN", "forward_s") == f"{forward:.1f}"
    assert text_of(table, "NLSN", "parameters") == "0.170"
    assert any(f"96{TIMES}96" in note for note in table.notes)


def test_best_and_second_of_each_column(frames: Make) -> None:
    table = table_of(frames())
    ranks = {row.head: {key: entry.rank for key, entry in row.entries.items()} for row in table.rows}
    assert ranks["NLN"]["psnr_y"] == ranks["NLN fused"]["psnr_y"] == "best"
    assert ranks["NLSN"]["psnr_y"] == "second"
    assert ranks["EDSR"]["forward_s"] == "best"
    assert ranks["NLN"]["forward_s"] == ""


def test_every_scale_and_set_has_its_own_table(frames: Make) -> None:
    titles = [quality.title for quality in qualities(frames(scales=(2, 4), sets=SETS))]
    assert titles == [f"pier {TIMES}2", f"tiles {TIMES}2", f"pier {TIMES}4", f"tiles {TIMES}4"]


def test_protocols_are_not_mixed(frames: Make) -> None:
    loaded = frames(tilings=("whole", "chop"))
    tables = [table_of(loaded, i) for i in range(2)]
    assert [quality.tiling for quality in qualities(loaded)] == ["whole", "chop"]
    assert tables[0].protocol != tables[1].protocol
    assert any("tiling chop" in note for note in tables[1].notes)


def frames_of(tmp_path: Path, plan: Plan, change: Change) -> Frames:
    """The frames of a run whose outcomes went through `change`."""
    store = Store(str(tmp_path / "s.db"))
    run_id = add_run(store, plan, answer=False)
    for ask in asked(plan):
        store.write(run_id, change(ask, outcome_of(ask, plan)))
    return load(store, run_id)


def test_one_method_measured_otherwise_stands_in_a_table_of_its_own(tmp_path: Path) -> None:
    def change(ask: Ask, outcome: Outcome) -> Outcome:
        if ask.task.kind != "evaluate" or ask.variant is not EDSR:
            return outcome
        protocol = evaluate_protocol(ask.task.spec, channel="rgb")
        return Outcome(task=ask.task, status=Status.DONE, seconds=1.0, records=outcome.records, protocol=protocol)

    frames = frames_of(tmp_path, Plan(), change)
    first, second = (table_of(frames, i) for i in range(2))
    assert text_of(first, "EDSR", "psnr_y") == DASH
    assert text_of(second, "EDSR", "psnr_y") != DASH
    assert text_of(second, "NLSN", "psnr_y") == DASH
    assert "gain" in [column.key for column in first.columns]
    assert "gain" not in [column.key for column in second.columns]


def test_a_method_scored_on_fewer_images_is_shown_but_not_compared(tmp_path: Path) -> None:
    def change(ask: Ask, outcome: Outcome) -> Outcome:
        if ask.task.kind != "evaluate" or ask.variant is not NLN:
            return outcome
        broken = Record(metric="psnr_y", status=Status.ERROR, reason="unreadable", dataset="pier", image="boat")
        kept = tuple(r for r in outcome.records if r.image != "boat")
        return Outcome(
            task=ask.task, status=Status.DONE, seconds=1.0, records=(broken, *kept), protocol=outcome.protocol
        )

    row = row_of(table_of(frames_of(tmp_path, Plan(), change)), "NLN")
    assert row.note == "scored on 2 of 3 images, so not compared"
    assert row.entries["psnr_y"].rank == ""
    assert row.entries["gain"].text == DASH


def test_a_table_without_any_psnr_compares_nothing(tmp_path: Path) -> None:
    def change(_: Ask, outcome: Outcome) -> Outcome:
        kept = tuple(record for record in outcome.records if record.metric != "psnr_y")
        return dataclasses.replace(outcome, records=kept)

    frames = frames_of(tmp_path, Plan(), change)
    assert text_of(table_of(frames), "NLN", "ssim_y") != DASH
    assert compared(qualities(frames))[0].best is None


def test_infinite_psnr_is_shown_as_such(tmp_path: Path) -> None:
    def change(ask: Ask, outcome: Outcome) -> Outcome:
        if ask.task.kind != "evaluate" or ask.variant is not NLSN:
            return outcome
        records = tuple(
            Record(metric=r.metric, value=math.inf, dataset=r.dataset, image=r.image) if "psnr" in r.metric else r
            for r in outcome.records
        )
        return Outcome(task=ask.task, status=Status.DONE, seconds=1.0, records=records, protocol=outcome.protocol)

    table = table_of(frames_of(tmp_path, Plan(seeds=(0, 1)), change))
    assert text_of(table, "NLSN", "psnr_y") == "∞"
    assert text_of(table, "NLSN", "gain") == "+∞"
    assert row_of(table, "NLSN").entries["psnr_y"].rank == "best"


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ({"fails": {("NLN", "evaluate"): (Status.ERROR, "no memory")}}, "error: no memory"),
        ({"variants": (BICUBIC, NLN), "unfinished": 5}, "not run yet"),
    ],
)
def test_a_missing_figure_says_why(frames: Make, plan: dict[str, Any], reason: str) -> None:
    entry = row_of(table_of(frames(**plan)), "NLN").entries["psnr_y"]
    assert (entry.text, entry.note) == (DASH, reason)


def test_seeds_that_are_not_there_yet_are_told(frames: Make) -> None:
    plan = {"seeds": (0, 1), "variants": (BICUBIC, EDSR), "unfinished": 5}
    assert row_of(table_of(frames(**plan)), "EDSR").note == "mean of 1 of 2 seeds"


def test_each_way_of_asking_has_a_title_of_its_own(frames: Callable[..., Frames]) -> None:
    asked = qualities(frames(tilings=("whole", "chop", "tile:8+2")))
    assert [quality.title for quality in asked if quality.dataset == "pier"] == [
        "pier ×2",  # noqa: RUF001 - as printed
        "pier ×2, chop",  # noqa: RUF001
        "pier ×2, tile:8+2",  # noqa: RUF001
    ]
