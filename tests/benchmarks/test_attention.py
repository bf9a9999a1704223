"""The side-by-side table itself: what it times is the same attention, and what it tells is what it measured."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from methods.catalogue import ATTENTIONS
from tests.benchmarks.attention import WAYS, YARDSTICK, contenders, measured

CHANNELS, SIZE = 32, (24, 25)
CASES = [(kind, way) for kind in WAYS for way in (YARDSTICK, *WAYS[kind])]


@pytest.mark.parametrize(("kind", "way"), CASES)
def test_every_contender_computes_what_the_yardstick_does(benchmark: BenchmarkFixture, kind: str, way: str) -> None:
    """Result and gradients of the maps; the yardstick shares no arithmetic with ours, so it is a further judge."""
    calls = contenders(kind, CHANNELS, SIZE, backward=True)
    ours, theirs = benchmark(calls[way]), calls[YARDSTICK]()
    assert len(ours) > 2
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5 * float(other.abs().max()))


def test_no_attention_is_left_out() -> None:
    assert WAYS.keys() == ATTENTIONS.keys()


def test_figures_are_of_the_yardstick_first() -> None:
    found = measured("enlca", "12x12", channels=16, turns=2, backward=False)
    assert [f.way for f in found] == [YARDSTICK, *WAYS["enlca"]]
    assert found[0].speedup == found[0].bytes_share == 1
    assert found[0].error == 0
