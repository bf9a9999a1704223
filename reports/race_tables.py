"""Tables of what was timed in turn: times, ratios, attention inside networks, gaps between kernels, counts, energy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from reports.frames import Frames
from reports.race import CONTROL_LABEL, MILLI, Race, Where
from reports.stats import median_interval
from reports.tables import (
    PERCENT,
    Column,
    Entry,
    Row,
    Table,
    bounds,
    described,
    fixed,
    make_table,
    missing,
    scaled,
    shown,
    significant,
)

MOST_OF_CLOCK = 0.01
"""Share of what is timed that the clock may take for itself."""
AGREE = 0.1
"""Attention inside a network and what the network saves without it: further apart, a row is marked."""
INSIDE_ROW, SAVED_ROW = "inside", "saved"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantity:
    """A figure for each contender and size, as a table of its own."""

    metric: str
    title: str
    unit: str
    scale: float


COUNTS = (
    Quantity(metric="counted_macs", title="MACs", unit="G", scale=1e9),
    Quantity(metric="counted_peak_bytes", title="peak memory of activations, counted", unit="MB", scale=1e6),
)
FIRST = Quantity(metric="race_first_s", title="first call", unit="ms", scale=MILLI)
ENERGY = Quantity(metric="race_energy_j", title="energy for an image", unit="J", scale=1.0)


def race_tables(frames: Frames, race: Race) -> list[Table]:
    """Time, ratio to the reference, attention's part of networks, energy; nothing where nothing was timed."""
    if not (race.samples or race.missing):
        return []
    return [_times(frames, race), *_ratio_table(race), *_inside_table(race), *_quantity(race, ENERGY)]


def further_tables(race: Race) -> list[Table]:
    """First calls, what is outside kernels, counts."""
    return [*_quantity(race, FIRST), *_gap_table(race), *(table for each in COUNTS for table in _quantity(race, each))]


FLOOR = Column(key="noise", title="Noise floor", unit=PERCENT.strip())
FLOOR_NOTE = (
    f"Noise floor: 95{PERCENT} of the differences between two runs of this measurement, nothing having changed, are "
    "smaller, as far as the scatter of its passes tells. A smaller difference between two runs means nothing."
)


def _times(frames: Frames, race: Race) -> Table:
    columns = [Column(key=size, title=shown(size), unit="ms", better="lower") for size in race.sizes]
    rows = [_time_row(race, label) for label in race.labels]
    how = "Measured with " + ", ".join(f"{k} {v}" for k, v in described(frames.protocols[race.comparable])) + "."
    notes = [FLOOR_NOTE, _clock_note(race), how]
    caption = f"{race.title}: time of {race.subject}"
    return make_table(caption, [*columns, FLOOR], rows, notes=notes, protocol=race.comparable)


def _time_row(race: Race, label: str) -> Row:
    entries = {size: _time_entry(race, label, size) for size in race.sizes}
    return Row(head=label, entries=entries | {FLOOR.key: _floor_entry(race.noise(label))})


def _time_entry(race: Race, label: str, size: str) -> Entry:
    median = race.median(label, size)
    if median is None:
        return missing(race.missing.get((label, size), "not measured"))
    samples = np.asarray(race.samples[label, size])
    within = bounds(median_interval(samples), MILLI)
    note = f"{len(samples)} samples in {len(race.medians(label, size))} passes; 95{PERCENT} interval {within} ms"
    return scaled(median, MILLI, ranked=label != CONTROL_LABEL, note=note)


def _clock_note(race: Race) -> str:
    """The largest share of a sample that the clock, hooks included, takes for itself."""
    shares = [
        taken / median
        for (metric, label, size), taken in race.once.items()
        if metric == "race_clock_s" and (median := race.median(label, size))
    ]
    if not shares:
        return "What the clock takes for itself is not known."
    doubt = " That is more than it should be." if max(shares) > MOST_OF_CLOCK else ""
    return f"The clock takes at most {significant(100 * max(shares), 2)}{PERCENT} of what it times.{doubt}"


def _ratio_table(race: Race) -> Iterator[Table]:
    if race.reference is None:
        return
    columns = [Column(key=size, title=shown(size), better="lower") for size in race.sizes]
    rows = [_ratio_row(race, label) for label in race.labels]
    note = f"Medians of ratios of samples of the same round, with 95{PERCENT} intervals; below 1 is faster."
    caption = f"{race.title}: time as a multiple of {race.reference}"
    yield make_table(caption, [*columns, FLOOR], rows, notes=[note], protocol=race.comparable)


def _ratio_row(race: Race, label: str) -> Row:
    entries = {size: _ratio_entry(race, label, size) for size in race.sizes}
    noise = None if label == race.reference else race.ratio_noise(label)
    return Row(head=label, entries=entries | {FLOOR.key: _floor_entry(noise)})


def _floor_entry(noise: float | None) -> Entry:
    return missing("no two passes") if noise is None else scaled(noise, 0.01, ranked=False)


