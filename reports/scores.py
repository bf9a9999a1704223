"""The table of scores of one data set: cost, scores, gain over the baseline, distance to the best network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import pandas as pd

from harness.records import METRICS
from reports.cost import Cost
from reports.failures import why_missing
from reports.frames import BASELINE, Frames
from reports.pair_tables import against_best
from reports.pairs import Pairs
from reports.quality import SCORES, Quality, reference
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
    number,
    scaled,
    shown,
    signed,
)

COLUMNS = (
    Column(key="parameters", title="Parameters", unit="M", better=METRICS["parameters"].better),
    Column(key="macs", title="MACs", unit="G", better=METRICS["macs"].better),
    Column(key="forward_s", title="Forward", unit="ms", better=METRICS["forward_s"].better),
    Column(key="psnr_y", title="PSNR-Y", unit="dB", better=METRICS["psnr_y"].better),
    Column(key="ssim_y", title="SSIM-Y", better=METRICS["ssim_y"].better),
    Column(key="psnr_y_rounded", title="PSNR, Y rounded", unit="dB", better=METRICS["psnr_y_rounded"].better),
    Column(key="psnr_rgb_div2k", title=METRICS["psnr_rgb_div2k"].title, unit="dB", better="higher"),
    Column(key="lpips", title="LPIPS", better=METRICS["lpips"].better),
    Column(key="dists", title="DISTS", better=METRICS["dists"].better),
    Column(key="gain", title="Gain over bicubic", unit="dB", better="higher"),
    Column(key="interval", title=f"95{PERCENT} interval of gain", unit="dB"),
    Column(key="behind", title="Against the best", unit="dB"),
    Column(key="draws", title="Spread over hash draws", unit="dB"),
)
UNITS = {"parameters": 1e6, "macs": 1e9, "forward_s": 1e-3}


def quality_table(frames: Frames, quality: Quality, costs: list[Cost], pairs: Pairs) -> Table:
    """Every method asked for at this scale, with its cost at the largest size that all of them have."""
    cost, size = reference(quality, costs)
    tasks = frames.tasks[frames.tasks["scale"] == quality.scale]
    rows = [
        _row(label, quality, cost, size, tasks[tasks["label"] == label], pairs)
        for label in frames.labels
        if (tasks["label"] == label).any()
    ]
    notes = [_measured_how(frames.protocols[quality.comparable])]
    if size:
        notes.append(f"MACs and forward time of one image of {shown(size)} low-resolution pixels.")
    caption = f"{quality.title}: tiling {quality.tiling}, precision {quality.precision}"
    return make_table(caption, COLUMNS, rows, notes=notes, protocol=quality.comparable)


def _measured_how(protocol: Mapping[str, object]) -> str:
    return "Measured with " + ", ".join(f"{name} {text}" for name, text in described(protocol)) + "."


def _row(label: str, quality: Quality, cost: Cost | None, size: str | None, tasks: pd.DataFrame, pairs: Pairs) -> Row:
    entries = {key: _cost_entry(label, key, cost, size, tasks) for key in UNITS}
    if label in quality.labels:
        note = _coverage(label, quality, tasks)
        entries |= _score_entries(label, quality) | _gain(label, quality)
        return Row(head=label, note=note, entries=entries | {"behind": against_best(label, pairs)})
    where = {"dataset": quality.dataset, "tiling": quality.tiling, "precision": quality.precision}
    reason = why_missing(tasks, "evaluate", **where)
    absent = {column.key: missing(reason) for column in COLUMNS if column.key not in UNITS}
    return Row(head=label, entries=entries | absent)


def _cost_entry(label: str, key: str, cost: Cost | None, size: str | None, tasks: pd.DataFrame) -> Entry:
    """A cost of a network; the baseline is none, so its cost does not compete."""
    baseline = bool((tasks["method"] == BASELINE).all())
    value = cost.value(label, size, key) if cost is not None and size is not None else None
    if value is None:
        return missing("not a network" if baseline else why_missing(tasks, "profile", size=size))
    return scaled(value, UNITS[key], ranked=not baseline)


def _coverage(label: str, quality: Quality, tasks: pd.DataFrame) -> str:
    """What of this label's figures is not there yet."""
    seeds, asked = round(quality.score(label, "seeds")), tasks["seed"].nunique()
    notes = [f"mean of {seeds} of {asked} seeds"] if seeds < asked else []
    if not quality.complete(label):
        scored = round(quality.score(label, "images"))
        notes.append(f"scored on {scored} of {len(quality.images)} images, so not compared")
    return "; ".join(notes)


def _score_entries(label: str, quality: Quality) -> dict[str, Entry]:
    draws = number(quality.score(label, "psnr_y_draws"), 3, ranked=False, note="one hash draw")
    return {key: _mean_entry(label, quality, key) for key in SCORES} | {"draws": draws}


def _mean_entry(label: str, quality: Quality, key: str) -> Entry:
    digits, spread = METRICS[key].digits, quality.score(label, f"{key}_seeds")
    entry = number(quality.score(label, key), digits, ranked=quality.complete(label))
    if math.isnan(spread) or entry.value is None:
        return entry
    return dataclasses.replace(entry, text=f"{entry.text} ± {fixed(spread, digits)}")


def _gain(label: str, quality: Quality) -> dict[str, Entry]:
    reason = _no_gain(label, quality)
    if reason or quality.baseline is None:
        return dict.fromkeys(("gain", "interval"), missing(reason))
    gain, interval = quality.difference(label, quality.baseline)
    held = Entry(text=bounds(interval, digits=2), value=interval.low) if interval else missing("fewer than 3 images")
    return {"gain": Entry(text=signed(gain), value=gain, ranked=True), "interval": held}


def _no_gain(label: str, quality: Quality) -> str:
    """Why there is no gain over the baseline; empty where there is one."""
    if quality.baseline is None:
        return "bicubic was not scored under this protocol"
    if label == quality.baseline:
        return "the baseline itself"
    if not (quality.complete(label) and quality.complete(quality.baseline)):
        return "not scored on the same images"
    return "both are infinite" if math.isnan(quality.difference(label, quality.baseline)[0]) else ""
