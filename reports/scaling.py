"""How cost grows with n = h * w: exponents of attention's time, MACs and memory, and how far they can be trusted.

Counted figures follow `b n^p` and are fitted by a straight line on logarithms. A time holds a constant part, which
such a line takes for a small exponent, so times are fitted as `a + b n^p` with `a >= 0` and relative weights.
"""

from __future__ import annotations

import dataclasses
import statistics

import numpy as np

from reports.cost import Cost
from reports.fits import Fits, Scatter, fitted, pooled, power_fit, scatter_of, timed_fit, widened
from reports.frames import positions
from reports.stats import Floats, Interval
from reports.tables import PERCENT, TIMES, Column, Entry, Row, Table, bounds, fixed, make_table, missing, number

WIDEST_INTERVAL = 0.5
"""An exponent that is not known better than this tells no order from another."""

ENOUGH_SPAN = 16.0
"""A verdict needs n to span this factor."""
QUANTITIES = {"attention_s": "time", "attention_macs": "MACs", "peak_bytes": "peak memory"}
TIME = "attention_s"

TIMES_NOTE = (
    "Samples of one process scatter less than processes do. Intervals of time therefore take the larger of that "
    "scatter and of what leaves the fitted curves, over all methods timed on this machine: they are wide where there "
    "are few sizes, and still too narrow where all sizes of a method were slowed alike. "
    "Exponents above 3.5 are not tried."
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Growth:
    """How one quantity of one method grows over `n`: exponent with interval, and the local one of the last octave.

    `fits` is the curve through `cost`. Of times, `drawn [draws sizes]` is what might have come out instead and
    `drawn_fits` the curves through that; counts are exact and have none. One is equal to itself alone.
    """

    label: str
    quantity: str
    n: Floats
    cost: Floats
    exponent: float
    interval: Interval | None
    last: float
    fits: Fits
    drawn: Floats | None = None
    drawn_fits: Fits | None = None

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
    labels = attending(cost)
    together = pooled(_timing_scatter(cost, label) for label in labels)
    found = (growth(cost, label, quantity, together) for label in labels for quantity in QUANTITIES)
    return [grown for grown in found if grown is not None]


def attending(cost: Cost) -> list[str]:
    """The labels in whose networks attention was found."""
    spent = ("attention_s", "attention_macs")
    some = {k for (k, _), held in cost.places.items() if any(held.get(each, 0.0) > 0.0 for each in spent)}
    return [label for label in cost.labels if label in some]


def growth(cost: Cost, label: str, quantity: str, together: Scatter | None = None) -> Growth | None:
    """The fit of one quantity of one method; None where fewer than two sizes have it.

    `together` is what all methods scatter that were timed beside it, see `reports.fits.widened`.
    """
    n, values = _series(cost, label, quantity)
    if len(n) < 2:  # noqa: PLR2004 - a slope needs two points
        return None
    return _timed(cost, label, n, values, together) if quantity == TIME else _counted(label, quantity, n, values)


def _counted(label: str, quantity: str, n: Floats, values: Floats) -> Growth:
    """A count has no noise: where it leaves a straight line, that is its shape, and it goes on as it ended."""
    exponent, interval = power_fit(n, values)
    return Growth(
        label=label,
        quantity=quantity,
        n=n,
        cost=values,
        exponent=exponent,
        interval=interval,
        last=local_exponent(n, values),
        fits=fitted(n[-2:], values[None, -2:]),
    )


def _timed(cost: Cost, label: str, n: Floats, values: Floats, together: Scatter | None) -> Growth:
    scatter = widened(scatter_of(n, values), together or scatter_of(n, values))
    timed = timed_fit(n, values, [_samples(cost, label, int(each)) for each in n], scatter, label)
    last = local_exponent(n, values)
    return Growth(label=label, quantity=TIME, n=n, cost=values, last=last, **timed._asdict())


def _timing_scatter(cost: Cost, label: str) -> Scatter:
    return scatter_of(*_series(cost, label, TIME))


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
    caption = f"Growth with n = h · w {cost.subject}, precision {cost.precision}"
    reasons = list(dict.fromkeys(g.caution for g in grown if g.caution))
    notes = [f"Undecided: {'; '.join(reasons)}."] if reasons else []
    notes += [TIMES_NOTE] if any(g.quantity == TIME for g in grown) else []
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


def _series(cost: Cost, label: str, quantity: str) -> tuple[Floats, Floats]:
    """One quantity of one method: n, smallest first, and its figures; zeros, which have no logarithm, are left out.

    Sizes of one n, such as 24x96 and 48x48, are one point: their median.
    """
    by_n: dict[int, list[float]] = {}
    for size in cost.sizes:
        value = cost.value(label, size, quantity)
        if value is not None and value > 0.0:
            by_n.setdefault(positions(size), []).append(value)
    return np.array(list(by_n), dtype=np.float64), np.array([statistics.median(each) for each in by_n.values()])


def _samples(cost: Cost, label: str, n: int) -> Floats:
    sizes = [size for size in cost.sizes if positions(size) == n and (TIME, label, size) in cost.samples]
    return np.concatenate([cost.samples[TIME, label, size] for size in sizes])
