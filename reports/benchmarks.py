"""Imported benchmarks: medians with intervals, by group."""

from __future__ import annotations

import pandas as pd

from reports.frames import Frames
from reports.stats import median_interval
from reports.tables import PERCENT, Column, Entry, Row, Table, bounds, make_table, missing, number, scaled

MILLI = 1e-3
COLUMNS = (
    Column(key="median", title="Median", unit="ms", better="lower"),
    Column(key="interval", title=f"95{PERCENT} interval", unit="ms"),
    Column(key="least", title="Minimum", unit="ms"),
    Column(key="samples", title="Samples"),
)


def benchmark_tables(frames: Frames) -> list[Table]:
    """A table for each group, that without a name last."""
    records = frames.measured("benchmark_s")
    groups = {cell: spec.get("group") or "" for cell, spec in _specs(frames).items()}
    grouped = records.assign(group=records["cell_id"].map(groups)).groupby("group", sort=True)
    found = [(str(group), _table(str(group), each)) for group, each in grouped]
    return [table for _, table in sorted(found, key=lambda pair: pair[0] == "")]


def _specs(frames: Frames) -> dict[str, dict[str, object]]:
    tasks = frames.asked("benchmark").drop_duplicates("cell_id")
    return dict(zip(tasks["cell_id"], tasks["cell_spec"], strict=True))


def _table(group: str, records: pd.DataFrame) -> Table:
    rows = [_row(str(label), each) for label, each in records.groupby("label", sort=False)]
    return make_table(group or "Benchmarks", COLUMNS, rows, head="Benchmark")


def _row(label: str, records: pd.DataFrame) -> Row:
    samples = records["value"].to_numpy(float)
    interval = median_interval(samples)
    told = Entry(text=bounds(interval, MILLI), value=interval.low) if interval else missing("too few samples")
    return Row(
        head=label,
        entries={
            "median": scaled(float(records["value"].median()), MILLI),
            "interval": told,
            "least": scaled(float(samples.min()), MILLI, ranked=False),
            "samples": number(float(len(samples)), 0, ranked=False),
        },
    )
