"""The tables of entropy and recall, and the maps of whom a query attends to."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.attention import attention_maps, attention_tables
from reports.frames import Frames, load
from tests.reports.twins import frames_of
from tests.stores import make_store


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return frames_of(tmp_path_factory.mktemp("twins"))


def test_there_is_a_table_per_figure_with_a_column_per_size(frames: Frames) -> None:
    entropy, top, mass = attention_tables(frames)
    assert [column.key for column in entropy.columns] == ["8x8", "16x16"]
    assert entropy.columns[0].unit == "bit"
    assert [row.head for row in top.rows] == ["NLSN plain", "NLSN fidelity"]
    assert [row.entries["8x8"].text for row in entropy.rows] == ["4.00", "2.00"]
    assert [row.entries["16x16"].text for row in mass.rows] == ["0.600", "0.300"]


def test_each_table_says_how_its_figures_are_to_be_read(frames: Frames) -> None:
    entropy, top, mass = attention_tables(frames)
    assert "6.00 bit at 8" in entropy.notes[0]
    assert "Of the 16 keys" in top.notes[0]
    assert "softmax" in mass.notes[0]
    assert "dataset Set5" in entropy.notes[1]
    assert "size" not in entropy.notes[1]


def test_maps_are_drawn_pixel_by_pixel(frames: Frames) -> None:
    (strip,) = attention_maps(frames)
    assert [(tile.title, tile.pixelated) for tile in strip.tiles] == [("NLSN plain", True), ("NLSN fidelity", True)]


def test_a_run_that_looked_at_nothing_has_no_tables(tmp_path: Path) -> None:
    store, run = make_store(tmp_path / "store.db")
    plain = load(store, run)
    store.close()
    assert attention_tables(plain) == attention_maps(plain) == []
