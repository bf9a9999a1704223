"""Controls: what must be linear, what must not be, and what follows when they are not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports.controls import controls
from reports.page import write_report
from reports.race import CONTROL_LABEL, races
from reports.scaling import growths
from tests.reports.races import SIZES, frames_of

STANDS, FALLS = "The controls came out as they must.", "No verdict on the times of this session stands."


@pytest.fixture
def said(tmp_path: Path) -> str:
    (race,) = races(frames_of(tmp_path, scatter=(0.001, 0.001)))
    return controls(growths(race.cost), CONTROL_LABEL, race.reference)


def test_a_linear_and_a_quadratic_control_let_verdicts_stand(said: str) -> None:
    assert re.search(r"convolution: n\^(0\.9|1\.0)\d\.", said)
    assert re.search(r"attention: n\^(1\.9|2\.0)\d\.", said)
    assert said.endswith(STANDS)


@pytest.mark.parametrize(
    ("linear", "dense", "told"),
    [
        ("NLN plain", "NLN plain", "It should be linear."),
        (CONTROL_LABEL, "NLSN", "It is not told from linear."),
        (CONTROL_LABEL, None, "There is no positive control"),
        ("absent", "NLN plain", "There is no negative control."),
    ],
)
def test_otherwise_no_verdict_stands_and_the_reason_is_told(
    tmp_path: Path, linear: str, dense: str | None, told: str
) -> None:
    (race,) = races(frames_of(tmp_path, scatter=(0.001, 0.001)))
    said = controls(growths(race.cost), linear, dense)
    assert told in said
    assert said.endswith(FALLS)


def test_growth_of_what_ran_alone_is_that_of_its_formula(tmp_path: Path) -> None:
    (race,) = races(frames_of(tmp_path, scatter=(0.001, 0.001)))
    found = {(g.label, g.quantity): g for g in growths(race.cost)}
    assert found["NLN plain", "attention_s"].exponent == pytest.approx(2.0, abs=0.05)
    assert found["NLSN", "attention_macs"].exponent == pytest.approx(1.0)
    assert len(found["NLSN", "attention_s"].n) == len(SIZES)
    assert race.cost.subject == "of attention alone, in turn, inference, batch 1"


def test_the_page_shows_what_ran_alone(tmp_path: Path) -> None:
    from harness.store import Store

    frames_of(tmp_path)
    store = Store(str(tmp_path / "store-0.db"))
    page = write_report(store, None, tmp_path / "page.html").path.read_text(encoding="utf-8")
    store.close()
    for text in ("inference, batch 1, precision fp32: time of one attention", "Noise floor", "Positive control"):
        assert text in page
    assert "Attention alone" in page
