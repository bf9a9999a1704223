"""The noise floor covers two runs of the same, sees what is slower, and calls nothing that is below it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reports.noise import change, floor, seen

SIZES, PASSES, TRIALS = 6, 3, 400


def runs(random: np.random.Generator, spread: float, slower: float = 1.0) -> list[np.ndarray]:
    """The pass medians of every size."""
    return [slower * np.exp(random.normal(math.log(10.0**k), spread, PASSES)) for k in range(SIZES)]


def test_the_floor_by_hand() -> None:
    groups = [np.array([1.0, 1.1]), np.array([2.0, 2.1, 2.2])]
    logs = [np.log(each) for each in groups]
    pooled = sum(((each - each.mean()) ** 2).sum() for each in logs) / 3
    expected = math.exp(stats.t.ppf(0.975, 3) * math.sqrt(2 * pooled / 2.5)) - 1
    assert floor(groups) == pytest.approx(expected)


def test_single_passes_tell_nothing_of_noise() -> None:
    assert floor([np.array([1.0]), np.array([2.0])]) is None
    assert floor([]) is None


@pytest.mark.parametrize("spread", [0.005, 0.03])
def test_two_runs_of_the_same_agree_within_the_floor(spread: float) -> None:
    random = np.random.default_rng(1)
    called = [
        seen(first, second, floor(before) or 0.0)
        for before, after in ((runs(random, spread), runs(random, spread)) for _ in range(TRIALS))
        for first, second in zip(before, after, strict=True)
    ]
    assert 0.03 < np.mean(called) < 0.07


def test_15_percent_are_seen_where_noise_is_2_percent_and_1_percent_is_not() -> None:
    random = np.random.default_rng(2)
    large, small = [], []
    for _ in range(TRIALS):
        before = runs(random, 0.02)
        noise = floor(before) or 0.0
        large += [seen(a, b, noise) for a, b in zip(before, runs(random, 0.02, 1.15), strict=True)]
        small += [seen(a, b, noise) for a, b in zip(before, runs(random, 0.02, 1.01), strict=True)]
    assert np.mean(large) > 0.99
    assert np.mean(small) < 0.15


def test_a_change_is_a_share_of_what_was_before_and_faster_counts_too() -> None:
    assert change([2.0, 8.0], [3.0, 12.0]) == pytest.approx(0.5)
    assert change([3.0], [2.0]) == pytest.approx(-1 / 3)
    assert seen([1.0], [0.8], 0.2)
    assert not seen([1.0], [0.9], 0.2)
