"""Statistics of two methods measured on the same images: estimate with error, interval, Wilcoxon, Holm."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

from reports.stats import DRAWS, FEWEST, LEVEL, SEED, Floats, Interval, draws, percentile_interval

POWER = 0.8
"""With which a minimum detectable effect would be found."""
UPPER = (100.0 + LEVEL) / 200.0
ALPHA = 1.0 - LEVEL / 100.0
LARGEST_EXACT = 50
"""More differences than that and the normal approximation of Wilcoxon's statistic is as good."""
RANK_DIGITS = 9
"""Differences that only the rounding of floats tells apart share a rank."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean paired difference with its standard error, both in the unit of the scores, and degrees of freedom."""

    value: float
    error: float
    freedom: float

    @property
    def p(self) -> float:
        """Two-sided, of no difference, by Student's t."""
        if self.error == 0.0:
            return float(self.value == 0.0)
        return float(2.0 * special.stdtr(self.freedom, -abs(self.value) / self.error))

    @property
    def detectable(self) -> float:
        """The difference that a single test at 5 % would find with power 80 %: `(t_.975 + t_.8) error`."""
        return float(special.stdtrit(self.freedom, UPPER) + special.stdtrit(self.freedom, POWER)) * self.error


def estimate(first: Floats, second: Floats) -> Estimate:
    """Mean of `first [n k]` minus that of `second [n m]`: scores by image (paired) and training seed (not paired).

    `error^2 = s_d^2 / n + s_a^2 / k + s_b^2 / m`, with `s_d` of the differences over images and `s_a`, `s_b` of the
    means over training seeds, left out of one seed; degrees of freedom by Welch and Satterthwaite. Both terms hold
    the part in which seeds differ by image, so the error is rather too large than too small.
    """
    differences = first.mean(axis=1) - second.mean(axis=1)
    means = [values.mean(axis=0) for values in (first, second) if values.shape[1] > 1]
    parts = [(float(each.var(ddof=1)) / len(each), len(each) - 1) for each in (differences, *means)]
    variance = sum(part for part, _ in parts)
    spread = sum(part**2 / count for part, count in parts)
    freedom = variance**2 / spread if spread else len(differences) - 1.0
    return Estimate(value=float(differences.mean()), error=math.sqrt(variance), freedom=freedom)


def crossed_interval(first: Floats, second: Floats, found: Estimate) -> Interval:
    """Bootstrap interval of the difference of means of `first [n k]` and `second [n m]`.

    Images are drawn once for both, training seeds for each on its own; one seed has nothing to draw from. A plain
    bootstrap of so few values is too narrow, so it is widened to the unbiased variance (Rao and Wu 1988) and from
    the normal to Student's t (the idea of Hesterberg's expanded percentiles, 2015).
    """
    images = _weights(len(first), SEED)
    resampled = _resampled(images, first, SEED + 1) - _resampled(images, second, SEED + 2)
    wider = special.stdtrit(found.freedom, UPPER) / special.ndtri(UPPER)
    return percentile_interval(found.value + wider * (resampled - found.value))


def paired_interval(differences: Floats) -> Interval | None:
    """The same of paired `differences [n k]` over images and training seeds; None of too few, or of an infinite one."""
    if len(differences) < FEWEST or not np.isfinite(differences).all():
        return None
    nothing = np.zeros((len(differences), 1))
    return crossed_interval(differences, nothing, estimate(differences, nothing))


def _resampled(images: Floats, values: Floats, seed: int) -> Floats:
    """Means `[DRAWS]` of `values [n k]` over drawn images and drawn training seeds."""
    means: Floats = ((images @ values) * _weights(values.shape[1], seed)).sum(axis=1)
    return means


@functools.lru_cache(maxsize=64)
def _weights(count: int, seed: int) -> Floats:
    """What each of `count` values weighs in each draw `[DRAWS count]`; rows sum to 1.

    Deviations from `1 / count` are enlarged by `sqrt(count / (count - 1))`, which makes the variance unbiased.
    """
    if count == 1:
        return np.ones((1, 1))
    places = draws(count, seed) + count * np.arange(DRAWS)[:, None]
    often = np.bincount(places.ravel(), minlength=DRAWS * count).reshape(DRAWS, count)
    return 1.0 / count + (often - 1.0) / count * math.sqrt(count / (count - 1.0))


def wilcoxon(differences: Floats) -> float:
    """Two-sided p of Wilcoxon's signed ranks; zeros are left out, and nothing but zeros has p = 1."""
    kept = differences[differences != 0.0]
    if len(kept) > LARGEST_EXACT:
        from scipy import stats  # noqa: PLC0415 - takes as long as all else here, and few sets are so large

        return float(stats.wilcoxon(kept).pvalue)
    doubled = np.rint(2.0 * pd.Series(np.round(np.abs(kept), RANK_DIGITS)).rank().to_numpy()).astype(int)
    return _exact(doubled, int(doubled[kept > 0.0].sum()))


def _exact(doubled: Sequence[int], positive: int) -> float:
    """Exact p of the sum of twice the ranks of one sign, each having either sign by the toss of a coin.

    Twice a rank is an integer with ties too, where SciPy only approximates or, up to 13 values, takes 0.3 s.
    """
    chances = np.ones(1)
    for rank in doubled:
        absent = np.zeros(rank)
        chances = 0.5 * (np.concatenate([chances, absent]) + np.concatenate([absent, chances]))
    tail = min(chances[: positive + 1].sum(), chances[positive:].sum())
    return min(1.0, 2.0 * float(tail))


def least_p(images: int) -> float:
    """The least two-sided p that Wilcoxon's test can give of so many images: all differences of one sign."""
    return min(1.0, 2.0 ** (1 - images))


def holm(p: Sequence[float], family: int | None = None) -> list[float]:
    """P-values after Holm's step-down over `family` tests, of which `p` are those that were done (None: all)."""
    values = np.array(p, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = values[order] * ((len(p) if family is None else family) - np.arange(len(p)))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    result: list[float] = adjusted.tolist()
    return result
