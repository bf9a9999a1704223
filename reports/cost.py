"""What a forward pass costs at each input size: medians with intervals, shares of attention, and the tables of them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.records import METRICS, executed
from reports.failures import why_missing
from reports.frames import BASELINE, Frames, positions
from reports.machines import machine_names
from reports.stats import Floats, Interval, median_interval
from reports.tables import (
    PERCENT,
    TIMES,
    Column,
    Entry,
    Row,
    Table,
    bounds,
    fixed,
    make_table,
    missing,
    number,
    scaled,
    shown,
)

SAMPLED = ("forward_s", "attention_s")
MEMORY = ("peak_bytes", "peak_bytes_fake", "weight_bytes", "reserved_bytes", "process_bytes", "rss_bytes")
SINGLE = ("parameters", "macs", "macs_fvcore", "attention_macs", "uncounted_elements", "first_forward_s", "converged")
PRODUCTS = "uncounted_products"
GROUP = ["scale", "comparable", "machine_id"]
Tasks = Sequence[Mapping[str, Any]]
"""The tasks of one label."""
COUNTS_AGREE = 0.01
"""Two counts of MACs that differ by more are marked."""
PEAKS_AGREE, PEAKS_AGREE_ON_GPU = 0.05, 0.1
"""So is a counted peak: on a GPU libraries take workspace that no count sees."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What was profiled at one scale under one protocol on one machine.

    `figures` has a row per (label, size): counted figures as they are, medians of sampled ones; `samples` holds those
    by (metric, label, size). `raced` says how, where all ran in turn: networks, or attentions by themselves (scale 0).
    `machine_name` is empty, but where costs of several machines stand on one page; `executed` says how networks ran.
    """

    scale: int
    precision: str
    comparable: str
    machine: str
    figures: pd.DataFrame
    samples: Mapping[tuple[str, str, str], Floats]
    raced: str = ""
    machine_name: str = ""
    executed: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """Of what this is the cost, as the end of a caption."""
        where = f"at {TIMES}{self.scale}" if self.scale else "of attention alone"
        return f"{where}, in turn, {self.raced}" if self.raced else where

    @property
    def short(self) -> str:
        """The same as the end of a figure's title."""
        where = f"{TIMES}{self.scale}" if self.scale else "alone"
        return f"{where}, in turn" if self.scale and self.raced else where

    @property
    def alone(self) -> bool:
        """Whether attentions ran by themselves."""
        return not self.scale

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        """Labels with any figure."""
        return tuple(dict.fromkeys(label for label, _ in self.places))

    @functools.cached_property
    def sizes(self) -> tuple[str, ...]:
        """Sizes with any figure, smallest first."""
        return tuple(sorted(dict.fromkeys(size for _, size in self.places), key=positions))

    @functools.cached_property
    def places(self) -> Mapping[tuple[str, str], Mapping[str, float]]:
        """`figures` by label and size: a page asks for tens of thousands one by one, which pandas is slow at."""
        names = [str(name) for name in self.figures]
        rows = zip(self.figures.index, self.figures.to_numpy(float).tolist(), strict=True)
        return {place: {k: v for k, v in zip(names, row, strict=True) if not math.isnan(v)} for place, row in rows}

    def between(self, low: int, high: int) -> Cost:
        """What is of sizes with `low <= n <= high`."""
        kept = {size for size in self.sizes if low <= positions(size) <= high}
        figures = self.figures[self.figures.index.get_level_values("size").isin(kept)]
        samples = {place: each for place, each in self.samples.items() if place[2] in kept}
        return dataclasses.replace(self, figures=figures, samples=samples)

    def value(self, label: str, size: str, metric: str) -> float | None:
        """One figure, or None."""
        return self.places.get((label, size), {}).get(metric)

    def interval(self, label: str, size: str, metric: str) -> Interval | None:
        """Interval of the median of a sampled metric."""
        samples = self.samples.get((metric, label, size))
        return None if samples is None else median_interval(samples)

    def share(self, label: str, size: str) -> float | None:
        """Share of the forward time that is spent inside attention."""
        attention, forward = self.value(label, size, "attention_s"), self.value(label, size, "forward_s")
        return attention / forward if attention is not None and forward else None


def costs(frames: Frames) -> list[Cost]:
    """One for each scale, protocol and machine, in the order in which the run asked for them."""
    records = frames.measured(*SAMPLED, *MEMORY, *SINGLE, PRODUCTS)
    records = records[records["size"].notna()].drop_duplicates(["attempt_id", "label", "metric", "size", "repeat"])
    names = machine_names(frames) if len(records["machine_id"].unique()) > 1 else {}
    return [_cost(group, names) for _, group in records.groupby(GROUP, sort=False)]


def _cost(group: pd.DataFrame, names: Mapping[str, str]) -> Cost:
    first = group.iloc[0]
    figures = group.pivot_table(index=["label", "size"], columns="metric", values="value", aggfunc="median", sort=False)
    sampled = group[group["metric"].isin(SAMPLED)].groupby(["metric", "label", "size"], sort=False)["value"]
    return Cost(
        scale=int(first["scale"]),
        precision=str(first["precision"]),
        comparable=str(first["comparable"]),
        executed=executed(dict(first)),
        machine=str(first["machine_id"]),
        machine_name=names.get(str(first["machine_id"]), ""),
        figures=figures,
        samples={(str(m), str(k), str(size)): samples.to_numpy(float) for (m, k, size), samples in sampled},
    )


def common_size(cost: Cost, metric: str = "forward_s") -> str | None:
    """The largest of `common_sizes`."""
    return max(common_sizes(cost, metric), key=positions, default=None)


