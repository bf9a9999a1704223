"""Roofline: how near what ran in turn comes to what multiply-adds and bytes allow on its machine.

With the ceilings `P` multiply-adds a second and `B` bytes a second, a call of `m` multiply-adds that moves `b` bytes
takes `max(m / P, b / B)` at least: the roof (Williams, Waterman, Patterson, 2009, doi:10.1145/1498765.1498785).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from reports.frames import Frames, positions
from reports.race import CONTROL_LABEL, MILLI, Race
from reports.tables import PERCENT, Column, Entry, Row, Table, fixed, make_table, missing, scaled, shown, significant

MACS, MOVED = "counted_macs", "counted_moved_bytes"
MACS_CEILING, BYTES_CEILING = "ceiling_macs_per_s", "ceiling_bytes_per_s"
GIGA, MEGA = 1e9, 1e6
OVER = "↑"
"""Beside a share above 100 %."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ceilings:
    """The most multiply-adds and the most bytes a second that were measured on a machine."""

    macs_per_s: float
    bytes_per_s: float

    @property
    def ridge(self) -> float:
        """The intensity in MAC/B from which on multiply-adds are the bound."""
        return self.macs_per_s / self.bytes_per_s


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where one contender at one size stands under `ceilings`: what it does, and the median of its time."""

    label: str
    macs: float
    moved_bytes: float
    seconds: float
    ceilings: Ceilings

    @property
    def intensity(self) -> float:
        """Multiply-adds for each byte moved."""
        return self.macs / self.moved_bytes

    @property
    def attained(self) -> float:
        """Multiply-adds a second."""
        return self.macs / self.seconds

    @property
    def bound(self) -> Literal["compute", "memory"]:
        """Which ceiling is met first."""
        return "compute" if self.macs / self.ceilings.macs_per_s >= self._memory_s else "memory"

    @property
    def roof_s(self) -> float:
        """The least time that the ceilings allow."""
        return max(self.macs / self.ceilings.macs_per_s, self._memory_s)

    @property
    def share(self) -> float:
        """The least time over the time taken; above 1 where the counts charge what the machine need not do."""
        return self.roof_s / self.seconds

    @property
    def _memory_s(self) -> float:
        return self.moved_bytes / self.ceilings.bytes_per_s


def ceilings(frames: Frames, race: Race) -> Ceilings | None:
    """The best over all sizes and passes of `race`; None where either was not measured."""
    found = frames.measured(MACS_CEILING, BYTES_CEILING)
    found = found[(found["comparable"] == race.comparable) & (found["machine_id"] == race.machine)]
    best = {str(metric): float(value) for metric, value in found.groupby("metric")["value"].max().items() if value > 0}
    if len(best) < len((MACS_CEILING, BYTES_CEILING)):
        return None
    return Ceilings(macs_per_s=best[MACS_CEILING], bytes_per_s=best[BYTES_CEILING])


def places(race: Race, ceilings: Ceilings, size: str) -> list[Place]:
    """Of all at `size` whose multiply-adds and bytes were counted and that were timed, in the order of the race."""
    found = (place(race, ceilings, label, size) for label in race.labels)
    return [each for each in found if each is not None]


def place(race: Race, ceilings: Ceilings, label: str, size: str) -> Place | None:
    """Of one contender at one size; None where a count or its time is missing."""
    macs, moved = (race.counted.get((metric, label, size)) for metric in (MACS, MOVED))
    seconds = race.median(label, size)
    if macs is None or not moved or not seconds:
        return None
    return Place(label=label, macs=macs, moved_bytes=moved, seconds=seconds, ceilings=ceilings)


def common_size(race: Race, ceilings: Ceilings) -> str | None:
    """The size at which most contenders have a place, the largest of such; None where none has."""
    having = {size: len(places(race, ceilings, size)) for size in race.sizes}
    return max((s for s, n in having.items() if n), key=lambda s: (having[s], positions(s)), default=None)


def roofline_tables(race: Race, ceilings: Ceilings) -> list[Table]:
    """Shares of the roof by method and size, and what they are made of at `common_size`; none without any place."""
    size = common_size(race, ceilings)
    return [] if size is None else [_share_table(race, ceilings), _size_table(race, ceilings, size)]


def ceilings_told(ceilings: Ceilings) -> str:
    """Both ceilings and their ridge, within a sentence."""
    compute, memory = significant(ceilings.macs_per_s / GIGA), significant(ceilings.bytes_per_s / GIGA)
    ridge = significant(ceilings.ridge)
    return f"{compute} GMAC/s of a matrix product, {memory} GB/s of a copy; ridge at {ridge} MAC/B"


def share_told(place: Place) -> str:
    """The share of the roof in percent, without the sign."""
    return significant(100.0 * place.share, 2)


def _share_table(race: Race, ceilings: Ceilings) -> Table:
    by_size = {size: {each.label: each for each in places(race, ceilings, size)} for size in race.sizes}
    columns = [Column(key=size, title=shown(size)) for size in race.sizes]
    placed = {label for found in by_size.values() for label in found}
    labels = [label for label in race.labels if label in placed or label != CONTROL_LABEL]
    rows = [Row(head=k, entries={s: _share_entry(race, by_size[s], k, s) for s in race.sizes}) for k in labels]
    notes = _notes(ceilings, [each for found in by_size.values() for each in found.values()])
    return make_table(f"{race.title}: share of the roof", columns, rows, notes=notes, protocol=race.comparable)


def _share_entry(race: Race, found: Mapping[str, Place], label: str, size: str) -> Entry:
    if label in found:
        return _told(found[label], percent=PERCENT, note=_note(found[label]))
    timed = race.median(label, size) is not None
    return missing("not counted" if timed else race.missing.get((label, size), "not measured"))


def _note(place: Place) -> str:
    roof, seconds = significant(place.roof_s / MILLI), significant(place.seconds / MILLI)
    told = f"{significant(place.intensity)} MAC/B, bound by {place.bound}"
    return f"{told}, {roof} ms at the roof, {seconds} ms measured"


def _told(place: Place, *, percent: str = "", note: str = "") -> Entry:
    """The share of the roof as an entry. No share is better than another: waste under a low roof has a high one."""
    text = f"{share_told(place)}{percent}"
    mark, doubt = (OVER, "above the roof") if place.share > 1.0 else ("", "")
    return Entry(text=text, value=place.share, note=note, mark=mark, doubt=doubt)


COLUMNS = (
    Column(key="macs", title="MACs", unit="G", better="lower"),
    Column(key="moved_bytes", title="Bytes moved", unit="MB", better="lower"),
    Column(key="intensity", title="Intensity", unit="MAC/B"),
    Column(key="bound", title="Bound by", words=True),
    Column(key="roof_s", title="At the roof", unit="ms", better="lower"),
    Column(key="seconds", title="Measured", unit="ms", better="lower"),
    Column(key="share", title="Share of the roof", unit=PERCENT.strip()),
)


def _size_table(race: Race, ceilings: Ceilings, size: str) -> Table:
    found = places(race, ceilings, size)
    rows = [Row(head=each.label, entries=_entries(each)) for each in found]
    caption = f"{race.title}: roofline at {shown(size)} (n = {fixed(positions(size), 0)})"
    return make_table(caption, COLUMNS, rows, notes=_notes(ceilings, found), protocol=race.comparable)


def _entries(place: Place) -> dict[str, Entry]:
    ranked = place.label != CONTROL_LABEL
    return {
        "macs": scaled(place.macs, GIGA, ranked=ranked),
        "moved_bytes": scaled(place.moved_bytes, MEGA, ranked=ranked),
        "intensity": scaled(place.intensity, 1.0, ranked=False),
        "bound": Entry(text=place.bound),
        "roof_s": scaled(place.roof_s, MILLI, ranked=ranked),
        "seconds": scaled(place.seconds, MILLI, ranked=ranked),
        "share": _told(place),
    }


def _notes(ceilings: Ceilings, found: Sequence[Place]) -> list[str]:
    over = {each.bound for each in found if each.share > 1.0}
    return [
        f"Ceilings, the best measured between these samples: {ceilings_told(ceilings)}.",
        ROOF_NOTE,
        *(told for bound, told in OVER_NOTES.items() if bound in over),
    ]


ROOF_NOTE = (
    "Bytes moved: what every operation of one call reads and writes, each operation by itself, distinct elements, "
    "views free. Time at the roof: MACs or bytes moved at their ceiling, whichever takes longer. Share of the roof: "
    "that time over the median measured. A high share of a low roof is no merit: fewer bytes may be."
)
OVER_NOTES = {
    "memory": f"{OVER}, bound by memory: faster than the roof, as caches serve part of the bytes that are counted.",
    "compute": (
        f"{OVER}, bound by compute: faster than the roof, so fewer multiply-adds ran than are counted, as in Winograd "
        "convolutions, or the matrix product was not the fastest one."
    ),
}
