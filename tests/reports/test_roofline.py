"""The roofline against roof times found by hand, and its figure."""

from __future__ import annotations

import dataclasses
import functools
import re
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reports.frames import Frames
from reports.palette import looks
from reports.race import CONTROL_LABEL, Race, races
from reports.roofline import OVER, Ceilings, ceilings, common_size, place, places, roofline_tables
from reports.roofline_figure import roofline_figure
from reports.svg import Figure
from reports.tables import DASH, Table
from tests.reports.races import CEILINGS, frames_of

LIMITS = Ceilings(macs_per_s=400e9, bytes_per_s=20e9)
SMALL, LARGE, HUGE = "24x24", "48x48", "96x96"

# GMAC, MB and ms; at 400 MAC and 20 B a ns: the roof is max(GMAC * 2.5, MB / 20) ms.
WORK = {
    ("Product", SMALL): (0.4, 4.0, 4.0),  # 1 ms of MACs, 0.2 ms of bytes
    ("Product", LARGE): (4.0, 40.0, 20.0),  # 10 ms, 2 ms
    ("Gather", SMALL): (0.04, 20.0, 0.8),  # 0.1 ms, 1 ms: above the roof
    ("Gather", LARGE): (0.4, 200.0, 40.0),  # 1 ms, 10 ms
    ("Gather", HUGE): (1.6, 800.0, 400.0),
}


@functools.cache
def stored() -> Race:
    """A race as the store gives it."""
    with tempfile.TemporaryDirectory() as folder:
        (race,) = races(frames_of(Path(folder)))
    return race


def race_of(work: dict[tuple[str, str], tuple[float, float, float]] = WORK) -> Race:
    """Three passes of two rounds, the median pass taking the time asked for."""
    index = pd.MultiIndex.from_product([range(3), range(2)], names=["pass", "round"])
    counted = {("counted_macs", *key): macs * 1e9 for key, (macs, _, _) in work.items()}
    counted |= {("counted_moved_bytes", *key): moved * 1e6 for key, (_, moved, _) in work.items()}
    times = {k: pd.Series([ms / 2, ms / 2, ms, ms, 9e9, 9e9], index=index) * 1e-3 for k, (_, _, ms) in work.items()}
    return dataclasses.replace(
        stored(),
        labels=(*dict.fromkeys(label for label, _ in work), CONTROL_LABEL),
        sizes=(SMALL, LARGE, HUGE),
        samples=times | {(CONTROL_LABEL, SMALL): pd.Series([1e-3] * 6, index=index)},
        counted=counted,
        missing={("Product", HUGE): "would take 5.4 GB, 4.0 GB are free"},
    )


def row(table: Table, head: str) -> Any:
    (found,) = [row for row in table.rows if row.head == head]
    return found


def drawn(race: Race, limits: Ceilings = LIMITS) -> Figure:
    figure = roofline_figure(race, limits, looks(race.labels), "r0")
    assert figure is not None
    return figure


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return frames_of(tmp_path_factory.mktemp("race"))


def test_the_ridge_is_where_both_ceilings_meet() -> None:
    assert LIMITS.ridge == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("label", "size", "roof_s", "bound", "share", "intensity", "attained"),
    [
        ("Product", SMALL, 1e-3, "compute", 0.25, 100.0, 100e9),
        ("Product", LARGE, 10e-3, "compute", 0.5, 100.0, 200e9),
        ("Gather", SMALL, 1e-3, "memory", 1.25, 2.0, 50e9),
        ("Gather", LARGE, 10e-3, "memory", 0.25, 2.0, 10e9),
    ],
)
def test_a_place_is_what_a_hand_finds(
    label: str, size: str, roof_s: float, bound: str, share: float, intensity: float, attained: float
) -> None:
    found = place(race_of(), LIMITS, label, size)
    assert found is not None
    assert found.bound == bound
    figures = (found.roof_s, found.share, found.intensity, found.attained)
    assert figures == pytest.approx((roof_s, share, intensity, attained))


def test_at_the_ridge_itself_compute_is_the_bound() -> None:
    found = place(race_of({("Even", SMALL): (0.4, 20.0, 2.0)}), LIMITS, "Even", SMALL)
    assert found is not None
    assert (found.intensity, found.bound) == (LIMITS.ridge, "compute")


def test_only_what_was_counted_and_timed_has_a_place() -> None:
    race = race_of()
    assert [each.label for each in places(race, LIMITS, SMALL)] == ["Product", "Gather"]
    for metric in ("counted_macs", "counted_moved_bytes"):
        counted = {key: value for key, value in race.counted.items() if key != (metric, "Product", SMALL)}
        fewer = dataclasses.replace(race, counted=counted)
        assert [each.label for each in places(fewer, LIMITS, SMALL)] == ["Gather"]
    untimed = {key: value for key, value in race.samples.items() if key != ("Gather", SMALL)}
    assert [each.label for each in places(dataclasses.replace(race, samples=untimed), LIMITS, SMALL)] == ["Product"]


