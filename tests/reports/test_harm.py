"""The tables of help and harm, what texture fidelity recovers, and the maps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from reports.frames import Frames
from reports.harm import Harm, harm_maps, harm_tables, harms, twin_labels
from reports.tables import MINUS, Table
from tests.reports.twins import ORACLE, frames_of
from tests.stores import make_store


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return frames_of(tmp_path_factory.mktemp("twins"))


@pytest.fixture(scope="module")
def harm(frames: Frames) -> Harm:
    (found,) = harms(frames)
    return found


def texts(table: Table, head: str) -> dict[str, str]:
    (row,) = [row for row in table.rows if row.head == head]
    return {key: entry.text for key, entry in row.entries.items()}


def test_a_twin_is_known_by_the_training_of_its_weights(frames: Frames) -> None:
    """Two trainings of one network, of other lengths: their settings are the same."""
    cells = [("EDSR 600", "short"), ("EDSR 1200", "long")]
    like = frames.tasks[frames.tasks["label"] == "EDSR"].iloc[0]
    rows = [like.to_dict() | {"cell_id": key, "label": label, "kind": "train", "task_key": key} for label, key in cells]
    tasks = frames.tasks.copy()
    asked = tasks["kind"] == "harm"
    for key, label in (("short", "EDSR 600"), ("long", "EDSR 1200"), ("file", "EDSR 1200")):
        tasks.loc[asked, "twin"] = [{**twin, "weights": key} for twin in tasks.loc[asked, "twin"]]
        changed = dataclasses.replace(frames, tasks=pd.concat([tasks, pd.DataFrame(rows)]))
        assert set(twin_labels(changed, 2).values()) == {label}


def test_figures_are_means_over_images(harm: Harm) -> None:
    assert harm.labels == ("NLSN plain", "NLSN fidelity")
    assert harm.figure("NLSN plain", "psnr_rgb") == pytest.approx(31.5)
    assert harm.gain("NLSN plain") == pytest.approx(1.0)
    assert harm.lost("NLSN plain") == pytest.approx(ORACLE - 31.0)
    assert harm.gain("NLSN plain", "degraded texture") == pytest.approx(0.5)


def test_the_first_table_names_the_twin_and_tells_shares_in_percent(frames: Frames, harm: Harm) -> None:
    told = texts(harm_tables(frames, harm)[0], "NLSN plain")
    assert told["twin"] == "EDSR"
    assert (told["psnr_rgb_twin"], told["psnr_rgb"], told["gain"]) == ("30.50", "31.50", "+1.00")
    assert (told["psnr_rgb_oracle"], told["lost"]) == ("32.00", "0.50")
    assert (told["helped_share"], told["harmed_share"]) == ("50.0", "25.0")
    assert (told["helped_levels"], told["harmed_levels"], told["undone_share"]) == ("4.00", "2.00", "0.125")


def test_the_second_table_has_every_region(frames: Frames, harm: Harm) -> None:
    told = texts(harm_tables(frames, harm)[1], "NLSN fidelity")
    assert (told["gain texture"], told["gain degraded texture"]) == ("+1.30", "+0.65")
    assert (told["lost degraded"], told["harmed degraded"]) == ("0.20", "25.0")


def test_what_texture_fidelity_recovers_is_a_share_of_what_harm_costs_without_it(frames: Frames, harm: Harm) -> None:
    (row,) = harm_tables(frames, harm)[2].rows
    told = {key: entry.text for key, entry in row.entries.items()}
    assert (row.head, told["plain"]) == ("NLSN fidelity", "NLSN plain")
    assert (told["gain"], told["bound"], told["share"]) == ("+0.30", "0.50", "60.0")
    assert (told["gain degraded texture"], told["bound degraded texture"]) == ("+0.15", "1.00")


def test_a_figure_that_no_image_has_is_a_dash(harm: Harm) -> None:
    assert harm.figure("NLSN plain", "undone_share", "texture") is None
    assert harm.figure("EDSR", "psnr_rgb") is None


def test_the_maps_of_an_image_stand_side_by_side(frames: Frames) -> None:
    (strip,) = harm_maps(frames)
    assert (strip.title, strip.wide) == ("a (Set5 ×2)", True)  # noqa: RUF001 - the sign that is printed
    assert [tile.title for tile in strip.tiles] == ["NLSN plain", "NLSN fidelity"]
    assert "helps (blue) and harms (orange)" in strip.tiles[0].alt


def test_a_run_without_twins_has_nothing_to_show(tmp_path: Path) -> None:
    from reports.frames import load

    store, run = make_store(tmp_path / "store.db")
    plain = load(store, run)
    store.close()
    assert harms(plain) == harm_maps(plain) == []


def test_a_loss_is_printed_with_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("tests.reports.twins", fromlist=["PSNR"]).PSNR, "NLSN fidelity", 29.0)
    frames = frames_of(tmp_path)
    (worse,) = harms(frames)
    assert texts(harm_tables(frames, worse)[0], "NLSN fidelity")["gain"] == f"{MINUS}1.00"
    (row,) = harm_tables(frames, worse)[2].rows
    assert row.entries["share"].text == f"{MINUS}400.0"


def test_a_control_is_named_and_competes_with_nobody(frames: Frames, harm: Harm) -> None:
    control = dataclasses.replace(harm, twins={"NLSN plain": "EDSR", "NLSN fidelity": "NLSN fidelity"})
    for table in harm_tables(frames, control)[:2]:
        (row,) = [row for row in table.rows if row.head == "NLSN fidelity"]
        assert not any(entry.rank for entry in row.entries.values())
    assert texts(harm_tables(frames, control)[0], "NLSN fidelity")["twin"] == "itself, from another seed"
