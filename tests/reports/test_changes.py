"""Two runs compared in what was measured: planted losses are seen, noise is not, clean repetitions raise nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.store import Store
from reports.changes import Change, changes, told
from reports.frames import Frames, load
from tests.reports.races import SIZES, frames_of
from tests.stores import Plan, add_run


def times(folder: Path, **second: object) -> list[Change]:
    """Of a run and one with another seed, in which contenders may be slower."""
    first, other = {"seed": 0, "passes": 5}, {"seed": 1, "passes": 5, **second}
    return changes(frames_of(folder / "a", **first), frames_of(folder / "b", **other))


def test_a_slow_down_of_15_percent_is_worse_at_every_size(tmp_path: Path) -> None:
    found = times(tmp_path, slower={"k-hash": 1.15})
    words = {(each.method, each.word) for each in found}
    assert words == {("NLSN", "worse"), ("NLN plain", "within noise")}
    assert [each.where for each in found if each.method == "NLSN"] == [
        f"Attention alone, inference, batch 1, precision fp32, {size}" for size in SIZES
    ]
    assert all("alarm from" in each.told and each.told.startswith("+1") for each in found if each.method == "NLSN")


def test_twenty_clean_repetitions_raise_nothing(tmp_path: Path) -> None:
    for repetition in range(20):
        found = times(tmp_path / str(repetition), seed=repetition + 2)
        assert {each.word for each in found} == {"within noise"}, repetition


def test_a_noisy_machine_does_not_call_what_it_cannot_see(tmp_path: Path) -> None:
    noisy = {"scatter": (0.2, 0.05)}
    before = frames_of(tmp_path / "a", seed=0, **noisy)
    after = frames_of(tmp_path / "b", seed=1, slower={"k-hash": 1.15}, **noisy)
    assert {each.word for each in changes(before, after)} == {"within noise"}


def test_one_pass_cannot_tell(tmp_path: Path) -> None:
    before, after = (frames_of(tmp_path / str(seed), seed=seed, passes=1) for seed in (0, 1))
    assert {each.word for each in changes(before, after)} == {"undecided"}


def test_times_of_another_machine_are_not_compared(tmp_path: Path) -> None:
    before, after = (frames_of(tmp_path / str(seed), seed=seed) for seed in (0, 1))
    moved = dataclasses.replace(after, records=after.records.assign(machine_id="another"))
    assert changes(before, moved) == []


def scored(folder: Path, name: str, **plan: object) -> Frames:
    store = Store(str(folder / f"{name}.db"))
    frames = load(store, add_run(store, Plan(**plan)))  # type: ignore[arg-type]
    store.close()
    return frames


def test_equal_scores_are_within_noise_and_lower_ones_worse(tmp_path: Path) -> None:
    before = scored(tmp_path, "before")
    assert {each.word for each in changes(before, scored(tmp_path, "again"))} == {"within noise"}
    lower = before.records.copy()
    psnr = lower["metric"] == "psnr_y"
    for loss, word in ((0.1, "worse"), (-0.1, "better"), (0.004, "within noise")):
        lower.loc[psnr, "value"] = before.records.loc[psnr, "value"] - loss
        found = changes(before, dataclasses.replace(before, records=lower))
        assert {each.word for each in found} == {word}
        assert found[0].told.startswith("-" if loss > 0 else "") or "−" in found[0].told  # noqa: RUF001


def test_a_wrong_crop_is_another_protocol_and_the_old_scores_are_gone(tmp_path: Path) -> None:
    before = scored(tmp_path, "before")
    protocols = {f"cropped {key}": protocol for key, protocol in before.protocols.items()}
    records = before.records.assign(comparable="cropped " + before.records["comparable"])
    found = changes(before, dataclasses.replace(before, records=records, protocols=protocols))
    assert {each.word for each in found} == {"gone"}
    assert told(found).row_count == len(found)
    assert all(each.cells[4] == "" for each in found), "there is nothing after"
    assert len(found) == len(changes(before, before))


def test_scores_of_other_images_are_gone(tmp_path: Path) -> None:
    before = scored(tmp_path, "before")
    records = before.records.assign(image="another " + before.records["image"].astype("string"))
    assert {each.word for each in changes(before, dataclasses.replace(before, records=records))} == {"gone"}


@pytest.mark.parametrize("loss", [0.3, -0.3])
def test_a_change_on_one_image_alone_is_not_called(tmp_path: Path, loss: float) -> None:
    before = scored(tmp_path, "before")
    records = before.records.copy()
    image = records["image"].dropna().iloc[0]
    chosen = (records["metric"] == "psnr_y") & (records["image"] == image)
    records.loc[chosen, "value"] -= loss
    found = changes(before, dataclasses.replace(before, records=records))
    assert {each.word for each in found} == {"within noise"}
