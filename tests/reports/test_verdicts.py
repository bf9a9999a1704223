"""Verdicts on exact figures: decided by every size, and undecided where something was not counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports.claims import Claim
from reports.evidence import Evidence, fits
from reports.verdicts import Verdict, decide
from tests.reports.counted import SIZES, Law, counted_frames

LINEAR, QUADRATIC = (lambda n: 7.0 * n), (lambda n: 0.01 * n**2)
FAR = ("24x24", "48x48", "96x96", "144x144")


def padded(n: int) -> float:
    """Linear in whole chunks of 144."""
    return 3.0 * 144 * -(-n // 144)


def bending(n: int) -> float:
    """Linear up to 2,304 positions, quadratic beyond: about n^1.6 to a straight line on logarithms."""
    return float(n if n <= 2304 else n**2 / 2304)


def claim(**changes: Any) -> Claim:
    told: dict[str, Any] = {
        "id": "c",
        "statement": "It is so.",
        "source": "a paper",
        "origin": "derived",
        "subject": {"method": "a"},
        "quantity": "macs",
        "form": "exponent",
        "sizes": FAR,
        "low": 0.9,
        "high": 1.1,
    }
    return Claim.model_validate(told | changes)


def verdict(folder: Path, asked: Claim, how: dict[str, Any] | None = None, **laws: Law) -> Verdict:
    return decide(asked, Evidence.of([counted_frames(folder, laws, **(how or {}))]))


@pytest.mark.parametrize(
    ("law", "low", "high", "word"),
    [
        (LINEAR, 0.95, 1.05, "supported"),
        (QUADRATIC, 1.9, 2.1, "supported"),
        (QUADRATIC, 0.95, 1.05, "contradicted"),
        (padded, 0.95, 1.05, "supported"),
        (bending, 1.3, 1.7, "contradicted"),
    ],
)
def test_an_exponent_is_within_bounds_as_a_whole_and_everywhere(
    tmp_path: Path, law: Law, low: float, high: float, word: str
) -> None:
    found = verdict(tmp_path, claim(low=low, high=high, sizes=SIZES), a=law)
    assert found.word == word
    assert len(found.attempts) == len(SIZES)


def test_what_bends_is_told_where(tmp_path: Path) -> None:
    found = verdict(tmp_path, claim(low=1.2, high=1.7), a=bending)
    assert (found.found, found.reason) == ("n^1.64, locally 1.00 to 2.00", "not from 24×24, 48×48, 96×96 on")  # noqa: RUF001


def test_a_short_span_decides_nothing(tmp_path: Path) -> None:
    found = verdict(tmp_path, claim(sizes=("48x48", "96x96")), a=LINEAR)
    assert (found.word, found.reason) == ("undecided", "n spans only 4×, a verdict needs 16×")  # noqa: RUF001


def test_a_ratio_holds_at_every_size(tmp_path: Path) -> None:
    asked = claim(form="ratio", against={"method": "b"}, low=None, high=1.0)
    assert verdict(tmp_path, asked, a=lambda n: 0.5 * n, b=LINEAR).word == "supported"
    found = verdict(tmp_path, asked, a=QUADRATIC, b=lambda n: 100.0 * n)
    assert (found.word, found.reason) == ("contradicted", "not at 144×144")  # noqa: RUF001


def test_layers_are_compared_with_layers(tmp_path: Path) -> None:
    ten = {"method": "b", "times": 10.0}
    asked = claim(form="ratio", against=ten, low=0.1, high=0.1)
    assert verdict(tmp_path, asked, a=LINEAR, b=LINEAR).word == "supported"


def test_a_value_is_exact(tmp_path: Path) -> None:
    def parameters(value: float) -> Verdict:
        asked = claim(form="value", quantity="parameters", sizes=("48x48",), low=213312, high=213312)
        return verdict(tmp_path, asked, {"quantity": "parameters"}, a=lambda _: value)

    assert parameters(213312).word == "supported"
    found = parameters(213313)
    assert (found.word, found.found.replace("\u202f", " ")) == ("contradicted", "213 313")


@pytest.mark.parametrize(
    ("slope", "low", "high", "word", "told"),
    [
        (40.0, 3500, 4500, "supported", "cheaper from n = 4"),
        (40.0, 1000, 2000, "contradicted", "cheaper from n = 4"),
        (1.0, None, 576, "supported", "cheaper at every size"),
        (900.0, None, 20736 / 2, "contradicted", "not cheaper up to n = 20"),
        (1.0, 200, 400, "undecided", "cheaper at every size"),
        (1.0, None, 100, "undecided", "cheaper at every size"),
        (900.0, 50000, None, "undecided", "not cheaper up to n = 20"),
        (900.0, 10000, None, "supported", "not cheaper up to n = 20"),
    ],
)
def test_a_crossover_is_the_size_from_which_one_stays_cheaper(
    tmp_path: Path, slope: float, low: float | None, high: float | None, word: str, told: str
) -> None:
    asked = claim(form="crossover", against={"method": "b"}, low=low, high=high, sizes=SIZES)
    found = verdict(tmp_path, asked, a=lambda n: slope * n, b=QUADRATIC)
    assert found.word == word
    assert found.found.startswith(told)


@pytest.mark.parametrize("form", ["exponent", "ratio", "crossover"])
def test_no_cost_at_all_decides_nothing_but_its_value(tmp_path: Path, form: str) -> None:
    against = {} if form == "exponent" else {"against": {"method": "b"}}
    found = verdict(tmp_path, claim(form=form, sizes=SIZES, **against), a=lambda _: 0.0, b=lambda _: 0.0)
    assert (found.word, found.found) == ("undecided", "")
    assert found.reason.startswith("a has none at 24")
    alone = verdict(tmp_path / "value", claim(form="value", low=None, high=0.0), a=lambda _: 0.0)
    assert alone.word == "supported"


def test_what_was_not_counted_is_told_by_whom_and_where(tmp_path: Path) -> None:
    found = verdict(tmp_path, claim(sizes=("24x24", "192x192")), a=LINEAR)
    assert (found.word, found.reason) == ("undecided", "nothing was counted of a at 192×192")  # noqa: RUF001
    other = claim(form="ratio", against={"method": "b", "settings": {"k": 2}})
    assert "of b (k 2) at 24" in verdict(tmp_path, other, a=LINEAR).reason
    assert verdict(tmp_path, claim(way={"mode": "training"}), a=LINEAR).word == "undecided"


def test_a_subject_is_as_released_but_for_what_the_claim_says() -> None:
    subject = claim(subject={"method": "a", "settings": {"k": 2}}).subject
    told = {"method": "a", "settings": {"k": 2, "n_resblocks": 1}, "changed": {"k": 2, "n_resblocks": 1}}
    assert fits(subject, told, "attention"), "an attention does not see its trunk"
    assert not fits(subject, told, "network")
    assert not fits(subject, told | {"settings": {"k": 3}}, "attention")
    assert not fits(subject, told | {"changed": {"k": 2, "width": 3}}, "attention")
    assert not fits(subject, told | {"method": "b"}, "attention")


def test_the_latest_figure_counts(tmp_path: Path) -> None:
    old, new = (counted_frames(tmp_path / name, {"a": law}) for name, law in (("old", QUADRATIC), ("new", LINEAR)))
    assert decide(claim(), Evidence.of([old, new])).word == "supported"
    assert decide(claim(), Evidence.of([new, old])).word == "contradicted"


def test_a_claim_falls_when_it_does_not_come_to_what_it_did(tmp_path: Path) -> None:
    assert verdict(tmp_path, claim(verdict="supported"), a=QUADRATIC).fell
    assert not verdict(tmp_path, claim(verdict="contradicted"), a=QUADRATIC).fell
    assert verdict(tmp_path, claim(verdict="contradicted"), a=LINEAR).fell
    assert not verdict(tmp_path, claim(), a=QUADRATIC).fell
    assert not verdict(tmp_path, claim(quantity="time", verdict="supported"), a=LINEAR).fell
