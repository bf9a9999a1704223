from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError
from harness.records import METRICS, Status
from reports.frames import Frames
from reports.trackers import LONGEST, figures, tracked
from tests.reports.counted import counted_frames
from tests.reports.races import frames_of
from tests.stores import BICUBIC, EDSR, NLN, Plan, Variant, attention_s_of, make_store, psnr_of

MADE = Callable[..., Frames]


def test_bencher_has_measures_with_intervals_under_names_of_subjects(frames: MADE) -> None:
    found = tracked(frames(), "bencher")
    content = json.loads(found.text)
    score = content["NLN x2 / pier, whole, fp32"]["psnr-y"]
    assert score == {"value": pytest.approx(np.mean([psnr_of(NLN, i) for i in range(3)]))}
    time = content["NLN x2 / profile, fp32 / 96x96"]["attention-s"]
    assert time["value"] == pytest.approx(attention_s_of(NLN, "96x96"))
    assert time["lower_value"] < time["value"] < time["upper_value"]
    assert {"parameters", "macs", "peak-bytes", "forward-s"} <= content["NLN x2 / profile, fp32 / 96x96"].keys()
    assert found.count == sum(map(len, content.values()))
    assert found.left_out == 0


def test_names_fit_what_bencher_takes(frames: MADE) -> None:
    long = Variant(label="NLSN " + "x" * 2000, method="nlsn", psnr=29.0, exponent=1.0, factor=1e-6)
    made = frames(variants=(long, Variant(label=long.label + "y", method="nlsn", psnr=30.0, exponent=1.0, factor=1e-6)))
    content = json.loads(tracked(made, "bencher").text)
    assert all(0 < len(name) <= LONGEST for name in content)
    assert all(0 < len(measure) <= 64 for measures in content.values() for measure in measures)
    assert len(content) == 2 * (1 + 4)


@pytest.mark.parametrize(("tracker", "better"), [("smaller-is-better", "lower"), ("bigger-is-better", "higher")])
def test_each_file_of_the_action_has_one_direction_and_names_of_its_own(
    frames: MADE, tracker: str, better: str
) -> None:
    found = json.loads(tracked(frames(), tracker).text)  # type: ignore[arg-type]
    assert found
    names = [each["name"] for each in found]
    assert len(set(names)) == len(names)
    assert {METRICS[name.split(" / ")[-1]].better for name in names} == {better}
    for each in found:
        assert set(each) <= {"name", "unit", "value", "range", "extra"}
        assert each["unit"]
        assert isinstance(each["value"], float)


def test_both_directions_together_are_what_bencher_gets(frames: MADE) -> None:
    counts = [tracked(frames(), tracker).count for tracker in ("smaller-is-better", "bigger-is-better", "bencher")]
    assert counts[0] + counts[1] == counts[2]


def test_the_action_is_told_the_interval_and_where_a_value_comes_from(frames: MADE) -> None:
    found = {each["name"]: each for each in json.loads(tracked(frames(), "smaller-is-better").text)}
    time = found["NLN x2 / profile, fp32 / 96x96 / forward_s"]
    assert time["unit"] == "s"
    low, high = map(float, time["range"].split(" to "))
    assert low < time["value"] < high
    assert found["NLN x2 / profile, fp32 / 96x96 / macs"]["unit"] == "MACs"
    assert time["extra"].splitlines()[1:] == ["commit 01234567+", "machine Test CPU"]
    assert time["extra"].startswith("protocol ")


def test_scores_of_several_seeds_are_told_with_the_spread_that_the_page_prints(frames: MADE) -> None:
    content = json.loads(tracked(frames(seeds=(0, 1, 2)), "bencher").text)
    score = content["NLN x2 / pier, whole, fp32"]["psnr-y"]
    assert score["upper_value"] - score["value"] == pytest.approx(np.std([0.0, 0.1, 0.2], ddof=1))


def test_scores_of_a_part_of_the_images_are_left_out_and_counted(frames: MADE) -> None:
    made = frames()
    first = (made.records["label"] == "EDSR") & (made.records["image"] == "boat")
    found = tracked(dataclasses.replace(made, records=made.records[~first]), "bencher")
    assert not any(name.startswith("EDSR x2 / pier") for name in json.loads(found.text))
    assert found.left_out == 3


def test_what_is_infinite_is_left_out_and_counted(frames: MADE) -> None:
    perfect = Variant(label="Perfect", method="edsr", psnr=float("inf"))
    found = tracked(frames(variants=(BICUBIC, EDSR, perfect)), "bencher")
    content = json.loads(found.text)
    assert "Perfect x2 / pier, whole, fp32" not in content
    assert "EDSR x2 / pier, whole, fp32" in content
    assert found.left_out == 3


def test_costs_of_what_is_not_there_are_none(frames: MADE) -> None:
    content = json.loads(tracked(frames(), "bencher").text)
    assert "attention-macs" not in content["EDSR x2 / profile, fp32 / 96x96"]
    assert all(metric["value"] for measures in content.values() for metric in measures.values())


def test_times_in_turn_have_the_medians_and_intervals_of_the_page(tmp_path: Path) -> None:
    frames = frames_of(tmp_path, scale=2)
    content = json.loads(tracked(frames, "bencher").text)
    found = content["NLSN / network x2, inference, batch 1, whole, fp32 / 96x96"]
    assert found["race-s"]["lower_value"] < found["race-s"]["value"] < found["race-s"]["upper_value"]
    assert found["race-inside-s"]["value"] == pytest.approx(0.6 * found["race-s"]["value"], rel=0.05)
    assert "race-bypassed-s" not in found
    assert "race-clock-s" not in found
    assert found["counted-macs"] == {"value": pytest.approx(1e3 * 2e-6 * 96 * 96)}


def test_counted_figures_are_exact_and_alone_is_said(tmp_path: Path) -> None:
    frames = counted_frames(tmp_path, {"gla": lambda n: 7.0 * n})
    content = json.loads(tracked(frames, "smaller-is-better").text)
    assert {each["name"]: each["value"] for each in content}[
        "gla / attention alone, inference, batch 1, fp32 / 47x50 / counted_macs"
    ] == 7.0 * 47 * 50
    with pytest.raises(UserError, match="has no figure for bigger-is-better"):
        tracked(frames, "bigger-is-better")


def test_figures_that_would_share_a_name_tell_their_protocols(tmp_path: Path) -> None:
    plan = Plan(variants=(EDSR,), sizes=("24x24",), tilings=("whole", "chop"))
    store, run = make_store(tmp_path / "store.db", plan)
    from reports.frames import load

    frames = load(store, run)
    store.close()
    names = [each.name for each in figures(frames)]
    assert len(set(names)) == len(names)
    frames.records["tiling"] = "whole"
    content = json.loads(tracked(frames, "bencher").text)
    scores = [name for name in content if name.startswith("EDSR x2 / pier")]
    assert len(scores) == 2
    assert all(name.startswith("EDSR x2 / pier, whole, fp32 (") for name in scores)


def test_a_failed_task_is_no_figure(frames: MADE) -> None:
    made = frames(fails={("NLN", "profile", "96x96"): (Status.OUT_OF_MEMORY, "5.4 GB")})
    content = json.loads(tracked(made, "bencher").text)
    assert "NLN x2 / profile, fp32 / 96x96" not in content
    assert len([name for name in content if name.startswith("NLN x2 / profile")]) == 3
