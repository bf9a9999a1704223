"""Growth of attention's cost with n: measured points, fitted curves, and where dense attention becomes dearer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.cost import Cost
from reports.crossover import Crossing, cost_at
from reports.crossover_table import FUSED, PLAIN, Key
from reports.crowds import crowd_told, grey, standing_out
from reports.figures import AXES, HEIGHT, LEGEND_ROW, legend, legend_rows, log_ticks, widths
from reports.labels import squeezed
from reports.names import growth_name
from reports.palette import Look
from reports.scaling import QUANTITIES, TIME, Growth
from reports.seen import when_seen
from reports.stats import Floats
from reports.svg import INK, MUTED, PAGE, Figure, drawing, finished, points, series_colour
from reports.tables import PERCENT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_NAME = 32
"""Letters of a name that an exponent follows."""

MOST_MARKED = 9
"""With more methods, bars and marks of crossovers hide the points."""

MARKS = {PLAIN: "o", FUSED: "D"}
MARK_SIZES = {PLAIN: 13.0, FUSED: 11.0}
CURVE_POINTS = 48

Found = Mapping[str, Mapping[Key, Crossing]]
"""Crossings by the backend of dense attention, then by label and quantity."""


def growth_figures(
    cost: Cost,
    grown: Sequence[Growth],
    found: Found,
    looks: Mapping[str, Look],
    name: str,
    dense: frozenset[str] = frozenset(),
) -> list[Figure]:
    """Time, MACs and peak memory over n on logarithmic axes; of a crowd, `dense` attention is among the named."""
    by_quantity = {quantity: [g for g in grown if g.quantity == quantity] for quantity in QUANTITIES}
    return [_growth(cost, chosen, found, looks, f"{name}-{q}", dense) for q, chosen in by_quantity.items() if chosen]


OF_ALONE = re.compile(" (in attention|of the network)")
"""What an axis says of networks that is not so of attention alone."""


@when_seen
def _growth(
    cost: Cost, grown: Sequence[Growth], found: Found, looks: Mapping[str, Look], name: str, dense: frozenset[str]
) -> Figure:
    what, unit = AXES[grown[0].quantity]
    what = OF_ALONE.sub("", what) if cost.alone else what
    last = {g.label: float(g.cost[-1]) for g in grown}
    chosen = {*standing_out(last), max(last, key=lambda label: last[label]), *dense}
    named, others = ([g for g in grown if (g.label in chosen) == wanted] for wanted in (True, False))
    entries = {
        g.label: f"{squeezed(g.label, LONGEST_NAME)}: n^{g.exponent:.2f}{' (?)' if g.caution else ''}" for g in named
    }
    with drawing(HEIGHT + LEGEND_ROW * legend_rows(entries.values(), len(others))) as canvas:
        axes = canvas.subplots()
        _lines(axes, named, others, unit, looks)
        marks = _mark(axes, grown, found, unit) if len(grown) <= MOST_MARKED else []
        for direction in ("x", "y"):
            log_ticks(axes, direction)
        axes.set(xlabel="n = h · w of the input", ylabel=what, title=f"{what.partition(' [')[0]} {cost.short}")
        legend(canvas, entries, looks, len(others))
        alt = "; ".join([f"{what} over n, {cost.short}: " + "; ".join(entries.values()), *marks])
        which = f"cheapest at the largest n, {'the dearest, and dense attention' if dense else 'and the dearest'}"
        said = _caption(what, grown, marks) + crowd_told(len(named), len(grown), which)
        return finished(canvas, name, name=growth_name(cost, grown[0].quantity), caption=said, alt=alt)


def _caption(what: str, grown: Sequence[Growth], marks: Sequence[str]) -> str:
    """What is drawn, in words; only what is there is explained."""
    timed = grown[0].quantity == TIME
    said = f"{what.partition(' [')[0]} over n, with fitted exponents; dashed: n and n²."
    if timed:
        bars = f", with 95{PERCENT} intervals as bars" if len(grown) <= MOST_MARKED else ""
        said += f" Lines: fits a + b·nᵖ; points: medians{bars}."
    if marks:
        said += " Cheaper than dense attention from here on: ring, computed plainly; diamond, fused."
    return said + (" (?): undecided, see the table." if any(g.caution for g in grown) else "")


def _lines(
    axes: Axes, grown: Sequence[Growth], others: Sequence[Growth], unit: float, looks: Mapping[str, Look]
) -> None:
    """Line by line: Seaborn's own line plot crosses every colour with every marker, minutes for a hundred methods."""
    axes.set(xscale="log", yscale="log")
    for g in others:
        axes.plot(g.n, g.cost / unit, **grey())
    for g, width in zip(grown, widths(len(grown)), strict=True):
        look = looks[g.label]
        style: dict[str, Any] = {"color": series_colour(look.series), "linewidth": width}
        mark: dict[str, Any] = {"marker": look.marker, "markersize": points(7), "markeredgecolor": PAGE}
        if g.drawn is None:
            axes.plot(g.n, g.cost / unit, **style, **mark)
            continue
        curve = np.geomspace(g.n[0], g.n[-1], CURVE_POINTS)
        axes.plot(curve, g.fits.at(curve)[0] / unit, **style)
        _bars(axes, g, g.drawn, unit, shown=len(grown) <= MOST_MARKED, style=style | mark | {"linewidth": points(1.0)})
    both = [*grown, *others]
    _guides(axes, np.concatenate([g.n for g in both]), np.concatenate([g.cost for g in both]) / unit)


def _bars(axes: Axes, g: Growth, draws: Floats, unit: float, *, shown: bool, style: Mapping[str, Any]) -> None:
    """Measured medians, with intervals as bars where they are `shown`."""
    ends = np.percentile(draws, [2.5, 97.5], axis=0)
    reach = np.maximum(np.stack([g.cost - ends[0], ends[1] - g.cost]), 0.0) / unit
    axes.errorbar(g.n, g.cost / unit, yerr=reach if shown else None, **(dict(style) | {"linestyle": "none"}))


def _guides(axes: Axes, n: Floats, cost: Floats) -> None:
    """Dashed lines of slope 1 and 2 from the cheapest corner, cut at the frame."""
    limits, ends = axes.get_ylim(), np.array([n.min(), n.max()])
    for slope in (1, 2):
        style: dict[str, Any] = {"color": MUTED, "linewidth": points(0.8), "linestyle": (0, (4, 4)), "zorder": 1}
        axes.plot(ends, cost.min() * (ends / ends[0]) ** slope, **style)
    axes.set_ylim(limits)


def _mark(axes: Axes, grown: Sequence[Growth], found: Found, unit: float) -> list[str]:
    """A sign around each crossing within what was measured; returns them in words."""
    words = []
    for backend, crossings in found.items():
        for g in grown:
            crossed = crossings.get((g.label, g.quantity))
            if crossed is None or crossed.verdict != "crosses" or not crossed.n or crossed.falls_behind:
                continue
            style: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": INK, "zorder": 5}
            place = crossed.n, cost_at(g, crossed.n) / unit
            axes.plot(*place, marker=MARKS[backend], markersize=points(MARK_SIZES[backend]), **style)
            words.append(f"{g.label} is cheaper than {backend} dense attention from n = {crossed.n:.0f}")
    return words
