"""The tables of attentions alone: medians over passes, floors, ratios of pairs, and what could not run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from reports.frames import Frames, load
from reports.noise import seen
from reports.race import CONTROL_LABEL, Race, races
from reports.race_tables import further_tables, race_tables
from reports.tables import DASH, TIMES, Table, shown
from tests.reports.races import ROUNDS, SHARE, SIZES, frames_of, seconds_of
from tests.stores import make_store


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return frames_of(tmp_path_factory.mktemp("race"))


def only(frames: Frames) -> Race:
    (race,) = races(frames)
    return race


def texts(table: Table, head: str) -> dict[str, str]:
    (row,) = [row for row in table.rows if row.head == head]
    return {key: entry.text for key, entry in row.entries.items()}


def test_labels_are_those_of_the_cells_and_the_control_comes_last(frames: Frames) -> None:
    race = only(frames)
    assert race.labels == ("NLN plain", "NLSN", CONTROL_LABEL)
    assert race.sizes == SIZES
    assert race.reference == "NLN plain"
    assert frames.labels == (), "what times others in turn is no method"


def test_a_time_is_the_median_of_pass_medians(frames: Frames) -> None:
    race = only(frames)
    assert len(race.medians("NLSN", "48x48")) == 3
    assert race.median("NLSN", "48x48") == pytest.approx(seconds_of("k-hash", "48x48"), rel=0.2)
    assert race.median("NLSN", "10x10") is None


def test_ratios_are_of_pairs_so_that_drift_cancels(frames: Frames) -> None:
    """Samples drift by 20 %, ratios of pairs scatter by little more than 2 %."""
    found = only(frames).ratio("NLSN", "96x96")
    assert found is not None
    ratio, interval = found
    assert ratio == pytest.approx(seconds_of("k-hash", "96x96") / seconds_of("z-dense", "96x96"), rel=0.05)
    assert interval is not None
    assert interval.high / interval.low < 1.06


def test_the_tables_say_how_many_samples_and_what_the_floor_is(frames: Frames) -> None:
    times, ratios = race_tables(frames, only(frames))
    (row,) = [row for row in times.rows if row.head == "NLSN"]
    assert f"{3 * ROUNDS} samples in 3 passes" in row.entries["24x24"].note
    assert 1.0 < float(texts(times, "NLSN")["noise"]) < 60.0
    assert 1.0 < float(texts(ratios, "NLSN")["noise"]) < 10.0
    assert texts(ratios, "NLN plain")["noise"] == DASH
    assert texts(ratios, "NLN plain")["48x48"] == DASH
    assert texts(ratios, "NLSN")["96x96"].startswith("0.2")
    assert times.notes[1].startswith("The clock takes at most 0.00")


def test_the_further_tables_tell_first_calls_gaps_and_counts(frames: Frames) -> None:
    race = only(frames)
    first, gaps, macs = further_tables(race)
    assert [row.head for row in macs.rows] == ["NLN plain", "NLSN"]
    found, median = float(texts(first, "NLSN")["48x48"]), race.median("NLSN", "48x48")
    assert median is not None
    assert found == pytest.approx(2e3 * median, rel=0.3)
    kernels = race.once["race_kernel_s", "NLSN", "48x48"]
    assert float(texts(gaps, "NLSN")["48x48"]) == pytest.approx(100 * (1 - kernels / median), rel=0.05)


def test_a_clock_that_takes_too_much_is_told(frames: Frames) -> None:
    race = only(frames)
    slow = dataclasses.replace(race, once={**race.once, ("race_clock_s", "NLSN", "24x24"): 1e-3})
    assert "more than it should be" in race_tables(frames, slow)[0].notes[1]


def test_networks_have_the_part_of_attention_measured_in_two_ways(tmp_path: Path) -> None:
    frames = frames_of(tmp_path, scale=2)
    race = only(frames)
    assert race.title == f"Networks at {TIMES}2, inference, batch 1, whole, precision fp32"
    table = race_tables(frames, race)[2]
    assert [row.head for row in table.rows] == ["NLN plain: inside", "NLN plain: saved", "NLSN: inside", "NLSN: saved"]
    median = race.median("NLSN", "48x48")
    assert median is not None
    for way in ("inside", "saved"):
        assert float(texts(table, f"NLSN: {way}")["48x48"]) == pytest.approx(1e3 * SHARE * median, rel=0.05)
    assert not any(row.note for row in table.rows)
    assert race.cost.share("NLSN", "48x48") == pytest.approx(SHARE, rel=0.02)


def test_two_ways_that_disagree_are_told(tmp_path: Path) -> None:
    frames = frames_of(tmp_path, scale=2)
    race = only(frames)
    doubled = dataclasses.replace(race, inside={place: 2 * each for place, each in race.inside.items()})
    notes = {row.head: row.note for row in race_tables(frames, doubled)[2].rows}
    assert notes["NLSN: saved"] == "more than 10% from what was measured inside at " + ", ".join(map(shown, SIZES))


def test_what_did_not_fit_is_a_dash_with_its_reason(tmp_path: Path) -> None:
    frames = frames_of(tmp_path, failing="z-dense")
    race = only(frames)
    (row,) = [row for row in race_tables(frames, race)[0].rows if row.head == "NLN plain"]
    assert row.entries["96x96"].text == DASH
    assert "5.4 GB" in row.entries["96x96"].note
    assert race.ratio("NLSN", "96x96") is None


def test_a_planted_slow_down_of_15_percent_is_seen_and_one_below_the_floor_is_not(tmp_path: Path) -> None:
    before = only(frames_of(tmp_path))
    same, slow = (only(frames_of(tmp_path, slower={"k-hash": by}, seed=s)) for by, s in ((1.005, 1), (1.15, 2)))
    noise = before.ratio_noise("NLSN")
    assert noise is not None
    assert 0.01 < noise < 0.1
    for size in SIZES:
        assert not seen(before.ratios("NLSN", size), same.ratios("NLSN", size), noise)
        assert seen(before.ratios("NLSN", size), slow.ratios("NLSN", size), noise)


def test_a_run_without_any_has_no_tables(tmp_path: Path) -> None:
    store, run = make_store(tmp_path / "store.db")
    plain = load(store, run)
    store.close()
    assert races(plain) == []
