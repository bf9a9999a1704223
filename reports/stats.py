"""Intervals: how far a figure may be off, by resampling with a fixed seed, so that a page is the same twice."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DRAWS = 1000
SEED = 0
FEWEST = 3
"""A bootstrap of fewer values says nothing."""
LEVEL = 95.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether `value` cannot be told from the estimate."""
        return self.low <= value <= self.high


def median_interval(samples: Floats) -> Interval | None:
    """Bootstrap interval of the median; None for too few samples."""
    return None if len(samples) < FEWEST else percentile_interval(resampled_medians(samples))


def ratio_interval(numerator: Floats, denominator: Floats) -> Interval | None:
    """Bootstrap interval of the ratio of two medians of samples that were not taken in pairs."""
    if min(len(numerator), len(denominator)) < FEWEST:
        return None
    below = denominator[draws(len(denominator), seed=SEED + 1)]
    return percentile_interval(resampled_medians(numerator) / np.median(below, axis=1))


def resampled_medians(samples: Floats) -> Floats:
    """Medians of `DRAWS` resamples."""
    medians: Floats = np.median(samples[draws(len(samples))], axis=1)
    return medians


@functools.lru_cache(maxsize=64)
def draws(count: int, seed: int = SEED) -> npt.NDArray[np.int64]:
    """Indices of `DRAWS` resamples of `count` values `[DRAWS count]`; the same for every set of as many values."""
    return np.random.default_rng([seed, count]).integers(0, count, size=(DRAWS, count))


def percentile_interval(estimates: Floats) -> Interval:
    """What the middle 95 % of resampled estimates span."""
    low, high = np.percentile(estimates, [(100.0 - LEVEL) / 2.0, (100.0 + LEVEL) / 2.0])
    return Interval(low=float(low), high=float(high))
