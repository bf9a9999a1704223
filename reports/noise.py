"""The noise floor: how far two runs of the same measurement may be apart without anything having changed.

Each pass is a process of its own, at a time of its own. The scatter of its medians holds what samples of one process do
not show: where memory came to lie, what else the machine did, how warm it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import special

from reports.stats import LEVEL, Floats

Medians = Sequence[float] | Floats
UPPER = (100.0 + LEVEL) / 200.0


def floor(passes: Iterable[Floats]) -> float | None:
    """The relative difference that two runs of the same may show, of so many passes each; None of single passes.

    `exp(t_.975 s sqrt(2 / k)) - 1` with `s` the standard deviation of logarithms of pass medians, pooled over the
    groups of `passes` (one for each size), and k passes in a run: 95 % of the differences of two such runs are below.
    """
    groups = [np.log(medians) for medians in passes if len(medians) > 1]
    freedom = sum(len(each) - 1 for each in groups)
    if not freedom:
        return None
    pooled = sum(float(((each - each.mean()) ** 2).sum()) for each in groups) / freedom
    size = sum(map(len, groups)) / len(groups)
    return math.expm1(float(special.stdtrit(freedom, UPPER)) * math.sqrt(2.0 * pooled / size))


def change(before: Medians, after: Medians) -> float:
    """How much longer `after` takes, as a share of `before`: of the means of logarithms of pass medians."""
    return math.expm1(float(np.mean(np.log(after)) - np.mean(np.log(before))))


def seen(before: Medians, after: Medians, noise: float) -> bool:
    """Whether a change stands out of the noise floor, in either direction."""
    return abs(math.log1p(change(before, after))) > math.log1p(noise)
