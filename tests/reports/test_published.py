"""Published beside measured: where it agrees, in columns of its own, with the gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports.published import published_table
from reports.quality import qualities
from reports.tables import MINUS, Row
from tests.reports.twins import frames_of


def rows(tmp_path: Path, **protocol: Any) -> list[Row]:
    frames = frames_of(tmp_path, **protocol)
    (quality,) = qualities(frames)
    table = published_table(frames, quality)
    return [] if table is None else list(table.rows)


def texts(row: Row) -> dict[str, str]:
    return {key: entry.text for key, entry in row.entries.items()}


def test_a_row_for_each_pair_of_figures_with_all_who_print_it(tmp_path: Path) -> None:
    found = rows(tmp_path)
    assert [row.head for row in found] == ["NLSN plain"] * 2 + ["NLSN fidelity"] * 2, "EDSR has nothing published here"
    first, second = texts(found[0]), texts(found[1])
    assert (first["psnr"], first["psnr_published"], first["psnr_gap"]) == ("31.00", "38.34", f"{MINUS}7.34")
    assert (first["ssim"], first["ssim_published"], first["ssim_gap"]) == ("0.9100", "0.9618", f"{MINUS}0.0518")
    assert first["source"] == "table <A>; table B"
    assert (second["psnr_published"], second["source"]) == ("38.30", "figure")
    assert found[1].entries["ssim_published"].value is None


def test_what_was_measured_is_no_more_than_it_is(tmp_path: Path) -> None:
    found = rows(tmp_path)
    assert found[0].note == "not the released settings, trained here, 60 steps"
    assert found[2].note == "trained here, 60 steps"


@pytest.mark.parametrize("degradation", ["blur_down", "down_noise"])
def test_another_degradation_has_nothing_published_beside_it(tmp_path: Path, degradation: str) -> None:
    assert rows(tmp_path, degradation=degradation) == []


def test_a_self_ensemble_stands_beside_a_published_one_alone(tmp_path: Path) -> None:
    found = rows(tmp_path, self_ensemble=True)
    assert {texts(row)["psnr_published"] for row in found} == {"38.50"}


def test_the_tiling_is_told(tmp_path: Path) -> None:
    frames = frames_of(tmp_path, tiling="chop")
    (quality,) = qualities(frames)
    table = published_table(frames, quality)
    assert table is not None
    assert "here tiling is chop" in table.notes[0]


def test_a_run_that_brought_nothing_published_shows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.reports.twins.PUBLISHED", {})
    assert rows(tmp_path) == []
