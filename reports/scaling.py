"""How cost grows with n = h * w: exponents of attention's time, MACs and memory, and how far they can be trusted.

Counted figures follow `b n^p` and are fitted by a straight line on logarithms. A time holds a constant part, which
such a line takes for a small exponent, so times are fitted as `a + b n^p` with `a >= 0` and relative weights.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from scipy import stats

from reports.cost import Cost
from reports.frames import positions
from reports.stats import Floats, Interval, draws
from reports.tables import PERCENT, TIMES, Column, Entry, Row, Table, bounds, fixed, make_table, missing, number

FEWEST_SIZES = 3
FEWEST_FOR_CONSTANT = 4
"""Fitting a constant beside factor and exponent needs one more size than there are unknowns."""
WIDEST_INTERVAL = 0.5
"""An exponent that is not known better than this tells no order from another."""

ENOUGH_SPAN = 16.0
"""A verdict needs n to span this factor."""
EXPONENTS = np.arange(0.01, 3.5 + 1e-9, 0.01)
LEVEL = 0.95
QUANTITIES = {"attention_s": "time", "attention_macs": "MACs", "peak_bytes": "peak memory"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Growth:
    """How one quantity of one method grows over `n`: exponent with interval, and the local one of the last octave."""

    label: str
    quantity: str
    n: Floats
    cost: Floats
    exponent: float
    interval: Interval | None
    last: float

    @property
    def span(self) -> float:
        """Largest n over smallest."""
        return float(self.n[-1] / self.n[0])

    @property
    def caution(self) -> str:
        """Why nothing should be concluded from the exponent; empty when there is no such reason."""
        if self.span < ENOUGH_SPAN:
            return f"n spans only {self.span:.3g}{TIMES}, a verdict needs {ENOUGH_SPAN:.0f}{TIMES}"
        if self.interval is None:
            return "too few sizes for an interval"
        if self.interval.high - self.interval.low > WIDEST_INTERVAL:
            return f"the interval is wider than {WIDEST_INTERVAL}"
        return ""


def growths(cost: Cost) -> list[Growth]:
    """Every quantity of every method with attention that was measured at two sizes or more."""
    found = (growth(cost, label, quantity) for label in attending(cost) for quantity in QUANTITIES)
    return [grown for grown in found if grown is not None]


def attending(cost: Cost) -> list[str]:
    """The labels in whose networks attention was found."""
    figures = cost.figures.reindex(columns=["attention_s", "attention_macs"]).fillna(0.0)
    cost_of_attention = figures.max(axis=1).groupby(level="label", sort=False).max()
    return [str(label) for label, value in cost_of_attention.items() if value > 0.0]


def growth(cost: Cost, label: str, quantity: str) -> Growth | None:
    """The fit of one quantity of one method; None where fewer than two sizes have it."""
    series = _series(cost, label, quantity)
    if len(series) < 2:  # noqa: PLR2004 - a slope needs two points
        return None
    sizes = [str(size) for size in series.index]
    n, values = np.array([positions(size) for size in sizes], dtype=float), np.array(series, dtype=np.float64)
    exponent, interval = power_fit(n, values)
    if quantity == "attention_s" and len(sizes) >= FEWEST_FOR_CONSTANT:
        exponent, interval = offset_fit(n, [cost.samples["attention_s", label, size] for size in sizes])
    last = local_exponent(n, values)
    return Growth(label=label, quantity=quantity, n=n, cost=values, exponent=exponent, interval=interval, last=last)


def power_fit(n: Floats, cost: Floats) -> tuple[float, Interval | None]:
    """Slope of log cost on log n by least squares, with its t interval for three sizes or more."""
    slope, _, _, _, error = stats.linregress(np.log(n), np.log(cost))
    if len(n) < FEWEST_SIZES:
        return float(slope), None
    reach = float(stats.t.ppf(0.5 + LEVEL / 2.0, len(n) - 2)) * float(error)
    return float(slope), Interval(low=float(slope) - reach, high=float(slope) + reach)


def offset_fit(n: Floats, samples: list[Floats]) -> tuple[float, Interval]:
    """Exponent of `a + b n^p`, `a >= 0`, through the medians of `samples` at each n, with its bootstrap interval."""
    medians = np.array([[np.median(each) for each in samples]])
    redrawn = np.stack([np.median(each[draws(len(each), seed=i)], axis=1) for i, each in enumerate(samples)], axis=1)
    exponents = best_exponents(n, redrawn)
    low, high = np.percentile(exponents, [50.0 * (1.0 - LEVEL), 50.0 * (1.0 + LEVEL)])
    return float(best_exponents(n, medians)[0]), Interval(low=float(low), high=float(high))


def best_exponents(n: Floats, cost: Floats) -> Floats:
    """For each row of `cost [draws sizes]` the exponent whose `a + b n^p`, `a >= 0`, has the least relative error.

    Divided by the cost the model reads `1 = a u + b u g` with `u = 1 / cost`, `g = n^p`: linear in a and b for each p,
    so that all p and all rows are solved at once from sums over sizes.
    """
    g, u = (n / n[-1]) ** EXPONENTS[:, None], 1.0 / cost
    uu, gg, ug = (u**2).sum(axis=1), g**2 @ (u**2).T, g @ (u**2).T
    yu, yg = u.sum(axis=1), g @ u.T
    a = np.maximum((yu * gg - yg * ug) / np.maximum(uu * gg - ug**2, 1e-12 * uu * gg), 0.0)
    b = (yg - a * ug) / gg
    error = a**2 * uu + b**2 * gg + 2.0 * (a * b * ug - a * yu - b * yg)
    best: Floats = EXPONENTS[error.argmin(axis=0)]
    return best


def local_exponent(n: Floats, cost: Floats) -> float:
    """Slope over the last octave: from the largest n at most half of the last (or the one before) to the last."""
    halves = np.flatnonzero(n <= n[-1] / 2.0)
    first = int(halves[-1]) if len(halves) else len(n) - 2
    return float(np.log(cost[-1] / cost[first]) / np.log(n[-1] / n[first]))


COLUMNS = (
    Column(key="exponent", title="Exponent of n"),
    Column(key="interval", title=f"95{PERCENT} interval"),
    Column(key="last", title="Last octave"),
    Column(key="sizes", title="Sizes"),
    Column(key="span", title="Span of n"),
    Column(key="caution", title="Caution"),
)


def scaling_table(cost: Cost, grown: list[Growth]) -> Table:
    """The fits as a table."""
    rows = [Row(head=f"{g.label}: {QUANTITIES[g.quantity]}", entries=_entries(g)) for g in grown]
    caption = f"Growth with n = h · w at {TIMES}{cost.scale}, precision {cost.precision}"
    reasons = list(dict.fromkeys(g.caution for g in grown if g.caution))
    notes = [f"Undecided: {'; '.join(reasons)}."] if reasons else []
    return make_table(caption, COLUMNS, rows, notes=notes, protocol=cost.comparable)


def _entries(grown: Growth) -> dict[str, Entry]:
    interval = grown.interval
    return {
        "exponent": number(grown.exponent, 2, ranked=False),
        "interval": Entry(text=bounds(interval, digits=2), value=interval.low)
        if interval
        else missing("too few sizes"),
        "last": number(grown.last, 2, ranked=False),
        "sizes": number(float(len(grown.n)), 0, ranked=False),
        "span": Entry(text=f"{fixed(grown.span, 0)}{TIMES}", value=grown.span),
        "caution": Entry(text="undecided" if grown.caution else "none", value=float(bool(grown.caution))),
    }


def _series(cost: Cost, label: str, quantity: str) -> pd.Series[float]:
    """One quantity of one method by size, smallest first; zeros, which have no logarithm, are left out."""
    if quantity not in cost.figures:
        return pd.Series(dtype=float)
    series: pd.Series[float] = cost.figures[quantity].xs(label, level="label").dropna()
    return series[series > 0.0].sort_index(key=lambda sizes: sizes.map(positions))
