"""The tables of attentions alone: medians over passes, floors, ratios of pairs, and what could not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.alone import CONTROL_LABEL, Alone, alone_tables, races
from reports.frames import Frames, load
from reports.noise import seen
from reports.tables import DASH, Table
from tests.reports.races import ROUNDS, SIZES, frames_of, seconds_of
from tests.stores import make_store


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return frames_of(tmp_path_factory.mktemp("race"))


def only(frames: Frames) -> Alone:
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
    times, ratios, macs = alone_tables(frames, only(frames))
    (row,) = [row for row in times.rows if row.head == "NLSN"]
    assert f"{3 * ROUNDS} samples in 3 passes" in row.entries["24x24"].note
    assert 1.0 < float(texts(times, "NLSN")["noise"]) < 60.0
    assert 1.0 < float(texts(ratios, "NLSN")["noise"]) < 10.0
    assert texts(ratios, "NLN plain")["noise"] == DASH
    assert texts(ratios, "NLN plain")["48x48"] == DASH
    assert texts(ratios, "NLSN")["96x96"].startswith("0.2")
    assert [row.head for row in macs.rows] == ["NLN plain", "NLSN"]
    assert "The clock takes 0.020 µs" in times.notes[1]


def test_a_clock_that_takes_too_much_is_told(frames: Frames) -> None:
    import dataclasses

    slow = dataclasses.replace(only(frames), clock_s=1e-6)
    assert "more than it should be" in alone_tables(frames, slow)[0].notes[1]


def test_what_did_not_fit_is_a_dash_with_its_reason(tmp_path: Path) -> None:
    frames = frames_of(tmp_path, failing="z-dense")
    race = only(frames)
    (row,) = [row for row in alone_tables(frames, race)[0].rows if row.head == "NLN plain"]
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
