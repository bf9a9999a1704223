"""Local exponents between neighbouring sizes, and where they change: the bucket cap of a hash, a constant left behind.

Over one step the local exponent is the slope of log cost on log n. Where two neighbouring ones differ by more than
`CHANGE`, a regime ends; a change that goes on over several sizes is one change, between the first and the last of
them. One size that alone stands out, as padding to a multiple of the chunk makes it, changes no regime.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reports.cost import Cost
from reports.frames import positions
from reports.scaling import QUANTITIES, Growth
from reports.stats import Floats, Interval, percentile_interval
from reports.tables import PERCENT, Column, Entry, Row, Table, fixed, make_table, missing

CHANGE = 0.03
"""Released NLSN, whose hashing is a small part of its MACs, changes by 0.05 at its bucket cap."""
TIME_CHANGE = 0.1
"""Caches alone bend times by less."""

BACK = 0.25
"""A lone size turns by half as much at either neighbour as at itself, in equal steps; a kink turns at one only."""

CLOSEST = 2.0**0.5
"""Sizes nearer than this factor say too little about a slope: padding alone would be one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """The local exponent from one size to the next, with an interval where it was timed."""

    low: float
    high: float
    exponent: float
    interval: Interval | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """A regime change between sizes `low` and `high`: exponents before and after."""

    low: float
    high: float
    before: float
    after: float


def steps(grown: Growth) -> list[Step]:
    """Between every two neighbouring sizes that are far enough apart."""
    kept = _apart(grown.n)
    slopes = _slopes(grown.n[kept], grown.cost[None, kept])[0]
    drawn = None if grown.drawn is None else _slopes(grown.n[kept], grown.drawn[:, kept])
    intervals = [None if drawn is None else percentile_interval(drawn[:, i]) for i in range(len(slopes))]
    ends = itertools.pairwise(grown.n[kept].tolist())
    return [
        Step(low=low, high=high, exponent=float(slope), interval=interval)
        for (low, high), slope, interval in zip(ends, slopes, intervals, strict=True)
    ]


def changes(grown: Growth) -> list[Change]:
    """Where the growth changes: of counts by more than `CHANGE`, of times where the interval of the change says so."""
    kept = _apart(grown.n)
    n, cost = grown.n[kept], grown.cost[None, kept]
    slopes = _slopes(n, cost)[0]
    turns = np.diff(slopes)
    marked = np.where(np.abs(turns) > CHANGE, np.sign(turns), 0.0)
    if grown.drawn is not None:
        marked = _supported(_slopes(n, grown.drawn[:, kept]))
    return _runs(n, slopes, np.where(_lone(n, cost[0], slopes), 0.0, marked))


def _apart(n: Floats) -> list[int]:
    """Places of sizes at least `CLOSEST` apart, from the smallest on."""
    kept = [0]
    for i in range(1, len(n)):
        if n[i] >= n[kept[-1]] * CLOSEST:
            kept.append(i)
    return kept


def _slopes(n: Floats, cost: Floats) -> Floats:
    """Local exponents `[rows steps]` of `cost [rows sizes]`."""
    slopes: Floats = np.diff(np.log(cost), axis=1) / np.diff(np.log(n))
    return slopes


def _supported(drawn: Floats) -> Floats:
    """The sign of each change that lies beyond `TIME_CHANGE` with its whole interval, shared among all of them."""
    turns = np.diff(drawn, axis=1)
    if not turns.shape[1]:
        return np.zeros(0)
    tail = 2.5 / turns.shape[1]
    low, high = np.percentile(turns, [tail, 100.0 - tail], axis=0)
    signs: Floats = np.where(low > TIME_CHANGE, 1.0, np.where(high < -TIME_CHANGE, -1.0, 0.0))
    return signs


def _lone(n: Floats, cost: Floats, slopes: Floats) -> npt.NDArray[np.bool_]:
    """Which turns belong to one size that alone leaves a straight course: without it there would be none.

    A turn sits at each size but the first and the last; a lone size turns there and back at both its neighbours.
    """
    turns = np.diff(slopes)
    lone = np.zeros(len(turns), dtype=bool)
    for i in range(2, len(n) - 2):
        before, there, after = turns[i - 2 : i + 1]
        across = np.log(cost[i + 1] / cost[i - 1]) / np.log(n[i + 1] / n[i - 1])
        straight = max(abs(across - slopes[i - 2]), abs(across - slopes[i + 1])) <= CHANGE
        lone[i - 2 : i + 1] |= straight and min(-before / there, -after / there) > BACK if there else False
    return lone


def _runs(n: Floats, slopes: Floats, marked: Floats) -> list[Change]:
    """Turns of one direction in a row as one change; a single one happens somewhere between its two neighbours."""
    found, start = [], 0
    for sign, group in itertools.groupby(marked.tolist()):
        end = start + len(list(group))
        if sign:
            low, high = (n[start], n[start + 2]) if end == start + 1 else (n[start + 1], n[end])
            found.append(Change(low=float(low), high=float(high), before=slopes[start], after=slopes[end]))
        start = end
    return found


def local_table(cost: Cost, grown: Sequence[Growth]) -> Table | None:
    """Local exponents of every method and quantity, with the regime changes; None where there is nothing to compare."""
    rows = [(g, steps(g)) for g in grown]
    sizes = sorted({positions(size) for size in cost.sizes})
    pairs = sorted({(step.low, step.high) for _, found in rows for step in found})
    if not pairs or len(sizes) <= 2:  # noqa: PLR2004 - one step is the exponent itself
        return None
    columns = [Column(key=_key(*pair), title=f"{fixed(pair[0], 0)} → {fixed(pair[1], 0)}") for pair in pairs]
    columns.append(Column(key="change", title="Regime change", words=True))
    made = [Row(head=f"{g.label}: {QUANTITIES[g.quantity]}", entries=_entries(g, found, pairs)) for g, found in rows]
    caption = f"Local exponents between neighbouring n = h · w {cost.subject}, precision {cost.precision}"
    return make_table(caption, columns, made, notes=[NOTE], protocol=cost.comparable)


NOTE = (
    f"A regime change is marked where exact counts change their local exponent by more than {CHANGE}, times where the "
    f"95{PERCENT} interval of the change, shared among the changes of a row, lies beyond {TIME_CHANGE}. A constant "
    "part, such as the start of a kernel, also makes the local exponent of a time climb."
)


def _key(low: float, high: float) -> str:
    return f"{low:.0f}-{high:.0f}"


def _entries(grown: Growth, found: Sequence[Step], pairs: Sequence[tuple[float, float]]) -> dict[str, Entry]:
    entries = {_key(*pair): missing("not measured at both, or a size in between") for pair in pairs}
    entries |= {_key(step.low, step.high): _entry(step) for step in found}
    told = [_told(change) for change in changes(grown)]
    return entries | {"change": Entry(text="; ".join(told) if told else "none")}


def _entry(step: Step) -> Entry:
    text = fixed(step.exponent, 2)
    if step.interval:
        text += f" ({fixed(step.interval.low, 2)} to {fixed(step.interval.high, 2)})"
    return Entry(text=text, value=step.exponent)


def _told(change: Change) -> str:
    exponents = f"{fixed(change.before, 2)} → {fixed(change.after, 2)}"
    return f"{exponents} between n = {fixed(change.low, 0)} and {fixed(change.high, 0)}"
