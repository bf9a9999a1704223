"""The noise floor: how far two runs of the same measurement may be apart without anything having changed.

Each pass is a process of its own, at a time of its own. The scatter of its medians holds what samples of one process do
not show: where memory came to lie, what else the machine did, how warm it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from reports.stats import LEVEL, Floats

Medians = Sequence[float] | Floats
UPPER = (100.0 + LEVEL) / 200.0
QUIET = 20
"""Repetitions in which nothing has changed, for each false alarm at 5 %."""


class Spread(NamedTuple):
    """The standard deviation of logarithms of pass medians, pooled over groups of passes, and what it rests on."""

    deviation: float
    freedom: int
    passes: float


def spread(passes: Iterable[Floats]) -> Spread | None:
    """That of the groups of `passes` (one for each size); None of single passes."""
    groups = [np.log(medians) for medians in passes if len(medians) > 1]
    freedom = sum(len(each) - 1 for each in groups)
    if not freedom:
        return None
    pooled = sum(float(((each - each.mean()) ** 2).sum()) for each in groups) / freedom
    return Spread(math.sqrt(pooled), freedom, sum(map(len, groups)) / len(groups))


def floor(passes: Iterable[Floats]) -> float | None:
    """The relative difference that two runs of the same may show, of so many passes each; None of single passes.

    `exp(t_.975 s sqrt(2 / k)) - 1` with `s` the spread of `passes` and k passes in a run: 95 % of the differences of
    two such runs are below.
    """
    found = spread(passes)
    return None if found is None else _beyond(found.deviation, found, UPPER)


def alarm(own: Iterable[Floats], everyone: Iterable[Floats], cells: int) -> float | None:
    """The same for raising an alarm, of which one is due in `QUIET` repetitions of a comparison of so many `cells`.

    So rare a difference cannot be told from the few passes of one: it is judged by the spread of `everyone`, unless its
    own is larger.
    """
    found, joint = spread(own), spread(everyone)
    if found is None or joint is None:
        return None
    return _beyond(max(found.deviation, joint.deviation), joint, 1.0 - (1.0 - UPPER) / (cells * QUIET))


def _beyond(deviation: float, of: Spread, level: float) -> float:
    return math.expm1(float(special.stdtrit(of.freedom, level)) * deviation * math.sqrt(2.0 / of.passes))


def change(before: Medians, after: Medians) -> float:
    """How much longer `after` takes, as a share of `before`: of the means of logarithms of pass medians."""
    return math.expm1(float(np.mean(np.log(after)) - np.mean(np.log(before))))


def seen(before: Medians, after: Medians, noise: float) -> bool:
    """Whether a change stands out of the noise floor, in either direction."""
    return abs(math.log1p(change(before, after))) > math.log1p(noise)
