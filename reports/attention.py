"""Whom attention attends to: its entropy and its recall of exact attention by method and size, and maps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.records import METRICS
from reports.crops import Strip, maps
from reports.frames import Frames, positions
from reports.tables import TIMES, Column, Entry, Row, Table, described, fixed, make_table, missing, number, shown

FIGURES = ("attention_entropy", "recall_top", "recall_mass")


def attention_tables(frames: Frames) -> list[Table]:
    """A table per figure, scale and data set: methods by size, means over queries, layers, images and seeds."""
    records = frames.measured(*FIGURES)
    how = {key: _how(protocol) for key, protocol in frames.protocols.items()}
    records = records.assign(how=records["comparable"].map(how))
    groups = records.groupby(["scale", "dataset", "how"], sort=False)
    return [_table(frames, group, metric) for _, group in groups for metric in FIGURES]


def attention_maps(frames: Frames) -> list[Strip]:
    """The map of one query under every method, side by side."""
    return maps(frames, "attention", "whom one position (blue) attends to (orange)", pixelated=True)


def _how(protocol: Mapping[str, Any]) -> str:
    """All of a protocol but the size, which has columns of its own."""
    return ", ".join(f"{name} {text}" for name, text in described(protocol) if name != "size")


def _table(frames: Frames, group: pd.DataFrame, metric: str) -> Table:
    first, kind = group.iloc[0], METRICS[metric]
    values = group[group["metric"] == metric].pivot_table(index="label", columns="size", values="value")
    sizes = sorted(map(str, values.columns), key=positions)
    columns = [Column(key=size, title=shown(size), unit=kind.unit, better=kind.better) for size in sizes]
    rows = [
        Row(head=label, entries={size: _entry(values, label, size, kind.digits) for size in sizes})
        for label in frames.labels
        if label in values.index
    ]
    caption = f"{first['dataset']} {TIMES}{first['scale']}: {kind.title[0].lower()}{kind.title[1:]}"
    notes = [_note(frames, group, metric, sizes), f"Measured with {first['how']}."]
    return make_table(caption, columns, rows, notes=notes)


def _entry(values: pd.DataFrame, label: str, size: str, digits: int) -> Entry:
    value = float(values.loc[label, size])  # type: ignore[arg-type]
    return missing("not measured") if math.isnan(value) else number(value, digits)


def _note(frames: Frames, group: pd.DataFrame, metric: str, sizes: list[str]) -> str:
    if metric == "attention_entropy":
        most = ", ".join(f"{fixed(math.log2(positions(size)), 2)} bit at {shown(size)}" for size in sizes)
        return f"Attention to every position alike would have {most}."
    protocol = dict(described(frames.protocols[str(group.iloc[0]["comparable"])]))
    if metric == "recall_top":
        return f"Of the {protocol['top']} keys with the largest dot product with a query, the share it may attend to."
    return "What softmax over all dot products gives to the keys that the query may attend to."