def common_sizes(cost: Cost, metric: str = "forward_s") -> frozenset[str]:
    """The sizes at which every label that has `metric` at all has it."""
    if metric not in cost.figures:
        return frozenset()
    having = cost.figures[metric].dropna().reset_index()
    labels_at = having.groupby("size")["label"].nunique()
    return frozenset(map(str, labels_at[labels_at == having["label"].nunique()].index))


def _column(key: str, title: str, unit: str = "") -> Column:
    return Column(key=key, title=title, unit=unit, better=METRICS[key].better)


COLUMNS = (
    _column("macs", "MACs", "G"),
    _column("attention_macs", "MACs in attention", "G"),
    _column("peak_bytes", "Peak memory", "MB"),
    _column("peak_bytes_fake", "Peak, counted", "MB"),
    _column("weight_bytes", "Weights", "MB"),
    _column("reserved_bytes", "Reserved", "MB"),
    _column("process_bytes", "Process on GPU", "MB"),
    _column("rss_bytes", "Resident", "MB"),
    _column("first_forward_s", "First forward", "ms"),
    _column("forward_s", "Forward, median", "ms"),
    Column(key="interval", title=f"95{PERCENT} interval", unit="ms"),
    Column(key="samples", title="Samples"),
    _column("attention_s", "In attention", "ms"),
    Column(key="share", title="Share of attention", unit="%"),
    Column(key="converged", title="Converged"),
)
UNITS = {"G": 1e9, "MB": 1e6, "ms": 1e-3}


def cost_tables(frames: Frames, cost: Cost) -> list[Table]:
    """A table per input size, smallest first; a method that failed at a size stands there with its reason."""
    asked = {label: _asked(frames, cost, label) for label in frames.labels}
    by_label = {label: tasks for label, tasks in asked.items() if tasks}
    return [_table(cost, size, by_label) for size in cost.sizes]


def _asked(frames: Frames, cost: Cost, label: str) -> Tasks:
    """The profiling that one label was asked for in this way; one that was never begun tells none."""
    tasks = [task for task in frames.of_label(label, cost.scale) if task["kind"] == "profile"]
    way = (cost.precision, cost.executed)
    return [task for task in tasks if pd.isna(task["precision"]) or (task["precision"], executed(task)) == way]


def _table(cost: Cost, size: str, tasks: Mapping[str, Tasks]) -> Table:
    rows = [_row(cost, label, size, asked) for label, asked in tasks.items()]
    n = fixed(positions(size), 0)
    way = ", ".join([f"precision {cost.precision}", *cost.executed])
    caption = f"Cost {cost.subject}, input {shown(size)} (n = {n}), {way}"
    return make_table(caption, COLUMNS, rows, protocol=cost.comparable)


def _row(cost: Cost, label: str, size: str, tasks: Tasks) -> Row:
    if (label, size) not in cost.places:
        reason = why_missing(tasks, "profile", size=size)
        return Row(head=label, note=reason, entries={column.key: missing(reason) for column in COLUMNS})
    ranked = not all(task["method"] == BASELINE for task in tasks)
    entries = {
        column.key: scaled(cost.value(label, size, column.key), UNITS[column.unit], ranked=ranked)
        for column in COLUMNS
        if column.unit in UNITS
    }
    if not cost.value(label, size, "attention_macs"):
        entries["attention_macs"] = missing("no attention")
    return Row(head=label, note=_doubt(cost, label, size), entries=entries | _timing(cost, label, size))


def _timing(cost: Cost, label: str, size: str) -> dict[str, Entry]:
    interval, share = cost.interval(label, size, "forward_s"), cost.share(label, size)
    samples = len(cost.samples.get(("forward_s", label, size), ()))
    text = bounds(interval, UNITS["ms"])
    return {
        "interval": Entry(text=text, value=interval.low) if interval else missing("too few samples"),
        "samples": number(float(samples), 0, ranked=False) if samples else missing("not timed"),
        "share": number(share * 100.0, 1, ranked=False) if share is not None else missing("no attention timed"),
        "converged": _converged(cost.value(label, size, "converged")),
    }


def _converged(value: float | None) -> Entry:
    if value is None:
        return missing("not timed")
    return Entry(text="yes" if value == 1.0 else "no", value=value)


def _doubt(cost: Cost, label: str, size: str) -> str:
    """Why what was counted should not be trusted, if there is reason."""
    return "; ".join(filter(None, (_doubt_of_macs(cost, label, size), _doubt_of_peak(cost, label, size))))


def _doubt_of_macs(cost: Cost, label: str, size: str) -> str:
    if products := cost.value(label, size, PRODUCTS):
        return f"{products:.0f} matrix products have no formula: these MACs are too few"
    macs, second = cost.value(label, size, "macs"), cost.value(label, size, "macs_fvcore")
    if not macs or second is None or abs(second - macs) <= COUNTS_AGREE * macs:
        return ""
    return f"fvcore counts {(second - macs) / macs:+.1%} against these MACs"


def _doubt_of_peak(cost: Cost, label: str, size: str) -> str:
    measured, counted = cost.value(label, size, "peak_bytes"), cost.value(label, size, "peak_bytes_fake")
    on_gpu = cost.value(label, size, "reserved_bytes") is not None
    tolerance = PEAKS_AGREE_ON_GPU if on_gpu else PEAKS_AGREE
    if not measured or counted is None or abs(counted - measured) <= tolerance * measured:
        return ""
    return f"the counted peak is {(counted - measured) / measured:+.0%} from the measured one"
