"""How figures of a replay are judged, on stores whose every figure is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.recorded import Recorded, attempts_of
from harness.records import Outcome, Record, Status
from harness.replay import Again
from harness.store import Store
from reports.replay import Figure, Replayed, replayed
from reports.replay_told import as_json, verdict
from tests.stores import EDSR, MACHINE, RUN, Plan, Variant, asked, outcome_of, wanted_of

Change = Callable[[Outcome], Outcome]
SAME: Change = lambda outcome: outcome  # noqa: E731 - a default


def stored(file: Path, variant: Variant, kind: str, change: Change = SAME, machine: Any = MACHINE) -> Store:
    """One attempt of a kind, its outcome changed before it is written."""
    plan = Plan(variants=(variant,), sizes=("24x24",))
    store, (ask,) = Store(str(file)), [each for each in asked(plan) if each.task.kind == kind]
    run_id = store.begin_run(RUN, machine, [wanted_of(ask, plan)])
    store.write(run_id, change(outcome_of(ask, plan)))
    return store


def only(store: Store) -> Recorded:
    (found,) = attempts_of(store, store.run_id())
    return found


def judged(old: Store, fresh: Store, *, exact: bool = False) -> tuple[Replayed, dict[str, Figure]]:
    then, now = only(old), only(fresh)
    task = outcome_task(then)
    (found,) = replayed([Again(then=then, task=task, exact=exact)], old, fresh, [now])
    return found, {figure.metric: figure for figure in found.figures}


def outcome_task(then: Recorded) -> Any:
    (ask,) = [a for a in asked(Plan(variants=(EDSR,), sizes=("24x24",))) if a.task.key == then.task_key]
    return ask.task


def better(by: float) -> Variant:
    return dataclasses.replace(EDSR, psnr=EDSR.psnr + by)


def other_weights(outcome: Outcome) -> Outcome:
    return dataclasses.replace(outcome, protocol={**outcome.protocol, "weights": "other"})


def times(factor: float) -> Change:
    def change(outcome: Outcome) -> Outcome:
        return dataclasses.replace(outcome, records=tuple(map(slower, outcome.records)))

    def slower(record: Record) -> Record:
        assert record.value is not None
        return dataclasses.replace(record, value=factor * record.value) if record.metric.endswith("_s") else record

    return change


@pytest.mark.parametrize(
    ("by", "exact", "change", "word", "same"),
    [
        (0.0, True, SAME, "equal", True),
        (1e-9, True, SAME, "different", False),
        (0.0015, False, SAME, "within tolerance", True),
        (-0.0015, False, SAME, "within tolerance", True),
        (0.007, False, SAME, "different", False),
        (0.007, False, other_weights, "within tolerance", True),
        (0.2, False, other_weights, "different", False),
    ],
)
def test_scores_may_differ_as_far_as_their_conditions_allow(
    tmp_path: Path, by: float, exact: bool, change: Change, word: str, same: bool
) -> None:
    old = stored(tmp_path / "old", EDSR, "evaluate")
    fresh = stored(tmp_path / "new", better(by), "evaluate", change)
    found, figures = judged(old, fresh, exact=exact)
    assert (figures["psnr_y"].word, found.same) == (word, same)
    assert figures["psnr_y"].difference == pytest.approx(by, abs=1e-12)


def test_weights_must_be_the_same_only_where_every_bit_must(tmp_path: Path) -> None:
    old, fresh = stored(tmp_path / "old", EDSR, "evaluate"), stored(tmp_path / "new", EDSR, "evaluate", other_weights)
    assert judged(old, fresh)[1]["weights"].word == "not judged"
    found, figures = judged(old, fresh, exact=True)
    assert (figures["weights"].word, found.same) == ("different", False)


def test_counts_have_no_tolerance_and_times_no_say(tmp_path: Path) -> None:
    def more(outcome: Outcome) -> Outcome:
        records = [
            dataclasses.replace(r, value=(r.value or 0.0) + 1.0) if r.metric == "macs" else r for r in outcome.records
        ]
        return times(9.0)(dataclasses.replace(outcome, records=tuple(records)))

    old = stored(tmp_path / "old", EDSR, "profile")
    slow, figures = judged(old, stored(tmp_path / "slow", EDSR, "profile", times(9.0)))
    assert slow.same
    assert figures["forward_s"].word == "not judged"
    assert figures["forward_s"].difference == pytest.approx(8.0)
    found, figures = judged(old, stored(tmp_path / "new", EDSR, "profile", more))
    assert not found.same
    assert [name for name, figure in figures.items() if figure.word == "different"] == ["macs"]


@pytest.mark.parametrize(("factor", "word"), [(1.01, "within noise"), (9.0, "beyond noise")])
def test_times_are_set_beside_the_noise_of_other_passes_and_decide_nothing(
    tmp_path: Path, factor: float, word: str
) -> None:
    old = stored(tmp_path / "old", EDSR, "profile")
    then = only(old)
    fresh = stored(tmp_path / "new", EDSR, "profile", times(factor))
    plan = Plan(variants=(EDSR,), sizes=("24x24",))
    (ask,) = [each for each in asked(plan) if each.task.key == then.task_key]
    for other in (0.98, 1.03):
        old.write(then.run_id, times(other)(outcome_of(ask, plan)))
    (found,) = replayed([Again(then=then, task=ask.task)], old, fresh, [only(fresh)])
    (figure,) = [each for each in found.figures if each.metric == "forward_s"]
    assert (figure.word, found.same) == (word, True)
    assert 0.02 < (figure.tolerance or 0.0) < 1.0


def test_times_of_another_machine_are_not_judged(tmp_path: Path) -> None:
    old = stored(tmp_path / "old", EDSR, "profile")
    fresh = stored(tmp_path / "new", EDSR, "profile", machine=MACHINE | {"cpu": "Another"})
    assert judged(old, fresh)[1]["forward_s"].word == "not judged"


def test_a_figure_that_is_gone_is_told_and_one_that_is_new_is_welcome(tmp_path: Path) -> None:
    def fewer(outcome: Outcome) -> Outcome:
        return dataclasses.replace(outcome, records=tuple(r for r in outcome.records if r.metric != "ssim_y"))

    whole, less = stored(tmp_path / "whole", EDSR, "evaluate"), stored(tmp_path / "less", EDSR, "evaluate", fewer)
    found, figures = judged(whole, less)
    assert (figures["ssim_y"].word, found.same) == ("gone", False)
    found, figures = judged(less, whole)
    assert (figures["ssim_y"].word, found.same) == ("new", True)


def test_a_curve_is_one_figure_with_the_largest_difference(tmp_path: Path) -> None:
    def bent(outcome: Outcome) -> Outcome:
        first, *others = outcome.records
        return dataclasses.replace(
            outcome, records=(dataclasses.replace(first, value=(first.value or 0.0) + 1.0), *others)
        )

    old = stored(tmp_path / "old", EDSR, "train")
    found, figures = judged(old, stored(tmp_path / "new", EDSR, "train", bent))
    assert figures["train_loss"].where == "60 points"
    assert figures["train_loss"].then == figures["train_loss"].now
    assert figures["train_loss"].difference == pytest.approx(1.0)
    assert not found.same


def test_what_cannot_be_replayed_says_why_and_is_not_the_same(tmp_path: Path) -> None:
    old = stored(tmp_path / "old", EDSR, "evaluate")
    (found,) = replayed([Again(then=only(old), refusal="it is gone")], old, None, [])
    assert (found.verdict, verdict(found)) == ("not replayed", "cannot be replayed: it is gone")
    told = as_json([found], tmp_path / "none")
    assert (told["same"], told["folder"], told["attempts"][0]["refusal"]) == (False, None, "it is gone")


def test_a_failure_that_comes_again_is_the_same(tmp_path: Path) -> None:
    def failed(status: Status) -> Change:
        return lambda outcome: Outcome(task=outcome.task, status=status, seconds=0.1, reason="as told")

    old = stored(tmp_path / "old", EDSR, "train", failed(Status.DIVERGED))
    found, _ = judged(old, stored(tmp_path / "again", EDSR, "train", failed(Status.DIVERGED)), exact=True)
    assert verdict(found) == "same: diverged (as told) then, diverged (as told) now"
    found, _ = judged(old, stored(tmp_path / "error", EDSR, "train", failed(Status.ERROR)))
    assert verdict(found) == "different: diverged (as told) then, error (as told) now"
    found, _ = judged(old, stored(tmp_path / "done", EDSR, "train"))
    assert verdict(found) == "different: diverged (as told) then, done now"
