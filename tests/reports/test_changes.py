"""Two runs compared in what was measured: planted losses are seen, noise is not, clean repetitions raise nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.store import Store
from reports.baseline import Key
from reports.changes import Change, markdown, noteworthy, summary, told
from reports.compare import exact_changes
from reports.frames import Frames, load
from reports.quality_changes import quality_changes
from reports.time_changes import not_compared, time_changes
from tests.reports import races
from tests.reports.races import SIZES, frames_of
from tests.stores import NLSN, Plan, add_run

ALONE = "Attention alone, inference, batch 1, precision fp32"
KEY = Key('nlsn {"n_hashes":1}', "network x2 inference fp32 batch 1", "48x48")


def changes(before: Frames, after: Frames) -> list[Change]:
    """Of scores and times."""
    return [*quality_changes([before], [after]), *time_changes([before], [after])]


def times(folder: Path, **second: object) -> list[Change]:
    """Of a run and one with another seed, in which contenders may be slower."""
    first, other = {"seed": 0, "passes": 5}, {"seed": 1, "passes": 5, **second}
    return changes(frames_of(folder / "a", **first), frames_of(folder / "b", **other))


def test_a_slow_down_of_15_percent_is_worse_at_every_size(tmp_path: Path) -> None:
    found = times(tmp_path, slower={"k-hash": 1.15})
    words = {(each.method, each.word) for each in found}
    assert words == {("NLSN", "worse"), ("NLN plain", "within noise")}
    assert [each.where for each in found if each.method == "NLSN"] == [
        f"{ALONE}, {size}, over NLN plain" for size in SIZES
    ]
    for each in found:
        if each.method == "NLSN":
            assert each.difference.startswith("+1")
            assert float(each.floor.rstrip("%")) < 15
            low, high = (float(end.rstrip("%")) for end in each.interval.split(" to "))
            assert low < float(each.difference.rstrip("%")) < high


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
    moved = dataclasses.replace(moved, machines={"another": {"cpu": "Other CPU", "threads": 8}})
    (remark,) = not_compared([before], [moved])
    assert remark == (
        "Times are not compared: they were taken on machines of different kind, "
        "Test CPU, 2 threads and Other CPU, 8 threads."
    )


def test_why_nothing_was_compared_is_told_where_both_raced(tmp_path: Path) -> None:
    alone, networks = frames_of(tmp_path / "a"), frames_of(tmp_path / "b", scale=2)
    (remark,) = not_compared([alone], [networks])
    assert remark == f"Times are not compared: nothing was raced as in the first side's {ALONE}."
    untimed = dataclasses.replace(alone, records=alone.records.iloc[:0])
    assert not_compared([alone], [untimed]) == ["Times are not compared: nothing was timed on the second side."]
    assert not_compared([untimed], [alone]) == []
    assert not_compared([alone], [alone]) == []
    assert not_compared([alone], []) == []


def test_what_fails_now_is_gone_with_its_reason(tmp_path: Path) -> None:
    found = times(tmp_path, failing="k-hash")
    words = {(each.method, each.at): each.word for each in found}
    assert {place for place, word in words.items() if word == "gone"} == {("NLSN", SIZES[-1])}
    (lost,) = (each for each in found if each.word == "gone")
    assert lost.difference == "would take 5.4 GB, 4.0 GB are free"
    assert len(found) == 2 * len(SIZES)


def test_a_contender_that_was_left_out_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = frames_of(tmp_path / "a", seed=0)
    monkeypatch.setattr(races, "KEYS", {"z-dense": races.KEYS["z-dense"]})
    words = {(each.method, each.word) for each in changes(before, frames_of(tmp_path / "b", seed=1))}
    assert words == {("NLSN", "gone"), ("NLN plain", "within noise")}


@pytest.mark.parametrize("lacking", ["before", "after"])
def test_seconds_are_compared_with_seconds_where_one_side_has_no_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    full = frames_of(tmp_path / "a", seed=0, passes=5)
    monkeypatch.setattr(races, "KEYS", {"k-hash": races.KEYS["k-hash"]})
    alone = frames_of(tmp_path / "b", seed=1, passes=5)
    sides = {"before": (alone, full), "after": (full, alone)}[lacking]
    own = [each for each in changes(*sides) if each.method == "NLSN"]
    assert {each.word for each in own} == {"within noise"}
    assert not any("over" in each.where for each in own)


def test_ratios_to_another_reference_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = frames_of(tmp_path / "a", seed=0, passes=5)
    other = ("NLN plain", {**races.DENSE, "reduction": 4})
    monkeypatch.setattr(races, "KEYS", races.KEYS | {"z-dense": other})
    after = frames_of(tmp_path / "b", seed=1, passes=5, slower={"z-dense": 0.3})
    found = changes(before, after)
    own = [each for each in found if each.method == "NLSN"]
    assert {each.word for each in own} == {"within noise"}
    assert all(each.where.endswith("reduction None → 4") for each in found if each.method == "NLN plain")


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
        own = [each for each in found if each.quantity == "psnr_y"]
        assert {each.word for each in own} == {word}
        assert all(each.loss == pytest.approx(loss) for each in own)
        assert {each.word for each in found if each.quantity != "psnr_y"} == {"within noise"}


def test_a_wrong_crop_is_another_protocol_and_the_old_scores_are_gone(tmp_path: Path) -> None:
    before = scored(tmp_path, "before")
    protocols = {f"cropped {key}": protocol for key, protocol in before.protocols.items()}
    records = before.records.assign(comparable="cropped " + before.records["comparable"])
    found = changes(before, dataclasses.replace(before, records=records, protocols=protocols))
    assert {each.word for each in found} == {"gone"}
    assert told(found).row_count == len(found)
    assert all(each.cells[4] == "" for each in found), "there is nothing after"
    assert len(found) == len(changes(before, before))


def test_a_higher_ssim_is_better_and_told_to_its_own_digits(tmp_path: Path) -> None:
    before = scored(tmp_path, "before")
    records = before.records.copy()
    records.loc[records["metric"] == "ssim_y", "value"] += 0.001
    found = [
        each for each in changes(before, dataclasses.replace(before, records=records)) if each.quantity == "ssim_y"
    ]
    assert {(each.word, each.title, each.difference, each.floor) for each in found} == {
        ("better", "SSIM-Y", "+0.00100", "0.00005")
    }


def test_a_loss_that_training_seeds_explain_is_within_noise(tmp_path: Path) -> None:
    before = scored(tmp_path, "before", seeds=(0, 1, 2))
    records = before.records.copy()
    psnr = records["metric"] == "psnr_y"
    records.loc[psnr, "value"] -= records.loc[psnr, "seed"].map({0: 0.5, 1: -0.2, 2: 0.1}).astype(float)
    found = [
        each for each in changes(before, dataclasses.replace(before, records=records)) if each.quantity == "psnr_y"
    ]
    trained = [each for each in found if each.name != "bicubic"]
    assert {each.word for each in trained} == {"within noise"}
    assert not any("one training each" in each.interval for each in trained)
    records.loc[psnr, "value"] = before.records.loc[psnr, "value"] - 0.1
    found = [*changes(before, dataclasses.replace(before, records=records))]
    assert {each.word for each in found if each.quantity == "psnr_y"} == {"worse"}


def scored_as(folder: Path, name: str, *networks: tuple[str, int]) -> Frames:
    """NLSN with some labels and numbers of rounds."""
    return scored(
        folder, name, variants=[dataclasses.replace(NLSN, label=k, settings={"n_hashes": n}) for k, n in networks]
    )


def test_a_network_is_followed_though_a_second_one_made_its_label_longer(tmp_path: Path) -> None:
    before = scored_as(tmp_path, "a", ("NLSN", 2))
    after = scored_as(tmp_path, "b", ("NLSN n_hashes 1", 1), ("NLSN n_hashes 2", 2))
    assert {(each.method, each.word) for each in changes(before, after)} == {("NLSN", "within noise")}


def test_another_network_of_the_same_label_is_told(tmp_path: Path) -> None:
    found = changes(scored_as(tmp_path, "a", ("NLSN", 2)), scored_as(tmp_path, "b", ("NLSN", 1)))
    assert found
    assert all(each.where.endswith(", n_hashes 2 → 1") for each in found)
    assert not any(each.interval.startswith(",") for each in found)


def of_other_weights(frames: Frames, loss: float, weights: object) -> list[Change]:
    """What becomes of PSNR-Y that is lower by `loss`."""
    records = frames.records.copy()
    records.loc[records["metric"] == "psnr_y", "value"] -= loss
    after = dataclasses.replace(frames, records=records, tasks=frames.tasks.assign(weights=weights))
    return [each for each in changes(frames, after) if each.quantity == "psnr_y"]


@pytest.mark.parametrize(
    ("loss", "word"), [(0.05, "undecided"), (-0.05, "undecided"), (0.2, "worse"), (0.004, "within noise")]
)
def test_images_alone_cannot_tell_a_small_loss_from_another_training(tmp_path: Path, loss: float, word: str) -> None:
    found = of_other_weights(scored(tmp_path, "before"), loss, "of another training")
    assert {each.word for each in found} == {word}
    assert all(each.interval.endswith("one training each") for each in found)


def test_the_same_weights_are_no_other_training(tmp_path: Path) -> None:
    before = scored(tmp_path, "before")
    found = of_other_weights(before, 0.05, before.tasks["weights"])
    assert {each.word for each in found} == {"worse"}
    assert not any("one training each" in each.interval for each in found)


def test_infinite_scores_that_stay_are_no_change_and_one_that_falls_is_not_decided(tmp_path: Path) -> None:
    before = scored(tmp_path, "before")
    perfect = before.records.copy()
    perfect.loc[perfect["metric"] == "psnr_y", "value"] = float("inf")
    infinite = dataclasses.replace(before, records=perfect)
    assert {each.word for each in changes(infinite, infinite)} == {"within noise"}
    found = [each for each in changes(infinite, before) if each.quantity == "psnr_y"]
    assert {each.word for each in found} == {"undecided"}


def test_what_fails_comes_first_and_what_is_within_noise_is_counted_only(tmp_path: Path) -> None:
    found = [*times(tmp_path, slower={"k-hash": 1.15}), *exact_changes({KEY: {"macs": 2.0}}, {KEY: {"macs": 1.0}})]
    assert [each.word for each in noteworthy(found)] == ["worse"] * 3 + ["better"]
    assert told(found).row_count == 4
    said = summary(found, 5)
    assert said == "6 exact figures compared: 5 equal, 1 better. 6 times compared: 3 within noise, 3 worse."
    assert summary([], 2) == "2 exact figures compared: all equal."


def test_markdown_begins_with_the_verdict_and_no_name_breaks_its_table() -> None:
    key = Key("a|b {}", "way", "2x2")
    found = exact_changes({key: {"macs": 1.0}, KEY: {"peak_bytes": 2e9}}, {key: {"macs": 2.0}})
    lines = markdown(found, 0, ["Why."]).splitlines()
    assert lines[0] == "**Worse.** 2 exact figures compared: 1 worse, 1 gone."
    assert lines[2].startswith("| method | where |")
    assert lines[4] == "| a\\|b | way, 2x2 | macs | 1 | 2 | +100.00% | worse |"
    assert "| peak bytes | 2\u202f000\u202f000\u202f000 |  |" in lines[5]
    assert lines[-1] == "Why."
    assert markdown([], 2, []) == "**Nothing became worse.** 2 exact figures compared: all equal.\n"


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
