"""Verdicts on quality: whose scores decide, under which protocol, and with which interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.store import Store
from reports.check import check, keep
from reports.claims import Claim
from reports.claims_table import claims_table
from reports.evidence import Evidence
from reports.frames import Frames, load
from reports.tables import MINUS, TIMES
from reports.verdicts import Verdict, decide
from tests.reports.test_verdicts import claim
from tests.stores import EDSR, MACHINE, NLSN, RUN, Plan, Variant, asked, outcome_of, psnr_of, wanted_of

SETS = {"Set5": tuple("abcde"), "Set14": tuple("abcdefghijklmn")}
BUDGET = {"data": "DIV2K-train", "degradation": "bicubic", "steps": 300_000, "batch": 16, "patch": 48}
FILE: dict[str, Any] = {"weights": {"file": "net.pt", "sha256": "0a"}, "train": None, "changed": {}}
TRAINED = {"weights": None, "train": BUDGET, "changed": {}}
SEEDS = (0, 1, 2)
UNKNOWN = "what another seed would give is not known"


def scored_run(
    store: Store,
    *,
    variants: Sequence[Variant] = (EDSR,),
    cell: Mapping[str, Any] = FILE,
    protocol: Mapping[str, Any] | None = None,
    grid: str = "scored",
    **how: Any,
) -> str:
    """Write a run in which `variants` were scored: networks as `cell` says, by `protocol`; returns its id."""
    plan = Plan(**({"variants": variants, "sets": SETS, "sizes": ()} | how))
    asks = [ask for ask in asked(plan) if ask.task.kind == "evaluate"]
    wanted = [wanted_of(ask, plan) for ask in asks]
    wanted = [dataclasses.replace(each, cell_spec=dict(each.cell_spec) | dict(cell)) for each in wanted]
    run = store.begin_run({**RUN, "grid_name": grid}, MACHINE, wanted)
    for ask in asks:
        outcome = outcome_of(ask, plan)
        store.write(run, dataclasses.replace(outcome, protocol={**(outcome.protocol or {}), **(protocol or {})}))
    return run


def scored_frames(folder: Path, **how: Any) -> Frames:
    folder.mkdir(exist_ok=True)
    store = Store(str(folder / "scored.db"))
    frames = load(store, scored_run(store, **how))
    store.close()
    return frames


def verdict(folder: Path, what: Claim, **how: Any) -> Verdict:
    return decide(what, Evidence.of([], [scored_frames(folder, **how)]))


def quality(data: Sequence[str] = ("Set5",), tiling: str = "whole", **changes: Any) -> Claim:
    told = {"subject": {"method": "edsr"}, "way": {"scope": "network", "scale": 2}, "sizes": ()}
    told |= {"quantity": "psnr_y", "form": "value", "scoring": {"data": data, "tiling": tiling}}
    return claim(**(told | {"low": 0.0, "high": 99.0} | changes))


def gain(data: Sequence[str] = ("Set5",), **changes: Any) -> Claim:
    return quality(data, **({"form": "gain", "subject": {"method": "nlsn"}, "against": {"method": "edsr"}} | changes))


def mean(variant: Variant = EDSR, name: str = "Set5") -> float:
    return float(np.mean([psnr_of(variant, image) for image in range(len(SETS[name]))]))


def around(value: float, half: float) -> dict[str, float]:
    return {"low": value - half, "high": value + half}


def test_the_mean_of_a_weights_file_is_what_it_is(tmp_path: Path) -> None:
    frames = scored_frames(tmp_path)
    found = decide(quality(**around(mean(), 0.005)), Evidence.of([], [frames]))
    assert (found.word, found.found, found.reason) == ("supported", f"Set5 {mean():.3f} dB; net.pt", "")
    (attempt,) = found.attempts
    assert attempt in set(frames.tasks.loc[frames.tasks["dataset"] == "Set5", "attempt_id"])
    assert decide(quality(**around(mean() + 0.02, 0.01)), Evidence.of([], [frames])).word == "contradicted"


def test_a_value_holds_on_every_set(tmp_path: Path) -> None:
    found = verdict(tmp_path, quality(("Set5", "Set14"), **around(mean(), 0.1)))
    assert (found.word, found.reason) == ("contradicted", "not on Set14")
    assert found.found == f"Set5 {mean():.3f}, Set14 {mean(name='Set14'):.3f} dB; net.pt"
    assert len(found.attempts) == 2


def test_similarity_is_scored_too(tmp_path: Path) -> None:
    found = verdict(tmp_path, quality(quantity="ssim_y", **around(mean() / 40.0, 0.0001)))
    assert (found.word, found.found) == ("supported", f"Set5 {mean() / 40.0:.5f}; net.pt")


def test_what_was_not_scored_is_told_with_what_would_decide(tmp_path: Path) -> None:
    found = verdict(tmp_path, quality(("Set5", "B100", "Urban100"), **around(mean(), 0.1)))
    assert found.word == "undecided"
    lacking = f"no scores of edsr at {TIMES}2 with a weights file or 300\u202f000 steps here (B100, Urban100)"
    assert found.reason == lacking
    outside = quality(("Set5", "B100"), low=50.0)
    assert verdict(tmp_path / "low", outside).word == "contradicted", "one set outside is enough"
    assert verdict(tmp_path / "scale", quality(way={"scope": "network", "scale": 4})).word == "undecided"


def test_part_of_a_set_is_no_set(tmp_path: Path) -> None:
    assert verdict(tmp_path, quality(), sets={"Set5": tuple("abcd")}).word == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "word", "reason"),
    [
        (-0.25, 0.25, "supported", ""),
        (-0.24, 0.25, "undecided", "the interval lies across a bound (Set5)"),
        (-0.1, 0.1, "undecided", "the interval lies across a bound (Set5)"),
        (0.24, 0.9, "undecided", "the interval lies across a bound (Set5)"),
        (0.25, 0.9, "contradicted", ""),
    ],
)
def test_several_trainings_decide_by_their_interval(
    tmp_path: Path, low: float, high: float, word: str, reason: str
) -> None:
    """Seeds are 0.1 dB apart: 4.303 * 0.1 / sqrt(3) = 0.248 dB to either side of their mean."""
    middle = mean() + 0.1
    found = verdict(tmp_path, quality(low=middle + low, high=middle + high), cell=TRAINED, seeds=SEEDS)
    assert (found.word, found.reason) == (word, reason)
    interval = f"{middle - 0.248:.3f} to {middle + 0.248:.3f}"
    assert found.found == f"Set5 {middle:.3f} ({interval}) dB; EDSR, 3 trainings"


def test_one_training_decides_nothing(tmp_path: Path) -> None:
    found = verdict(tmp_path, quality(), cell=TRAINED)
    assert (found.word, found.reason) == ("undecided", f"one training: {UNKNOWN} (Set5)")
    assert found.found == f"Set5 {mean():.3f} dB; EDSR, 1 training"


@pytest.mark.parametrize(
    "change",
    [{"steps": 299_999}, {"batch": 8}, {"patch": 24}, {"data": "DF2K"}, {"degradation": "blur_down"}],
)
def test_a_lesser_training_than_that_of_papers_decides_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    found = verdict(tmp_path, quality(), cell=TRAINED | {"train": BUDGET | change}, seeds=SEEDS)
    assert found.word == "undecided"
    assert found.reason.startswith("no scores of edsr")


def test_a_claim_may_ask_for_a_longer_training(tmp_path: Path) -> None:
    longer = quality(scoring={"data": ("Set5",), "least_steps": 300_001})
    assert "300\u202f001 steps" in verdict(tmp_path, longer, cell=TRAINED, seeds=SEEDS).reason


@pytest.mark.parametrize(
    ("protocol", "how"),
    [
        ({"self_ensemble": True}, {}),
        ({"degradation": "blur_down"}, {}),
        ({"tiling": "chop"}, {"tilings": ("chop",)}),
        ({"tiling": "tile:96+8"}, {"tilings": ("tile:96+8",)}),
    ],
)
def test_another_protocol_decides_nothing(tmp_path: Path, protocol: dict[str, Any], how: dict[str, Any]) -> None:
    assert verdict(tmp_path, quality(), protocol=protocol, **how).word == "undecided"


def test_precision_and_cutting_are_as_the_claim_says(tmp_path: Path) -> None:
    chopped = {"tilings": ("chop",)}
    assert verdict(tmp_path, quality(tiling="chop"), **chopped).word == "supported"
    assert f"{TIMES}2 by chop with" in verdict(tmp_path / "whole", quality(tiling="chop")).reason
    half = quality(way={"scope": "network", "scale": 2, "precision": "bf16"})
    assert verdict(tmp_path / "half", half).word == "undecided"


def test_changed_settings_are_another_network(tmp_path: Path) -> None:
    cell = FILE | {"changed": {"n_feats": 64}, "settings": {"n_feats": 64, "n_resblocks": 32}}
    wide = {"method": "edsr", "settings": {"n_feats": 64}}
    evidence = Evidence.of([], [scored_frames(tmp_path, cell=cell)])
    assert decide(quality(), evidence).word == "undecided"
    assert decide(quality(subject=wide), evidence).word == "supported"
    assert decide(quality(subject=wide | {"settings": {"n_feats": 32}}), evidence).word == "undecided"


def test_files_go_before_trainings_and_new_runs_before_old(tmp_path: Path) -> None:
    better = dataclasses.replace(EDSR, psnr=31.0)
    old, new = scored_frames(tmp_path / "old"), scored_frames(tmp_path / "new", variants=(better,))
    trained = scored_frames(tmp_path / "trained", cell=TRAINED, seeds=SEEDS)
    asked_for = quality(**around(mean(better), 0.01))
    assert decide(asked_for, Evidence.of([], [old, new, trained])).word == "supported"
    assert decide(asked_for, Evidence.of([], [new, old, trained])).word == "contradicted"


def gains() -> list[float]:
    return [psnr_of(NLSN, image) - psnr_of(EDSR, image) for image in range(5)]


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(-1.0, 2.0, "supported"), (1.2, 2.0, "contradicted"), (-3.0, -0.6, "contradicted"), (0.2, 0.3, "undecided")],
)
def test_a_gain_is_decided_by_its_interval_over_images(tmp_path: Path, low: float, high: float, word: str) -> None:
    found = verdict(tmp_path, gain(low=low, high=high), variants=(EDSR, NLSN))
    assert found.word == word
    assert found.found.startswith(f"Set5 +{np.mean(gains()):.3f} (".replace("-", MINUS))
    assert found.found.endswith(" dB; net.pt")
    assert (found.reason == "the interval lies across a bound (Set5)") == (word == "undecided")


def test_one_of_both_is_not_enough_for_a_gain(tmp_path: Path) -> None:
    found = verdict(tmp_path, gain())
    assert (found.word, found.reason.partition(" at")[0]) == ("undecided", "no scores of nlsn")


def test_runs_are_compared_where_they_share_a_protocol(tmp_path: Path) -> None:
    trunk, same = scored_frames(tmp_path / "trunk"), scored_frames(tmp_path / "same", variants=(NLSN,))
    other = scored_frames(tmp_path / "other", variants=(NLSN,), protocol={"border": "as given"})
    assert decide(gain(low=-9.0), Evidence.of([], [trunk, same])).word == "supported"
    found = decide(gain(low=-9.0), Evidence.of([], [trunk, other]))
    assert (found.word, found.reason) == ("undecided", "not scored under the same protocol (Set5)")


def test_a_gain_of_trainings_needs_several(tmp_path: Path) -> None:
    both = {"variants": (EDSR, NLSN), "cell": TRAINED}
    single = verdict(tmp_path, gain(low=-9.0, high=9.0), **both)
    assert (single.word, single.reason) == ("undecided", f"one training of NLSN and of EDSR: {UNKNOWN} (Set5)")
    assert verdict(tmp_path / "three", gain(low=-9.0, high=9.0), **both, seeds=SEEDS).word == "supported"


def test_an_infinite_score_decides_no_gain(tmp_path: Path) -> None:
    perfect = dataclasses.replace(NLSN, psnr=float("inf"))
    found = verdict(tmp_path, gain(low=-9.0), variants=(EDSR, perfect))
    assert (found.word, found.reason) == ("undecided", "infinite values (Set5)")


def test_a_check_reads_scores_and_a_fall_is_told(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    asked_for = quality(**around(mean(), 0.01))
    for variant, word, fallen in ((EDSR, "supported", []), (NLSN, "contradicted", ["c"])):
        run = scored_run(store, variants=(dataclasses.replace(variant, method="edsr"),))
        (found,) = check(store, [asked_for])
        assert (found.word, found.fell) == (word, False)
        assert [each.claim.id for each in keep(store, run, [found])] == fallen
    table = claims_table(load(store))
    store.close()
    assert table is not None
    assert table.rows[0].entries["asked"].text == f"PSNR-Y on Set5 {TIMES}2: {asked_for.bounds}"


def test_a_gain_is_asked_for_in_words(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    run = scored_run(store, variants=(EDSR, NLSN))
    keep(store, run, check(store, [gain(("Set5", "Set14"), tiling="chop", low=0.1, high=0.3)]))
    table = claims_table(load(store))
    store.close()
    assert table is not None
    text = f"PSNR-Y on Set5, Set14 {TIMES}2, chop: gain over edsr 0.1 to 0.3 dB"
    assert table.rows[0].entries["asked"].text == text
