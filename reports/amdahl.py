"""What attention's share of a forward pass allows: Amdahl's law.

A part that takes the share s of a time T and gets faster by the factor k leaves `(1 - s) T + s T / k`, so that even at
no time at all for that part the whole is `1 / (1 - s)` times as fast.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from reports.cost import Cost
from reports.scaling import attending
from reports.stats import FEWEST, SEED, Interval, draws, percentile_interval
from reports.tables import PERCENT, TIMES, Column, Entry, Row, Table, fixed, make_table, missing, shown

CLAIMED = 0.83
"""The share of attention's time that the abstract of LCoA says to save; an example of such a claim."""

ALL = 1.0 - 1e-9
"""A share that cannot be reached: hooks stop the clock before the network ends."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """Attention's share of a forward pass, between 0 and 1."""

    value: float
    interval: Interval | None


def share(cost: Cost, label: str, size: str) -> Share | None:
    """Of one method at one size; None where either time is missing.

    Both times of a sample are of the same forward, so samples are drawn in pairs where their numbers allow it.
    """
    value = cost.share(label, size)
    attention, forward = (cost.samples.get((metric, label, size)) for metric in ("attention_s", "forward_s"))
    if value is None or attention is None or forward is None:
        return None
    if min(len(attention), len(forward)) < FEWEST:
        return Share(value=value, interval=None)
    of_forward = draws(len(forward), seed=SEED if len(attention) == len(forward) else SEED + 1)
    shares = np.median(attention[draws(len(attention))], axis=1) / np.median(forward[of_forward], axis=1)
    return Share(value=value, interval=percentile_interval(np.minimum(shares, ALL)))


def speedup(value: float) -> float:
    """How many times as fast the network would be if attention, whose share is `value`, took no time at all."""
    return 1.0 / (1.0 - min(value, ALL))


def saving(value: float, attention: float = CLAIMED) -> float:
    """Share of the network's time that goes when the share `attention` of attention's time goes."""
    return value * attention


def amdahl_tables(cost: Cost) -> list[Table]:
    """Shares; what no attention at all would gain; what `CLAIMED` less would save. None where nothing was timed."""
    asked = ((label, size, share(cost, label, size)) for label in attending(cost) for size in cost.sizes)
    shares = {(label, size): found for label, size, found in asked if found is not None}
    if not shares:
        return []
    where = f"{cost.subject}, precision {cost.precision}"
    claim = f"{CLAIMED:.0%}".replace("%", PERCENT)
    return [
        _table(cost, shares, f"Attention's share of the forward time {where}", _share_text),
        _table(cost, shares, f"How many times as fast if attention took no time, {where}", _speedup_text),
        _table(cost, shares, f"Network time saved by {claim} less attention time, {where}", _saving_text),
    ]


def _table(cost: Cost, shares: Mapping[tuple[str, str], Share], caption: str, text: Callable[[float], str]) -> Table:
    columns = [Column(key=size, title=shown(size)) for size in cost.sizes]
    labels = dict.fromkeys(label for label, _ in shares)
    rows = [Row(head=k, entries={s: _entry(shares.get((k, s)), text) for s in cost.sizes}) for k in labels]
    return make_table(caption, columns, rows, protocol=cost.comparable)


def _entry(found: Share | None, text: Callable[[float], str]) -> Entry:
    """Every figure here grows with the share, so that its interval is that of the share."""
    if found is None:
        return missing("no attention timed")
    told, interval = text(found.value), found.interval
    if interval is None:
        return Entry(text=told, value=found.value, note="too few samples for an interval")
    return Entry(text=f"{told} ({text(interval.low)} to {text(interval.high)})", value=found.value)


def _share_text(value: float) -> str:
    return f"{fixed(value * 100.0, 1)}{PERCENT}"


def _speedup_text(value: float) -> str:
    return f"{fixed(speedup(value), 2)}{TIMES}"


def _saving_text(value: float) -> str:
    return _share_text(saving(value))
