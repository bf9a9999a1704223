"""Verdicts on times: by intervals, noise and controls, and undecided where the machine cannot tell."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from reports.claims import Claim
from reports.evidence import Evidence
from reports.race import races
from reports.verdicts import Verdict, decide
from tests.reports.races import SHARE, SIZES, frames_of, seconds_of
from tests.reports.test_verdicts import claim

QUIET: dict[str, Any] = {"scatter": (0.001, 0.001)}
RATIO = seconds_of("k-hash", "96x96") / seconds_of("z-dense", "96x96")


def asked(**changes: Any) -> Claim:
    told = {"subject": {"method": "nlsn"}, "quantity": "time", "sizes": SIZES, "low": 0.85, "high": 1.15}
    return claim(**(told | changes))


def verdict(folder: Path, what: Claim, **how: Any) -> Verdict:
    return decide(what, Evidence.of([frames_of(folder, **(QUIET | how))]))


@pytest.mark.parametrize(
    ("method", "low", "high", "word"),
    [
        ("nlsn", 0.85, 1.15, "supported"),
        ("nlsn", 1.5, 2.0, "contradicted"),
        ("nln", 1.8, 2.2, "supported"),
        ("nln", 0.85, 1.15, "contradicted"),
    ],
)
def test_an_exponent_is_decided_by_its_interval(
    tmp_path: Path, method: str, low: float, high: float, word: str
) -> None:
    found = verdict(tmp_path, asked(subject={"method": method}, low=low, high=high))
    assert found.word == word, found
    assert found.attempts


def test_noise_leaves_an_exponent_undecided(tmp_path: Path) -> None:
    found = verdict(tmp_path, asked(), scatter=(0.5, 0.5))
    assert found.word == "undecided"
    assert found.reason


def test_without_its_controls_no_exponent_stands(tmp_path: Path) -> None:
    (race,) = races(frames_of(tmp_path, **QUIET))
    assert decide(asked(), Evidence(exact={}, raced=(race,))).word == "supported"
    void = decide(asked(), Evidence(exact={}, raced=(dataclasses.replace(race, references={}),)))
    assert (void.word, void.found) == ("undecided", decide(asked(), Evidence(exact={}, raced=(race,))).found)
    assert void.reason == "There is no positive control: no plain dense attention ran."


def test_a_ratio_is_decided_with_the_noise_between_passes(tmp_path: Path) -> None:
    against = {"form": "ratio", "against": {"method": "nln"}, "sizes": ("96x96",), "low": None}
    assert verdict(tmp_path, asked(**against, high=1.2 * RATIO)).word == "supported"
    assert verdict(tmp_path / "low", asked(**against, high=0.8 * RATIO)).word == "contradicted"
    found = verdict(tmp_path / "noisy", asked(**against, high=RATIO), scatter=(0.1, 0.01))
    assert (found.word, found.reason) == ("undecided", "the interval lies across a bound")


def test_one_pass_has_no_noise_floor(tmp_path: Path) -> None:
    against = {"form": "ratio", "against": {"method": "nln"}, "sizes": ("96x96",), "low": None, "high": 1.0}
    found = verdict(tmp_path, asked(**against), passes=1)
    assert (found.word, found.reason) == ("undecided", "a single pass has no noise floor")


def test_attention_inside_networks_is_a_time_of_its_own(tmp_path: Path) -> None:
    way = {"scope": "network", "scale": 2}
    against = {"form": "ratio", "against": {"method": "nln"}, "sizes": ("96x96",), "way": way}
    inside = asked(**against, quantity="attention_time", low=0.9 * RATIO, high=1.1 * RATIO)
    assert verdict(tmp_path, inside, scale=2).word == "supported"
    assert 0.0 < SHARE < 1.0


def test_what_did_not_run_is_undecided(tmp_path: Path) -> None:
    found = verdict(tmp_path, asked(subject={"method": "dlsn"}))
    assert (found.word, found.reason) == ("undecided", "nothing of this was timed in turn here")
    assert verdict(tmp_path / "training", asked(way={"mode": "training"})).word == "undecided"


@pytest.mark.parametrize(("sizes", "lacking"), [(("24x24", "768x768"), "768"), (("8x8", "96x96"), "8")])
def test_an_exponent_at_sizes_that_were_not_timed_is_undecided(
    tmp_path: Path, sizes: tuple[str, ...], lacking: str
) -> None:
    found = verdict(tmp_path, asked(sizes=sizes))
    assert (found.word, found.found) == ("undecided", "")
    assert found.reason == f"not timed at {lacking}\u00d7{lacking}"


def test_an_exponent_is_of_the_claimed_sizes_alone(tmp_path: Path) -> None:
    found = verdict(tmp_path, asked(sizes=("24x24", "48x48")))
    assert (found.word, found.reason) == ("undecided", "too few sizes were timed")


def test_exponents_of_whole_networks_are_not_taken_for_those_of_attention(tmp_path: Path) -> None:
    found = verdict(tmp_path, asked(way={"scope": "network", "scale": 2}), scale=2)
    assert found.reason == "times of whole networks are not decided in the form exponent"
