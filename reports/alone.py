"""Attentions alone, timed in turn: medians by size, noise floor, and ratios of samples taken side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from reports.cost import Cost
from reports.frames import Frames, positions
from reports.noise import floor
from reports.stats import Floats, Interval, median_interval
from reports.tables import (
    PERCENT,
    Column,
    Entry,
    Row,
    Table,
    bounds,
    described,
    make_table,
    missing,
    scaled,
    shown,
    significant,
)

TIME, CONTROL = "alone_s", "control"
TIME_INSIDE = "attention_s"
PLAIN = "plain"


class Count(NamedTuple):
    """A counted figure: its title, its unit, and what it is called inside a network."""

    title: str
    unit: str
    scale: float
    inside: str


COUNTED = {
    "alone_macs": Count("MACs", "G", 1e9, "attention_macs"),
    "alone_peak_bytes": Count("peak memory of activations", "MB", 1e6, "peak_bytes"),
}
GROUP = ["comparable", "machine_id"]
CONTROL_LABEL = "1×1 convolution (control)"  # noqa: RUF001 - the sign that is printed
MILLI = 1e-3
LEAST_CLOCK = 0.01
"""Share of what is timed that the clock may take for itself."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alone:
    """What ran in turn under one protocol on one machine.

    `samples` by label and size, indexed by pass and round; `counted` by metric, label and size; `missing` says by label
    and size why there is no time; `references` are dense attention, plain and fused, where they ran.
    """

    way: str
    comparable: str
    labels: tuple[str, ...]
    sizes: tuple[str, ...]
    samples: Mapping[tuple[str, str], pd.Series[float]]
    counted: Mapping[tuple[str, str, str], float]
    missing: Mapping[tuple[str, str], str]
    clock_s: float
    references: Mapping[str, str]
    machine: str
    precision: str

    @property
    def title(self) -> str:
        """How they ran."""
        return f"{self.way}, precision {self.precision}"

    @property
    def reference(self) -> str | None:
        """What ratios are taken to."""
        return self.references.get(PLAIN)

    @property
    def cost(self) -> Cost:
        """The same as costs of networks are held, so that growth and crossovers are found in the same way."""
        sampled = {(TIME_INSIDE, label, size): _floats(s) for (label, size), s in self.samples.items()}
        rows = {(label, size): {TIME_INSIDE: self.median(label, size)} for label, size in self.samples}
        for (metric, label, size), value in self.counted.items():
            rows.setdefault((label, size), {})[COUNTED[metric].inside] = value
        figures = pd.DataFrame.from_dict(rows, orient="index", dtype=float)
        figures.index = pd.MultiIndex.from_tuples(list(rows), names=["label", "size"])
        return Cost(
            scale=0,
            precision=self.precision,
            comparable=self.comparable,
            machine=self.machine,
            figures=figures,
            samples=sampled,
            alone=self.way,
        )

    def medians(self, label: str, size: str) -> Floats:
        """The median of each pass."""
        found = self.samples.get((label, size))
        return np.zeros(0) if found is None else _floats(found.groupby(level="pass").median())

    def median(self, label: str, size: str) -> float | None:
        """The median over passes of their medians."""
        medians = self.medians(label, size)
        return float(np.median(medians)) if len(medians) else None

    def noise(self, label: str) -> float | None:
        """The noise floor of one attention, pooled over sizes."""
        return floor(self.medians(label, size) for size in self.sizes)

    def pairs(self, label: str, size: str) -> pd.Series[float]:
        """Each sample over the reference's of the same pass and round, by these."""
        own, other = self.samples.get((label, size)), self.samples.get((self.reference or "", size))
        return pd.Series(dtype=float) if own is None or other is None else (own / other).dropna()

    def ratio(self, label: str, size: str) -> tuple[float, Interval | None] | None:
        """How many times as long as the reference: the median of `pairs`, with its interval."""
        pairs = _floats(self.pairs(label, size))
        return (float(np.median(pairs)), median_interval(pairs)) if len(pairs) else None

    def ratios(self, label: str, size: str) -> Floats:
        """The median of `pairs` in each pass."""
        pairs = self.pairs(label, size)
        return _floats(pairs.groupby(level="pass").median()) if len(pairs) else np.zeros(0)

    def ratio_noise(self, label: str) -> float | None:
        """The noise floor of ratios: what slows all attentions alike is not in it."""
        return floor(self.ratios(label, size) for size in self.sizes)


def races(frames: Frames) -> list[Alone]:
    """One for each protocol and machine, in the order in which the run asked for them."""
    records = frames.records[frames.records["metric"].str.startswith("alone_")]
    return [_race(frames, group) for _, group in records.groupby(GROUP, sort=False)]


def alone_tables(frames: Frames, race: Alone) -> list[Table]:
    """Time, ratio to the reference, and what was counted, by method and size."""
    columns = [Column(key=size, title=shown(size), unit="ms", better="lower") for size in race.sizes]
    rows = [_time_row(race, label) for label in race.labels]
    how = "Measured with " + ", ".join(f"{k} {v}" for k, v in described(frames.protocols[race.comparable])) + "."
    notes = [FLOOR_NOTE, _clock_note(race), how]
    shared = {"protocol": race.comparable}
    tables = [make_table(f"{race.title}: time of one attention", [*columns, FLOOR], rows, notes=notes, **shared)]
    return [*tables, *_ratio_table(race), *_counted_tables(race)]


FLOOR = Column(key="noise", title="Noise floor", unit=PERCENT.strip())
FLOOR_NOTE = (
    f"Noise floor: 95{PERCENT} of the differences between two runs of this measurement, nothing having changed, are "
    "smaller, as far as the scatter of its passes tells. A smaller difference between two runs means nothing."
)


