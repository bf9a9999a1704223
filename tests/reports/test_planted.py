"""Faults planted in an attention's cost: each is seen in the exact figures, and a clean repetition raises nothing."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from harness.calls import counted_blank
from harness.contenders import Contender
from reports.baseline import figures
from reports.compare import differences
from reports.evidence import Evidence
from reports.frames import Frames
from reports.verdicts import decide
from tests.harness.test_race import SPEC
from tests.reports.counted import SIZES, counted_frames
from tests.reports.test_verdicts import claim

PER_POSITION = claim(subject={"method": "a"}, sizes=SIZES, low=0.8, high=1.2)


@functools.cache
def counts(fault: str, size: str) -> dict[str, float]:
    address = f"tests.faulty:{fault}"
    one = Contender(key="a", label="a", method="a", address=address, scale=2, settings={}, changed={})
    return counted_blank(one, SPEC | {"size": size})


def run(folder: Path, fault: str, quantity: str = "macs") -> Frames:
    by_n = {int(s.split("x")[0]) * int(s.split("x")[1]): counts(fault, s)[f"counted_{quantity}"] for s in SIZES}
    return counted_frames(folder, {"a": lambda n: by_n[n]}, quantity=quantity)


def test_a_clean_repetition_raises_nothing(tmp_path: Path) -> None:
    before, first = figures([run(tmp_path / "before", "NONE")]), counts("NONE", SIZES[1])
    for repetition in range(20):
        counts.cache_clear()
        assert counts("NONE", SIZES[1]) == first, repetition
    assert differences(before, figures([run(tmp_path / "after", "NONE")])) == []
    assert decide(PER_POSITION, Evidence.of([run(tmp_path / "again", "NONE")])).word == "supported"


@pytest.mark.parametrize(("fault", "change"), [("TEMPORARY", "worse"), ("ROUND", "better"), ("CHANNELS", "worse")])
def test_a_planted_fault_changes_exact_figures_at_every_size(tmp_path: Path, fault: str, change: str) -> None:
    before, after = (figures([run(tmp_path / name, name)]) for name in ("NONE", fault))
    assert [found.change for found in differences(before, after)] == [change] * len(SIZES)


def test_a_quadratic_temporary_in_a_linear_method_contradicts_what_it_claims(tmp_path: Path) -> None:
    found = decide(PER_POSITION, Evidence.of([run(tmp_path, "TEMPORARY")]))
    assert found.word == "contradicted"
    memory = claim(subject={"method": "a"}, quantity="peak_bytes", sizes=SIZES, low=0.8, high=1.2)
    assert decide(memory, Evidence.of([run(tmp_path / "clean", "NONE", "peak_bytes")])).word == "supported"
    assert decide(memory, Evidence.of([run(tmp_path / "faulty", "TEMPORARY", "peak_bytes")])).word == "contradicted"
