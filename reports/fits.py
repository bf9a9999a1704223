"""Curves `a + b n^p` through figures by size, and how far they may be off.

Samples of one process tell how a median scatters within that process only. On a busy machine whole sizes come out slow
or fast together, which shows as scatter of the medians about the fitted curve. Redrawn medians carry the larger of the
two, so that exponents, local exponents and crossovers that are read from them do.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from reports.stats import DRAWS, SEED, Floats, Interval, draws, percentile_interval

FEWEST_SIZES = 3
FEWEST_FOR_CONSTANT = 4
"""Fitting a constant beside factor and exponent needs one more size than there are unknowns."""

EXPONENTS = np.arange(0.01, 3.5 + 1e-9, 0.01)
BLOCK = 128
"""Rows of samples that are fitted at once: several tables of exponents by rows then fit into a processor's cache."""
LEVEL = 0.95
OUTLYING = 0.9
"""Methods that scatter more than this share of like ones would do so for a reason of their own."""

WIDEST_EFFECT = 5.0
"""With one degree of freedom a redrawn scatter has no bound; e^5 is further than any interval needs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fits:
    """Row by row `constant + factor (n / last)^exponent`, in the unit of what was fitted; all arrays `[rows]`."""

    constant: Floats
    factor: Floats
    exponent: Floats
    last: float

    def at(self, n: Floats) -> Floats:
        """The curves at each n `[rows len(n)]`."""
        curves = np.outer(self.exponent, np.log(n / self.last))
        np.exp(curves, out=curves)
        curves *= self.factor[:, None]
        curves += self.constant[:, None]
        return curves


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scatter:
    """Relative squares of medians about their curve, and how many of them are free."""

    squares: float = 0.0
    freedom: int = 0

    @property
    def variance(self) -> float:
        """Of the logarithm of one median."""
        return self.squares / self.freedom if self.freedom else 0.0


def fitted(n: Floats, cost: Floats) -> Fits:
    """Of each row of `cost [rows sizes]`; too few sizes for a constant give the straight line on logarithms."""
    return _offset_fits(n, cost) if len(n) >= FEWEST_FOR_CONSTANT else _power_fits(n, cost)


def _offset_fits(n: Floats, cost: Floats) -> Fits:
    """For each row of `cost [rows sizes]` the `a + b n^p`, `a >= 0`, `b >= 0`, of the least relative error.

    Divided by the cost the model reads `1 = a u + b u g` with `u = 1 / cost`, `g = n^p`: linear in a and b for each p,
    so that all p and all rows are solved at once from sums over sizes; `BLOCK` rows at a time stay in a fast cache.
    """
    g = (n / n[-1]) ** EXPONENTS[:, None]
    blocks = [_offset_block(g, 1.0 / cost[start : start + BLOCK]) for start in range(0, len(cost), BLOCK)]
    constant, factor, exponent = (np.concatenate(each) for each in zip(*blocks, strict=True))
    return Fits(constant=constant, factor=factor, exponent=exponent, last=float(n[-1]))


def _offset_block(g: Floats, u: Floats) -> tuple[Floats, Floats, Floats]:
    """Constant, factor and exponent `[rows]` of the least error among the `g [exponents sizes]`.

    Where a and b solve their equations, both or the one that is not held at zero, the error is the number of sizes less
    `a sum(u) + b sum(u g)`: the largest of these is the best.
    """
    uu, gg, ug = (u**2).sum(axis=1), g**2 @ (u**2).T, g @ (u**2).T
    yu, yg = u.sum(axis=1), g @ u.T
    a = np.maximum((yu * gg - yg * ug) / np.maximum(uu * gg - ug**2, 1e-12 * uu * gg), 0.0)
    b = (yg - a * ug) / gg
    a, b = np.where(b < 0.0, yu / uu, a), np.maximum(b, 0.0)
    best, rows = (a * yu + b * yg).argmax(axis=0), np.arange(len(u))
    return a[best, rows], b[best, rows], EXPONENTS[best]


def _power_fits(n: Floats, cost: Floats) -> Fits:
    x = np.log(n / n[-1])
    slope, level = np.polyfit(x, np.log(cost).T, 1)
    return Fits(constant=np.zeros(len(cost)), factor=np.exp(level), exponent=slope, last=float(n[-1]))


def power_fit(n: Floats, cost: Floats) -> tuple[float, Interval | None]:
    """Slope of log cost on log n by least squares, with its t interval for three sizes or more."""
    x, y = np.log(n), np.log(cost)
    if len(n) < FEWEST_SIZES:
        return float(np.polyfit(x, y, 1)[0]), None
    (slope, _), covariance = np.polyfit(x, y, 1, cov=True)
    reach = float(special.stdtrit(len(n) - 2, 0.5 + LEVEL / 2.0)) * float(np.sqrt(covariance[0, 0]))
    return float(slope), Interval(low=float(slope) - reach, high=float(slope) + reach)


class Timed(NamedTuple):
    """The exponent of figures that have noise, with its interval, and the curves through them and what might have been.

    `drawn [draws sizes]` is what might have come out instead, see `redrawn`, and `drawn_fits` the curves through that.
    """

    exponent: float
    interval: Interval | None
    fits: Fits
    drawn: Floats
    drawn_fits: Fits


def timed_fit(n: Floats, cost: Floats, samples: Sequence[Floats], scatter: Scatter, name: str = "") -> Timed:
    """The fit of `cost`, the medians of `samples` at each n: with a constant part, unless there are too few sizes."""
    drawn = redrawn(samples, scatter, name)
    fits, drawn_fits = fitted(n, cost[None]), fitted(n, drawn)
    exponent, interval = power_fit(n, cost)
    if len(n) >= FEWEST_FOR_CONSTANT:
        exponent, interval = float(fits.exponent[0]), percentile_interval(drawn_fits.exponent)
    return Timed(exponent, interval, fits, drawn, drawn_fits)


def scatter_of(n: Floats, medians: Floats) -> Scatter:
    """How the medians of one method lie about their curve; nothing is free with as many sizes as unknowns."""
    if len(n) < FEWEST_SIZES:
        return Scatter()
    residuals = np.log(medians / np.maximum(fitted(n, medians[None]).at(n)[0], np.finfo(float).tiny))
    unknowns = 3 if len(n) >= FEWEST_FOR_CONSTANT else 2
    return Scatter(squares=float(residuals @ residuals), freedom=len(n) - unknowns)


def pooled(scatters: Iterable[Scatter]) -> Scatter:
    """What several methods of one machine scatter together."""
    held = list(scatters)
    return Scatter(squares=sum(s.squares for s in held), freedom=sum(s.freedom for s in held))


def widened(own: Scatter, together: Scatter) -> Scatter:
    """`own`, or that of all methods of one machine `together`, own among them, where this is larger.

    Few methods have sizes enough to tell their own scatter, and the machine's bad moments hit all of them alike: so it
    counts as known as well as all together. One that scatters more than all do (F test, one in ten by chance) has only
    its own sizes to tell by how much. Simulated: 95 to 99 % of 95 % intervals hold the truth where methods scatter
    alike, some 85 % for one that scatters five times as much as the others over four sizes.
    """
    freedom = together.freedom
    rest = Scatter(squares=max(together.squares - own.squares, 0.0), freedom=freedom - own.freedom)
    if rest.freedom <= 0 or own.variance > rest.variance * special.fdtri(max(own.freedom, 1), rest.freedom, OUTLYING):
        return own if own.freedom else together
    variance = max(own.variance, together.variance)
    return Scatter(squares=variance * freedom, freedom=freedom)


def redrawn(samples: Sequence[Floats], scatter: Scatter, name: str = "") -> Floats:
    """Medians as they might have come out `[DRAWS sizes]`.

    Samples are drawn again, and each size gets an effect of its own, so that the variance is the larger of what samples
    and what `scatter` tell. As `scatter` is itself known from few sizes, its size is drawn too (chi squared), which for
    a straight line makes the t interval. Draws of different `name` are independent.
    """
    seed = zlib.crc32(name.encode())
    medians = [np.median(each[draws(len(each), seed=seed + i)], axis=1) for i, each in enumerate(samples)]
    within = np.stack(medians, axis=1)
    if not scatter.freedom:
        return within
    rng = np.random.default_rng([SEED, seed])
    variance = scatter.squares / rng.chisquare(scatter.freedom, size=(DRAWS, 1))
    missing = np.maximum(variance - np.log(within).var(axis=0), 0.0)
    effect = np.sqrt(missing) * rng.standard_normal(within.shape)
    redrawn_medians: Floats = within * np.exp(np.clip(effect, -WIDEST_EFFECT, WIDEST_EFFECT))
    return redrawn_medians
