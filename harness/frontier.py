"""The frontier: the largest square image that a network takes within a given memory, by peak memory of fake tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from torch import nn

from harness.errors import UserError
from harness.profile.cost import RGB, counted, sizes_of

STEP = 8
"""Sides are multiples of this many pixels."""
LARGEST = 1 << 16
"""Pixels; nobody has a larger image."""
GB = 1e9


def frontier(build: Callable[[], nn.Module], memories_gb: Iterable[float], precision: str) -> dict[float, int]:
    """The side in pixels for each memory: weights and activations of one forward on `[1 3 side side]` fit into it.

    0 where not even the smallest does. Found by bisection, so peaks are taken to grow with the side.

    Raises:
        UserError: a memory that is none.
    """
    wanted = list(memories_gb)
    if wrong := [memory for memory in wanted if memory <= 0]:
        raise UserError(f"a memory is a number of GB above 0, not {wrong[0]:g}")
    needed = functools.cache(_needed(build, precision))
    return {memory: largest(needed, memory * GB) for memory in wanted}


def largest(needed: Callable[[int], float], memory: float) -> int:
    """The largest side, a multiple of `STEP`, that needs no more than `memory`, or 0."""
    fits, fails = 0, 1
    while fails * STEP <= LARGEST and needed(fails * STEP) <= memory:
        fits, fails = fails, 2 * fails
    while fails - fits > 1:
        middle = (fits + fails) // 2
        fits, fails = (middle, fails) if needed(middle * STEP) <= memory else (fits, middle)
    return min(fits * STEP, LARGEST)


def _needed(build: Callable[[], nn.Module], precision: str) -> Callable[[int], float]:
    def needed(side: int) -> float:
        found = counted(build, RGB, side, side, precision)
        return found.peak_bytes + sizes_of(found.network)["weight_bytes"]

    return needed