def test_the_size_of_the_table_is_the_largest_that_most_have() -> None:
    race = race_of()
    assert common_size(race, LIMITS) == LARGE
    assert common_size(race_of({("Gather", s): WORK["Gather", s] for s in (SMALL, HUGE)}), LIMITS) == HUGE
    assert common_size(dataclasses.replace(race, counted={}), LIMITS) is None


def test_shares_stand_by_method_and_size_with_what_they_are_made_of() -> None:
    shares, _ = roofline_tables(race_of(), LIMITS)
    assert shares.caption == f"{stored().title}: share of the roof"
    assert [each.head for each in shares.rows] == ["Product", "Gather"]
    product, gather = row(shares, "Product").entries, row(shares, "Gather").entries
    assert [product[size].text for size in (SMALL, LARGE, HUGE)] == ["25\u202f%", "50\u202f%", DASH]
    assert product[HUGE].note == "would take 5.4 GB, 4.0 GB are free"
    assert gather[HUGE].text == "10\u202f%"
    assert gather[LARGE].note == "2.00 MAC/B, bound by memory, 10.0 ms at the roof, 40.0 ms measured"
    assert not shares.marked, "a high share of a low roof is no merit"


def test_a_timed_method_without_counts_says_so() -> None:
    race = race_of()
    counted = {key: value for key, value in race.counted.items() if key[1] != "Product"}
    shares, _ = roofline_tables(dataclasses.replace(race, counted=counted), LIMITS)
    assert row(shares, "Product").entries[SMALL].note == "not counted"


def test_the_other_table_holds_the_parts_at_one_size() -> None:
    _, parts = roofline_tables(race_of(), LIMITS)
    assert parts.caption.endswith(": roofline at 48×48 (n = 2\u202f304)")  # noqa: RUF001 - the sign that is printed
    assert [f"{c.title} {c.unit}".strip() for c in parts.columns] == [
        *("MACs G", "Bytes moved MB", "Intensity MAC/B", "Bound by"),
        *("At the roof ms", "Measured ms", "Share of the roof %"),
    ]
    texts = {each.head: [entry.text for entry in each.entries.values()] for each in parts.rows}
    assert texts == {
        "Product": ["4.00", "40.0", "100", "compute", "10.0", "20.0", "50"],
        "Gather": ["0.400", "200", "2.00", "memory", "10.0", "40.0", "25"],
    }


def test_notes_name_the_ceilings_and_the_ridge() -> None:
    for table in roofline_tables(race_of(), LIMITS):
        assert "400 GMAC/s of a matrix product, 20.0 GB/s of a copy; ridge at 20.0 MAC/B" in table.notes[0]
        assert "Bytes moved: " in table.notes[1]
        assert table.protocol == stored().comparable


def test_a_share_over_100_percent_is_marked_explained_and_not_clipped() -> None:
    shares, parts = roofline_tables(race_of(), LIMITS)
    entry = row(shares, "Gather").entries[SMALL]
    assert (entry.text, entry.mark, entry.doubt) == ("125\u202f%", OVER, "above the roof")
    assert entry.value == pytest.approx(1.25)
    assert any("caches serve" in note for note in shares.notes)
    assert not any(OVER in note for note in parts.notes), "none is above it at that size"
    assert not any("fewer multiply-adds" in note for note in shares.notes)


def test_above_a_compute_roof_caches_are_no_reason() -> None:
    shares, _ = roofline_tables(race_of({("Product", SMALL): (0.4, 4.0, 0.5)}), LIMITS)
    assert row(shares, "Product").entries[SMALL].text == "200\u202f%"
    assert any("fewer multiply-adds" in note for note in shares.notes)
    assert not any("caches serve" in note for note in shares.notes)


def test_a_ceiling_is_the_best_over_sizes_and_passes(frames: Frames) -> None:
    (race,) = races(frames)
    found = ceilings(frames, race)
    assert found == Ceilings(macs_per_s=CEILINGS["ceiling_macs_per_s"], bytes_per_s=CEILINGS["ceiling_bytes_per_s"])


def test_ceilings_of_other_protocols_and_machines_do_not_count(frames: Frames) -> None:
    (race,) = races(frames)
    own, records = ceilings(frames, race), frames.records
    for column in ("comparable", "machine_id"):
        strange = records[records["metric"].isin(CEILINGS)].assign(value=9e9, **{column: "another"})
        mixed = dataclasses.replace(frames, records=pd.concat([records, strange], ignore_index=True))
        assert ceilings(mixed, race) == own
    assert ceilings(frames, dataclasses.replace(race, machine="another")) is None
    assert ceilings(frames, dataclasses.replace(race, comparable="another")) is None


@pytest.mark.parametrize("metric", CEILINGS)
def test_without_both_ceilings_there_is_no_roof(frames: Frames, metric: str) -> None:
    (race,) = races(frames)
    fewer = dataclasses.replace(frames, records=frames.records[frames.records["metric"] != metric])
    assert ceilings(fewer, race) is None