def _race(frames: Frames, group: pd.DataFrame) -> Alone:
    named = _names(group["cell_id"].drop_duplicates(), frames.tasks)
    timed = group[group["module"].isin(named)].assign(label=group["module"].map(named))
    done = timed[timed["value"].notna()]
    samples = {
        (str(label), str(size)): each.set_index(["seed", "repeat"])["value"].rename_axis(["pass", "round"])
        for (label, size), each in done[done["metric"] == TIME].groupby(["label", "size"], sort=False)
    }
    counted = done[done["metric"].isin(COUNTED)].groupby(["metric", "label", "size"], sort=False)["value"].first()
    failed = timed[timed["value"].isna()]
    protocol = frames.protocols[str(group.iloc[0]["comparable"])]
    clock = frames.measured("clock_s")
    return Alone(
        way=f"{protocol['mode']}, batch {protocol['batch']}",
        comparable=str(group.iloc[0]["comparable"]),
        labels=tuple(dict.fromkeys(named.values())),
        sizes=tuple(sorted(map(str, group["size"].dropna().unique()), key=positions)),
        samples=samples,
        counted={(r.metric, r.label, r.size): r.value for r in _rows(counted.reset_index())},
        missing={(r.label, r.size): r.reason for r in _rows(failed)},
        clock_s=float(clock.loc[clock["comparable"] == group.iloc[0]["comparable"], "value"].median()),
        references=_references(group, frames.tasks),
        machine=str(group.iloc[0]["machine_id"]),
        precision=str(protocol["precision"]),
    )


def _floats(values: pd.Series[float]) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _rows(table: pd.DataFrame) -> Any:
    """Rows by the names of their columns."""
    return table.itertuples(index=False)


def _names(cells: pd.Series[str], tasks: pd.DataFrame) -> dict[str, str]:
    """The label of each contender's key, the control last."""
    specs = tasks[tasks["cell_id"].isin(cells)].drop_duplicates("cell_id")["cell_spec"]
    told = {key: str(spec["contenders"][key]["label"]) for spec in specs for key in spec["order"]}
    return told | {CONTROL: CONTROL_LABEL}


def _references(group: pd.DataFrame, tasks: pd.DataFrame) -> dict[str, str]:
    """The labels of dense attention by how it is computed."""
    specs = tasks[tasks["cell_id"].isin(group["cell_id"])].drop_duplicates("cell_id")["cell_spec"]
    told = [each for spec in specs for each in spec["contenders"].values()]
    dense = [each for each in told if each["settings"].get("weighting") == "softmax"]
    return {str(each["settings"]["backend"]): str(each["label"]) for each in dense}


def _time_row(race: Alone, label: str) -> Row:
    entries = {size: _time_entry(race, label, size) for size in race.sizes}
    return Row(head=label, entries=entries | {FLOOR.key: _floor_entry(race.noise(label))})


def _time_entry(race: Alone, label: str, size: str) -> Entry:
    median = race.median(label, size)
    if median is None:
        return missing(race.missing.get((label, size), "not measured"))
    samples = _floats(race.samples[label, size])
    within = bounds(median_interval(samples), MILLI)
    note = f"{len(samples)} samples in {len(race.medians(label, size))} passes; 95{PERCENT} interval {within} ms"
    return scaled(median, MILLI, ranked=label != CONTROL_LABEL, note=note)


def _clock_note(race: Alone) -> str:
    medians = [m for label in race.labels for size in race.sizes if (m := race.median(label, size))]
    if not medians:
        return "Nothing was timed."
    share = race.clock_s / min(medians)
    doubt = " That is more than it should be." if share > LEAST_CLOCK else ""
    told = f"{significant(race.clock_s * 1e6, 2)} µs a sample, {significant(100 * share, 2)}{PERCENT} of the shortest"
    return f"The clock takes {told}.{doubt}"


def _ratio_table(race: Alone) -> Iterator[Table]:
    if race.reference is None:
        return
    columns = [Column(key=size, title=shown(size), better="lower") for size in race.sizes]
    rows = [_ratio_row(race, label) for label in race.labels]
    note = f"Medians of ratios of samples of the same round, with 95{PERCENT} intervals; below 1 is faster."
    caption = f"{race.title}: time as a multiple of {race.reference}"
    yield make_table(caption, [*columns, FLOOR], rows, notes=[note], protocol=race.comparable)


def _ratio_row(race: Alone, label: str) -> Row:
    entries = {size: _ratio_entry(race, label, size) for size in race.sizes}
    noise = None if label == race.reference else race.ratio_noise(label)
    return Row(head=label, entries=entries | {FLOOR.key: _floor_entry(noise)})


def _floor_entry(noise: float | None) -> Entry:
    return missing("no two passes") if noise is None else scaled(noise, 0.01, ranked=False)


def _ratio_entry(race: Alone, label: str, size: str) -> Entry:
    found = race.ratio(label, size)
    if label == race.reference or found is None:
        return missing("the reference itself" if label == race.reference else "no samples side by side")
    ratio, interval = found
    told = f" ({bounds(interval)})" if interval else ""
    return Entry(text=significant(ratio) + told, value=ratio)


def _counted_tables(race: Alone) -> Iterator[Table]:
    for metric, count in COUNTED.items():
        if not any(counted == metric for counted, _, _ in race.counted):
            continue
        columns = [Column(key=size, title=shown(size), unit=count.unit, better="lower") for size in race.sizes]
        labels = [label for label in race.labels if label != CONTROL_LABEL]
        rows = [
            Row(head=label, entries={s: scaled(race.counted.get((metric, label, s)), count.scale) for s in race.sizes})
            for label in labels
        ]
        yield make_table(f"{race.title}: {count.title} of one attention", columns, rows, protocol=race.comparable)
