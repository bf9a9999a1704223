"""The largest image within a memory: bisection against brute force, and the networks' own."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from harness.errors import UserError
from harness.frontier import LARGEST, STEP, frontier, largest
from harness.profile.cost import RGB, counted, sizes_of
from methods import build_network


@pytest.mark.parametrize("power", [1, 2, 4])
@pytest.mark.parametrize("memory", [0.0, 1e3, 5e5, 123_456_789.0])
def test_bisection_finds_what_looking_at_every_side_finds(power: int, memory: float) -> None:
    def needed(side: int) -> float:
        return 7.0 * side**power

    brute = max((side for side in range(STEP, LARGEST + 1, STEP) if needed(side) <= memory), default=0)
    assert largest(needed, memory) == brute


def test_no_side_is_asked_twice_and_few_are_asked() -> None:
    asked: list[int] = []

    def needed(side: int) -> float:
        asked.append(side)
        return float(side)

    largest(needed, 5000.0)
    assert len(asked) == len(set(asked)) < 25


def network(name: str) -> Callable[[], object]:
    return functools.partial(build_network, name, 2, n_feats=8, n_resblocks=1)


def test_what_is_found_fits_and_the_next_does_not() -> None:
    found = frontier(network("nln"), (0.001, 0.01), "fp32")
    for memory, side in found.items():
        for each, fits in ((side, True), (side + STEP, False)):
            at = counted(network("nln"), RGB, each, each)
            assert (at.peak_bytes + sizes_of(at.network)["weight_bytes"] <= memory * 1e9) is fits


def test_linear_attention_goes_further_than_dense() -> None:
    assert frontier(network("enlcn"), (0.05,), "fp32")[0.05] > 2 * frontier(network("nln"), (0.05,), "fp32")[0.05]


def test_a_memory_that_holds_nothing_has_no_image() -> None:
    assert frontier(network("edsr"), (1e-6,), "fp32") == {1e-6: 0}


def test_a_memory_that_is_none_is_told() -> None:
    with pytest.raises(UserError, match="a memory is a number of GB above 0, not -3"):
        frontier(network("edsr"), (8, -3), "fp32")