def test_from_the_store_to_the_table(tmp_path: Path) -> None:
    """1e3 MACs a second under a ceiling of 4e3, and as many bytes under one of 2e3: half of the roof."""
    frames = frames_of(tmp_path, scatter=(0.0, 0.0))
    (race,) = races(frames)
    macs = {key: value for key, value in race.counted.items() if key[0] == "counted_macs"}
    moved = {("counted_moved_bytes", *key[1:]): value for key, value in macs.items()}
    limits = ceilings(frames, race)
    assert limits is not None
    found = place(dataclasses.replace(race, counted=macs | moved), limits, "NLSN", "48x48")
    assert found is not None
    assert found.bound == "memory"
    assert found.share == pytest.approx(0.5, rel=0.2)


def test_nothing_counted_nothing_said() -> None:
    race = dataclasses.replace(race_of(), counted={})
    assert roofline_tables(race, LIMITS) == []
    assert roofline_figure(race, LIMITS, looks(race.labels), "r0") is None


def test_the_figure_tells_its_numbers_in_words() -> None:
    figure = drawn(race_of())
    assert "400 GMAC/s of a matrix product, 20.0 GB/s of a copy; ridge at 20.0 MAC/B" in figure.alt
    assert "Product 200 GMAC/s at 100 MAC/B, 50\u202f% of the roof, bound by compute" in figure.alt
    assert "Gather 10.0 GMAC/s at 2.00 MAC/B, 25\u202f% of the roof, bound by memory" in figure.alt
    assert figure.alt.startswith(f"{stored().title}: attained GMAC/s over intensity")
    assert "Roofline at 48×48, attention alone<" in figure.svg  # noqa: RUF001 - the sign that is printed
    assert "medians at 48×48" in figure.caption  # noqa: RUF001 - the sign that is printed
    assert "Small points: other sizes" in figure.caption
    assert OVER not in figure.caption


def test_the_figure_of_networks_names_their_scale() -> None:
    assert "Roofline at 48×48, ×4<" in drawn(dataclasses.replace(race_of(), scale=4)).svg  # noqa: RUF001 - as printed


def test_the_figure_names_both_sides_of_the_roof_and_every_method() -> None:
    svg = drawn(race_of()).svg
    for text in ("400 GMAC/s", "20.0 GB/s", "Product: 50\u202f%", "Gather: 25\u202f%", "Intensity [MAC/B]"):
        assert text in svg


def test_what_is_above_the_roof_is_marked_in_the_figure_too() -> None:
    figure = drawn(race_of({("Gather", SMALL): WORK["Gather", SMALL]}))
    assert f"Gather: 125\u202f% {OVER}" in figure.svg
    assert "above the roof" in figure.caption
    assert "Small points" not in figure.caption, "there is one size only"


def test_colours_are_the_methods_own_and_follow_the_page() -> None:
    race = race_of()
    figure = roofline_figure(race, LIMITS, looks(["x", "y", "z", *race.labels]), "r0")
    assert figure is not None
    assert set(re.findall(r"var\(--(series-\d+)\)", figure.svg)) == {"series-3", "series-4"}
    assert not re.search(r"#(5e|1d1d)[0-9a-f]+", figure.svg)
    assert {"var(--ink)", "var(--page)"} <= set(re.findall(r"var\(--\w+\)", figure.svg))


def test_a_crowd_has_no_trails_and_every_point() -> None:
    work = {(f"M{i}", s): (0.1 + 0.01 * i, 10.0 + i, 5.0) for i in range(60) for s in (SMALL, LARGE)}
    figure = drawn(race_of(work))
    assert "Small points" not in figure.caption
    assert "opacity" not in figure.svg
    assert all(f"M{i}: " in figure.svg and f"M{i} " in figure.alt for i in range(60))
    assert "opacity" in drawn(race_of(dict(list(work.items())[:18]))).svg


def test_what_multiplies_nothing_is_told_and_not_drawn() -> None:
    race = race_of(WORK | {("Copy", LARGE): (0.0, 40.0, 4.0)})
    _, parts = roofline_tables(race, LIMITS)
    assert row(parts, "Copy").entries["share"].text == "50"
    assert "Copy" not in drawn(race).svg
    assert roofline_figure(race_of({("Copy", LARGE): (0.0, 40.0, 4.0)}), LIMITS, looks(["Copy"]), "r0") is None


@pytest.mark.parametrize("bytes_per_s", [1e9, 20e9, 4e12])
def test_both_names_stay_inside_the_axes_whatever_the_bound(bytes_per_s: float) -> None:
    """Text ends at its place, so its left edge is what may leave the frame; a letter is 0.6 of its size wide."""
    svg = drawn(race_of(), Ceilings(macs_per_s=400e9, bytes_per_s=bytes_per_s)).svg
    (frame,) = re.findall(r'<clipPath[^>]*>\s*<rect x="([\d.]+)"', svg)
    names = re.findall(r'<text[^>]*?x="([\d.]+)"[^>]*>([\d\u202f.]+ (?:GB/s|GMAC/s))<', svg)
    assert len(names) == 2
    assert all(float(end) - 0.6 * 9.0 * len(text) > float(frame) for end, text in names)
