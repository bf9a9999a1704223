"""Steps of training: `pytest tests/benchmarks --benchmark-enable` times them; else each is made once and checked."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from harness import execution
from tests.benchmarks.training import (
    NETWORKS,
    OURS,
    PLAIN,
    WAYS,
    Figures,
    batches,
    measured,
    network,
    our_loop,
    plain_loop,
    row,
)

networks = pytest.mark.parametrize("name", NETWORKS)


@networks
def test_a_plain_step(benchmark: BenchmarkFixture, name: str) -> None:
    made, given = network(name), itertools.cycle(batches())
    step = plain_loop(made)
    before = made.head[0].weight.clone()
    benchmark.group = f"training step {name}"
    benchmark(lambda: step(next(given)))
    assert not torch.equal(made.head[0].weight, before)


@networks
@pytest.mark.parametrize("way", [way for way in WAYS if not WAYS[way].get("compile")])
def test_a_step_of_ours(benchmark: BenchmarkFixture, name: str, way: str) -> None:
    training, given = our_loop(network(name), **WAYS[way]), itertools.cycle(batches())
    benchmark.group = f"training step {name}"
    benchmark(lambda: training.advance(next(given)))
    assert training.pace.first_s > 0


@networks
def test_both_loops_make_the_same_steps_bit_for_bit(name: str) -> None:
    """So that only time tells them apart."""
    plain, ours = network(name), network(name)
    loops = plain_loop(plain), our_loop(ours).advance
    for step in loops:
        torch.manual_seed(3)
        for batch in batches():
            step(batch)
    assert all(torch.equal(one, two) for one, two in zip(plain.parameters(), ours.parameters(), strict=True))


def test_what_cannot_run_is_a_row_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "compiler_missing", lambda _: "there is no compiler")
    plain, ours, missing = measured("edsr", [OURS, "compile"], 3)
    assert [f.way for f in (plain, ours, missing)] == [PLAIN, OURS, "compile"]
    assert (plain.speedup, plain.speedup_low, plain.speedup_high, plain.verdict) == (1.0, 1.0, 1.0, "")
    assert ours.steps_per_s > 0
    assert row(missing) == ("edsr", "compile", "", "", "", "there is no compiler")


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(1.1, 1.3, "faster"), (0.7, 0.9, "slower"), (0.9, 1.1, "no difference")]
)
def test_an_interval_decides(low: float, high: float, verdict: str) -> None:
    told: dict[str, Any] = {"speedup": (low + high) / 2, "speedup_low": low, "speedup_high": high}
    assert Figures(network="edsr", way="bf16", **told).verdict == verdict