def _ratio_entry(race: Race, label: str, size: str) -> Entry:
    found = race.ratio(label, size)
    if label == race.reference or found is None:
        return missing("the reference itself" if label == race.reference else "no samples side by side")
    ratio, interval = found
    told = f" ({bounds(interval)})" if interval else ""
    return Entry(text=significant(ratio) + told, value=ratio)


def _inside_table(race: Race) -> Iterator[Table]:
    """Attention's part of networks, measured in two ways."""
    labels = [label for label in race.labels if any((label, size) in race.inside for size in race.sizes)]
    if not labels:
        return
    columns = [Column(key=size, title=shown(size), unit="ms", better="lower") for size in race.sizes]
    rows = [row for label in labels for row in (_inside_row(race, label), _saved_row(race, label))]
    note = "Inside: between hooks. Saved: how much less the network takes when its attentions hand on what they get."
    caption = f"{race.title}: time of attention, measured in two ways"
    yield make_table(caption, columns, rows, notes=[note], protocol=race.comparable)


def _inside_row(race: Race, label: str) -> Row:
    entries = {size: _inside_entry(race, (label, size)) for size in race.sizes}
    return Row(head=f"{label}: {INSIDE_ROW}", entries=entries)


def _inside_entry(race: Race, place: Where) -> Entry:
    inside, whole = race.inside.get(place), race.median(*place)
    if inside is None or not whole:
        return missing(race.missing.get(place, "not measured"))
    median = float(np.median(inside))
    return scaled(median, MILLI, ranked=False, note=f"{fixed(100 * median / whole, 1)}{PERCENT} of the network")


def _saved_row(race: Race, label: str) -> Row:
    entries = {size: _saved_entry(race, (label, size)) for size in race.sizes}
    return Row(head=f"{label}: {SAVED_ROW}", note=_apart(race, label), entries=entries)


def _saved_entry(race: Race, place: Where) -> Entry:
    saved = race.saved(*place)
    if not len(saved):
        return missing(race.missing.get(place, "no samples side by side"))
    within = bounds(median_interval(saved), MILLI)
    return scaled(float(np.median(saved)), MILLI, ranked=False, note=f"95{PERCENT} interval {within} ms")


def _apart(race: Race, label: str) -> str:
    """Where both ways differ by more than `AGREE` and by more than the interval of what is saved."""
    doubted = [shown(size) for size in race.sizes if _differ(race, (label, size))]
    return f"more than {AGREE:.0%} from what was measured inside at {', '.join(doubted)}" if doubted else ""


def _differ(race: Race, place: Where) -> bool:
    inside, saved = race.inside.get(place), race.saved(*place)
    within = median_interval(saved) if len(saved) else None
    if inside is None or within is None:
        return False
    median = float(np.median(inside))
    return not within.low <= median <= within.high and abs(float(np.median(saved)) - median) > AGREE * median


def _gap_table(race: Race) -> Iterator[Table]:
    """What is left of a sample when the time in kernels is taken away: Python, dispatch, launches."""
    known = {(label, size) for metric, label, size in race.once if metric == "race_kernel_s"}
    if known:
        columns = [Column(key=size, title=shown(size), unit=PERCENT.strip(), better="lower") for size in race.sizes]
        note = "Kernels are timed in a pass of its own, on a CPU its operations, by a profiler that takes time itself."
        caption = f"{race.title}: share of the time outside kernels"
        yield _by_size(race, caption, columns, _gap_entry, [note])


def _gap_entry(race: Race, place: Where) -> Entry:
    kernels, median = race.once.get(("race_kernel_s", *place)), race.median(*place)
    if kernels is None or not median:
        return missing(race.missing.get(place, "not profiled: a call takes too long"))
    note = f"{significant(kernels / MILLI)} ms in kernels"
    return scaled(max(0.0, 1.0 - kernels / median), 0.01, ranked=False, note=note)


def _quantity(race: Race, of: Quantity) -> Iterator[Table]:
    if any(metric == of.metric for metric, _, _ in (*race.counted, *race.once)):
        columns = [Column(key=size, title=shown(size), unit=of.unit, better="lower") for size in race.sizes]
        values = {**race.counted, **race.once}

        def entry(_: Race, place: Where) -> Entry:
            return scaled(values.get((of.metric, *place)), of.scale, ranked=of in COUNTS)

        yield _by_size(race, f"{race.title}: {of.title} of {race.subject}", columns, entry, [])


def _by_size(
    race: Race, caption: str, columns: list[Column], entry: Callable[[Race, Where], Entry], notes: list[str]
) -> Table:
    labels = [label for label in race.labels if label != CONTROL_LABEL]
    rows = [Row(head=label, entries={size: entry(race, (label, size)) for size in race.sizes}) for label in labels]
    return make_table(caption, columns, rows, notes=notes, protocol=race.comparable)
