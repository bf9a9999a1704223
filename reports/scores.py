"""The table of scores of one data set: cost, scores, gain over the baseline, distance to the best network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.records import METRICS
from reports.cost import Cost
from reports.failures import why_missing
from reports.frames import BASELINE, Frames
from reports.pair_tables import against_best
from reports.pairs import Pairs
from reports.quality import SCORES, Beside, Quality, beside
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
Tasks = Sequence[Mapping[str, Any]]
"""The tasks of one label."""
TIMED = "forward_s"
UNITS = {"parameters": 1e6, "macs": 1e9, "forward_s": 1e-3}


def quality_table(frames: Frames, quality: Quality, costs: list[Cost], pairs: Pairs) -> Table:
    """Every method asked for at this scale, with its cost at the largest size that all of them have."""
    found = beside(quality, costs)
    columns = [each for column in COLUMNS for each in _by_machine(column, found)]
    asked = {label: frames.of_label(label, quality.scale) for label in frames.labels}
    rows = [_row(label, quality, found, tasks, pairs) for label, tasks in asked.items() if tasks]
    notes = [_measured_how(frames.protocols[quality.comparable])]
    if found:
        where = f", on {found.costs[0].machine_name}" if len(found.costs) == 1 and found.costs[0].machine_name else ""
        notes.append(f"MACs and forward time of one image of {shown(found.size)} low-resolution pixels{where}.")
    caption = f"{quality.subject}: tiling {quality.tiling}, precision {quality.precision}"
    return make_table(caption, columns, rows, notes=notes, protocol=quality.comparable)


def _by_machine(column: Column, found: Beside | None) -> list[Column]:
    """`column`, but one of time for each machine: times of two machines are never ranked together."""
    if column.key != TIMED or found is None or len(found.costs) == 1:
        return [column]
    titles = {_key(cost): f"{column.title}, {cost.machine_name}" for cost in found.costs}
    return [dataclasses.replace(column, key=key, title=title) for key, title in titles.items()]


def _key(cost: Cost) -> str:
    """Of the column of time of one machine, where there are several."""
    return f"{TIMED} {cost.machine}"


def _measured_how(protocol: Mapping[str, object]) -> str:
    return "Measured with " + ", ".join(f"{name} {text}" for name, text in described(protocol)) + "."


def _row(label: str, quality: Quality, found: Beside | None, tasks: Tasks, pairs: Pairs) -> Row:
    entries = _cost_entries(label, found, tasks)
    if quality.scored(label):
        note = _coverage(label, quality, tasks)
        entries |= _score_entries(label, quality) | _gain(label, quality)
        return Row(head=label, note=note, entries=entries | {"behind": against_best(label, pairs)})
    where = {"dataset": quality.dataset, "tiling": quality.tiling, "precision": quality.precision}
    reason = why_missing(tasks, "evaluate", **where)
    absent = {column.key: missing(reason) for column in COLUMNS if column.key not in UNITS}
    return Row(head=label, entries=entries | absent)


def _cost_entries(label: str, found: Beside | None, tasks: Tasks) -> dict[str, Entry]:
    """Costs of a network; times are those of each machine, what is counted is the same on all."""
    if found is None:
        return {key: _cost_entry(None, key, tasks) for key in UNITS}
    entries = {key: _cost_entry(found.counted(label, key), key, tasks, found.size) for key in UNITS if key != TIMED}
    several = len(found.costs) > 1
    for cost in found.costs:
        value, elsewhere = cost.value(label, found.size, TIMED), several and label not in cost.labels
        timed = _cost_entry(value, TIMED, tasks, found.size)
        entries[_key(cost) if several else TIMED] = missing(ELSEWHERE) if elsewhere and _network(tasks) else timed
    return entries


ELSEWHERE = "not profiled on this machine"


def _cost_entry(value: float | None, key: str, tasks: Tasks, size: str | None = None) -> Entry:
    """The baseline is no network, so its cost does not compete."""
    if value is None:
        return missing(why_missing(tasks, "profile", size=size) if _network(tasks) else "not a network")
    return scaled(value, UNITS[key], ranked=_network(tasks))


def _network(tasks: Tasks) -> bool:
    return any(task["method"] != BASELINE for task in tasks)


def _coverage(label: str, quality: Quality, tasks: Tasks) -> str:
    """What of this label's figures is not there yet."""
    seeds, asked = round(quality.score(label, "seeds")), len({task["seed"] for task in tasks})
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
