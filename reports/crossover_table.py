"""From which size on each method is cheaper than dense attention, as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from reports.cost import Cost
from reports.crossover import REACH, Crossing, crossing
from reports.frames import Frames
from reports.scaling import QUANTITIES, Growth
from reports.stats import Interval
from reports.tables import PERCENT, TIMES, Column, Entry, Row, Table, fixed, make_table, missing

DENSE = "nln"
"""The method whose cells are dense attention."""

BACKEND, PLAIN, FUSED = "backend", "plain", "fused"
"""The setting that says how dense attention is computed; `PLAIN` where a cell does not name it."""

EXTRAPOLATED = "→"

OF_NETWORKS = "Of the whole network's attention: how many such layers it has and how wide they are is set by its cell."
OF_LAYERS = "Of one layer each, as wide as its cell sets it."
NOTE = (
    f"Of times with a 95{PERCENT} interval, of exact counts with the two sizes in between. {EXTRAPOLATED}: beyond the "
    f"largest size measured of both, by the fitted growth, never further than {REACH:.0f}{TIMES}."
)

Key = tuple[str, str]
"""Label and quantity."""


def plain_and_fused(frames: Frames, cost: Cost, method: str | None = None) -> tuple[str, str] | None:
    """The labels of two cells (of `method`) that differ in nothing but how attention is computed."""
    kinds: dict[str, dict[str, str]] = {}
    for label, name, backend, others in _backends(frames, cost):
        if method in (None, name):
            kinds.setdefault(repr((name, others)), {})[backend] = label
    return next(((k[PLAIN], k[FUSED]) for k in kinds.values() if PLAIN in k and FUSED in k), None)


def references(frames: Frames, cost: Cost) -> dict[str, str]:
    """The cells of dense attention that others are held against, by backend.

    Two that are alike in all else, or, where there are no such two, the first cell of each backend.
    """
    pair = plain_and_fused(frames, cost, DENSE)
    if pair:
        return dict(zip((PLAIN, FUSED), pair, strict=True))
    first: dict[str, str] = {}
    for label, name, backend, _ in _backends(frames, cost):
        if name == DENSE:
            first.setdefault(backend, label)
    return {backend: first[backend] for backend in (PLAIN, FUSED) if backend in first}


def _backends(frames: Frames, cost: Cost) -> list[tuple[str, str, str, str]]:
    """Label, method, backend and the other settings of each profiled cell."""
    tasks = frames.done("profile")
    cells = tasks[(tasks["scale"] == cost.scale) & tasks["label"].isin(cost.labels)].drop_duplicates("label")
    found = []
    for label, spec in zip(cells["label"], cells["cell_spec"], strict=True):
        settings = dict(spec.get("settings") or {})
        backend = str(settings.pop(BACKEND, PLAIN))
        found.append((str(label), str(spec.get("method")), backend, repr(sorted(settings.items()))))
    return found


def crossings(grown: Sequence[Growth], against: str) -> dict[Key, Crossing]:
    """Of each quantity of each method against the dense attention labelled `against`, where they share two sizes."""
    dense = {g.quantity: g for g in grown if g.label == against}
    others = [g for g in grown if g.label != against and g.quantity in dense]
    found = {(g.label, g.quantity): crossing(g, dense[g.quantity]) for g in others}
    return {key: crossed for key, crossed in found.items() if crossed is not None}


def crossover_table(cost: Cost, grown: Sequence[Growth], found: Mapping[str, Mapping[Key, Crossing]]) -> Table | None:
    """Methods by quantity and backend; `found` holds the crossings by backend. None where there are none."""
    columns = [
        Column(key=f"{quantity}-{backend}", title=f"{name[0].upper()}{name[1:]}, {backend}", unit="n")
        for quantity, name in QUANTITIES.items()
        for backend in found
    ]
    labels = {label for each in found.values() for label, _ in each}
    if not labels:
        return None
    ordered = [g.label for g in grown if g.label in labels]
    rows = [Row(head=label, entries=_entries(label, found)) for label in dict.fromkeys(ordered)]
    caption = f"Size n = h · w from which attention is cheaper than dense attention, {cost.subject}"
    return make_table(
        caption, columns, rows, notes=[f"{OF_LAYERS if cost.alone else OF_NETWORKS} {NOTE}"], protocol=cost.comparable
    )


def _entries(label: str, found: Mapping[str, Mapping[Key, Crossing]]) -> dict[str, Entry]:
    return {
        f"{quantity}-{backend}": told(each.get((label, quantity)))
        for quantity in QUANTITIES
        for backend, each in found.items()
    }


def told(crossed: Crossing | None) -> Entry:
    """One crossing in a few words."""
    if crossed is None:
        return missing("fewer than two sizes measured of both, or the reference itself")
    at = crossed.n if math.isfinite(crossed.n) else 10.0 * crossed.limit
    if crossed.verdict == "beyond":
        doubt = f"extrapolated: measured up to n = {fixed(crossed.measured, 0)}"
        return Entry(text=_text(crossed), value=at, mark=EXTRAPOLATED, doubt=doubt)
    return Entry(text=_text(crossed), value=at)


def _text(crossed: Crossing) -> str:
    side = "dearer" if crossed.falls_behind else "cheaper"
    if crossed.verdict == "alike":
        return "alike"
    if crossed.verdict == "always":
        return f"always {side} (from {fixed(crossed.smallest, 0)})"
    if crossed.verdict == "never":
        return f"not {side} up to {fixed(crossed.limit, 0)}"
    if crossed.verdict == "undecided":
        return f"undecided: {_ends(crossed)}"
    prefix = f"{side} " if crossed.falls_behind else ""
    return f"{prefix}from {_about(crossed.n)}{_within(crossed)}" if crossed.n else f"{prefix}from {_ends(crossed)}"


def _ends(crossed: Crossing) -> str:
    """The interval of an undecided or early crossing, its open ends in words."""
    interval = crossed.interval or Interval(low=crossed.n, high=crossed.n)
    if interval.low == 0.0 and math.isinf(interval.high):
        return "always or never"
    if math.isinf(interval.high):
        return f"from {_about(interval.low)} on, or not up to {fixed(crossed.limit, 0)}"
    return f"{_about(interval.high)} at the latest"


def _within(crossed: Crossing) -> str:
    interval = crossed.interval
    if interval is None:
        return ""
    if crossed.exact:
        return f" ({fixed(interval.low, 0)} to {fixed(interval.high, 0)})"
    high = _about(interval.high)
    return f" ({_about(interval.low)} to {high})" if interval.low else f" ({high} at the latest)"


def _about(n: float) -> str:
    """A number of positions to three digits."""
    digits = 2 - math.floor(math.log10(n))
    return fixed(round(n, digits), 0)
