"""The size n from which a method's attention is cheaper than dense attention, computed plainly or by a fused kernel.

Between two measured sizes a cost goes as its fitted curve does, times a factor that leads from one measured value to
the next; beyond the largest it goes on as the curve does from there. Two such curves cross where their logarithms do.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Literal

import numpy as np

from reports.fits import Fits
from reports.scaling import Growth
from reports.stats import Floats, Interval

REACH = 4.0
"""Nothing is said beyond this many times the largest n that both were measured at."""

INSIDE, OUTSIDE = 193, 65
"""Points at which curves are compared, equally far apart in log n: within what was measured, and beyond."""
SAME = 1e-9
"""Counts that differ by less, relatively, are equal."""
TAIL = 0.025

Verdict = Literal["crosses", "beyond", "always", "never", "undecided", "alike"]
"""crosses: within what was measured; beyond: extrapolated; always, never: at every size measured, up to `REACH`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crossing:
    """From which n on one cost stays below another.

    `n` is 0 where that holds from the smallest size on and infinite where it does not come about up to `limit`; so are
    the ends of `interval`, which of `exact` counts are two sizes that were measured. `measured` is the largest n at
    which both were measured. `falls_behind` tells that the cost which is cheaper at small sizes is dearer from `n` on.
    """

    verdict: Verdict
    n: float
    interval: Interval | None
    smallest: float
    measured: float
    falls_behind: bool = False
    exact: bool = False

    @property
    def limit(self) -> float:
        """The largest n that anything is said of."""
        return self.measured * REACH


def crossing(method: Growth, dense: Growth) -> Crossing | None:
    """Where `method` becomes cheaper than `dense`; None where they share fewer than two sizes.

    A method that is cheaper at first and dearer later is asked for that n instead.
    """
    low, high = float(max(method.n[0], dense.n[0])), float(min(method.n[-1], dense.n[-1]))
    if not low < high or len(np.intersect1d(method.n, dense.n)) < 2:  # noqa: PLR2004 - two sizes make a range
        return None
    grid = _grid(low, high)
    ratio, drawn = _log_ratios(method, dense, low, high)
    if drawn is None and (np.abs(ratio) < SAME).all():
        return Crossing(verdict="alike", n=math.inf, interval=None, smallest=low, measured=high)
    at, behind = float(_from(ratio, grid)[0]), bool(ratio[0, 0] < -SAME and ratio[0, INSIDE - 1] > SAME)
    if behind:
        ratio, drawn = -ratio, None if drawn is None else -drawn
        at = float(_from(ratio, grid)[0])
    interval = _bracket(at, method, dense, high) if drawn is None else _spanned(_from(drawn, grid))
    return Crossing(
        verdict=_verdict(at, interval, high),
        n=at,
        interval=interval,
        smallest=low,
        measured=high,
        falls_behind=behind,
        exact=drawn is None,
    )


def cost_at(grown: Growth, n: float) -> float:
    """Cost at any n on the curve that crossings are read from, in the unit of the quantity."""
    return float(np.exp(_log_cost(grown.n, grown.cost[None], grown.fits, np.array([n])))[0, 0])


def _verdict(at: float, interval: Interval | None, measured: float) -> Verdict:
    """An interval that is open to both sides, or above, leaves open whether there is a crossing at all."""
    low, high = (interval.low, interval.high) if interval else (at, at)
    if math.isinf(high):
        return "never" if math.isinf(low) else "undecided"
    if high == 0.0:
        return "always"
    return "beyond" if at > measured else "crosses"


def _grid(low: float, high: float) -> Floats:
    return np.concatenate([np.geomspace(low, high, INSIDE), np.geomspace(high, high * REACH, OUTSIDE)[1:]])


def _log_ratios(method: Growth, dense: Growth, low: float, high: float) -> tuple[Floats, Floats | None]:
    """Logarithm of cost over dense cost at each n of the grid: as measured `[1 grid]`, and `[draws grid]`."""
    (own, drawn), (other, other_drawn) = _curves(method, low, high), _curves(dense, low, high)
    return own - other, None if drawn is None or other_drawn is None else drawn - other_drawn


@functools.lru_cache(maxsize=8)
def _curves(grown: Growth, low: float, high: float) -> tuple[Floats, Floats | None]:
    """Logarithm of one cost over the grid; kept, as one dense attention is what all methods are held against."""
    grid = _grid(low, high)
    measured = _log_cost(grown.n, grown.cost[None], grown.fits, grid)
    if grown.drawn is None or grown.drawn_fits is None:
        return measured, None
    return measured, _log_cost(grown.n, grown.drawn, grown.drawn_fits, grid)


def _log_cost(n: Floats, cost: Floats, fits: Fits, grid: Floats) -> Floats:
    """Row by row the curve through `cost [rows sizes]` at each n of `grid`: the fit, bent to what was measured."""
    tiny = np.finfo(float).tiny
    off = np.log(cost) - np.log(np.maximum(fits.at(n), tiny))
    weights = np.stack([np.interp(np.log(grid), np.log(n), unit) for unit in np.eye(len(n))])
    curve = fits.at(grid)
    np.log(np.maximum(curve, tiny, out=curve), out=curve)
    curve += off @ weights
    return curve


def _from(ratio: Floats, grid: Floats) -> Floats:
    """Of each row of `ratio [rows grid]` the n from which it is below zero up to the largest measured size.

    Where it is not below zero there, the first n beyond at which it is.
    """
    below, rows = ratio < -SAME, np.arange(len(ratio))
    inside, outside = below[:, :INSIDE], below[:, INSIDE:]
    after = np.where(inside[:, -1], INSIDE - inside[:, ::-1].argmin(axis=1), INSIDE + outside.argmax(axis=1))
    after = np.clip(after, 1, len(grid) - 1)
    above, under = ratio[rows, after - 1], ratio[rows, after]
    part = np.clip(above / np.where(above - under > 0.0, above - under, 1.0), 0.0, 1.0)
    at = np.exp(np.log(grid[after - 1]) + part * np.log(grid[after] / grid[after - 1]))
    at = np.where(inside.all(axis=1), 0.0, at)
    found: Floats = np.where(inside[:, -1] | outside.any(axis=1), at, np.inf)
    return found


def _spanned(found: Floats) -> Interval:
    """The middle 95 % of `found`, which may hold zeros and infinities: nothing is computed between two of them."""
    ordered = np.sort(found)
    cut = int(TAIL * len(ordered))
    return Interval(low=float(ordered[cut]), high=float(ordered[-1 - cut]))


def _bracket(at: float, method: Growth, dense: Growth, high: float) -> Interval | None:
    """Of exact counts: the two sizes between which they change places."""
    if at == 0.0 or at > high:
        return None
    sizes = np.intersect1d(method.n, dense.n)
    below, above = sizes[sizes <= at * (1.0 + SAME)], sizes[sizes >= at * (1.0 - SAME)]
    return Interval(low=float(below[-1]), high=float(above[0])) if len(below) and len(above) else None
