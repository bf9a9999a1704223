"""Scores on one data set: means over images, then over hash draws, then over seeds; and the table of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness.records import METRICS
from reports.cost import Cost, common_size
from reports.failures import why_missing
from reports.frames import BASELINE, Frames
from reports.stats import Interval, mean_interval
from reports.tables import (
    PERCENT,
    TIMES,
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

SCORES = ("psnr_y", "ssim_y")
GROUP = ["scale", "dataset", "comparable"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quality:
    """What was scored on one data set at one scale under one protocol.

    `scores` has a row per label: mean and spread over seeds of each metric, spread over hash draws, and how many
    seeds and images went in. `images` is PSNR-Y by image (rows) and label (columns).
    """

    scale: int
    dataset: str
    comparable: str
    tiling: str
    precision: str
    labels: tuple[str, ...]
    scores: pd.DataFrame
    images: pd.DataFrame
    baseline: str | None

    @property
    def title(self) -> str:
        """Data set and scale in words."""
        return f"{self.dataset} {TIMES}{self.scale}"

    def complete(self, label: str) -> bool:
        """Whether `label` was scored on every image that any method was scored on."""
        return label in self.labels and round(self.score(label, "images")) == len(self.images)

    def score(self, label: str, column: str) -> float:
        """One figure of `scores`."""
        value: Any = self.scores.loc[label, column]
        return float(value)

    def difference(self, label: str, other: str) -> tuple[float, Interval | None]:
        """Mean PSNR-Y of `label` minus that of `other`, paired by image, with its interval over images."""
        first, second = self.images[label].to_numpy(float), self.images[other].to_numpy(float)
        with np.errstate(invalid="ignore"):
            differences = first - second
        return float(differences.mean()), mean_interval(differences)


def qualities(frames: Frames) -> list[Quality]:
    """One for each scale, data set and comparable protocol, in the order in which the run asked for them."""
    records = frames.measured(*SCORES)
    records = records.assign(hash_seed=records["hash_seed"].fillna(0))
    subject = [*GROUP, "label", "seed", "hash_seed", "image"]
    values = records.pivot_table(index=subject, columns="metric", values="value").reindex(columns=list(SCORES))
    scores = _scores(values)
    return [_quality(frames, group, scores) for _, group in records.groupby(GROUP, sort=False)]


def _quality(frames: Frames, group: pd.DataFrame, scores: pd.DataFrame) -> Quality:
    first, present = group.iloc[0], set(group["label"])
    baselines = group.loc[group["method"] == BASELINE, "label"]
    psnr = group[group["metric"] == "psnr_y"]
    labels = [label for label in frames.labels if label in present]
    return Quality(
        scale=int(first["scale"]),
        dataset=str(first["dataset"]),
        comparable=str(first["comparable"]),
        tiling=str(first["tiling"]),
        precision=str(first["precision"]),
        labels=tuple(labels),
        scores=scores.loc[tuple(first[GROUP])].loc[labels],
        images=psnr.pivot_table(index="image", columns="label", values="value").reindex(columns=labels),
        baseline=None if baselines.empty else str(baselines.iloc[0]),
    )


def _scores(values: pd.DataFrame) -> pd.DataFrame:
    """A row per group and label: each metric, `_seeds` and `_draws` for its spreads; `seeds`, `images`."""
    by_label, by_seed = [*GROUP, "label"], [*GROUP, "label", "seed"]
    over_images = values.groupby([*by_seed, "hash_seed"])
    means = over_images.mean()
    over_draws = means.groupby(by_seed).mean()
    images = over_images["psnr_y"].count().groupby(by_label).min().rename("images")
    seeds = over_draws.groupby(by_label).size().rename("seeds")
    draws = _spread(means, by_seed).groupby(by_label).mean().add_suffix("_draws")
    spread = _spread(over_draws, by_label).add_suffix("_seeds")
    return pd.concat([over_draws.groupby(by_label).mean(), spread, draws, images, seeds], axis=1)


def _spread(values: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Sample standard deviation; infinite values have none."""
    return values.where(np.isfinite(values)).groupby(by).std()


COLUMNS = (
    Column(key="parameters", title="Parameters", unit="M", better=METRICS["parameters"].better),
    Column(key="macs", title="MACs", unit="G", better=METRICS["macs"].better),
    Column(key="forward_s", title="Forward", unit="ms", better=METRICS["forward_s"].better),
    Column(key="psnr_y", title="PSNR-Y", unit="dB", better=METRICS["psnr_y"].better),
    Column(key="ssim_y", title="SSIM-Y", better=METRICS["ssim_y"].better),
    Column(key="gain", title="Gain over bicubic", unit="dB", better="higher"),
    Column(key="interval", title=f"95{PERCENT} interval of gain", unit="dB"),
    Column(key="draws", title="Spread over hash draws", unit="dB"),
)
UNITS = {"parameters": 1e6, "macs": 1e9, "forward_s": 1e-3}


def quality_table(frames: Frames, quality: Quality, costs: list[Cost]) -> Table:
    """Every method asked for at this scale, with its cost at the largest size that all of them have."""
    cost, size = reference(quality, costs)
    tasks = frames.tasks[frames.tasks["scale"] == quality.scale]
    rows = [
        _row(label, quality, cost, size, tasks[tasks["label"] == label])
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


def reference(quality: Quality, costs: list[Cost]) -> tuple[Cost | None, str | None]:
    """The costs that go beside `quality`: same scale, same precision where there is one, most methods; and the size."""
    fitting = [cost for cost in costs if cost.scale == quality.scale]
    fitting.sort(key=lambda cost: (cost.precision == quality.precision, len(cost.labels)), reverse=True)
    return (fitting[0], common_size(fitting[0])) if fitting else (None, None)


def _row(label: str, quality: Quality, cost: Cost | None, size: str | None, tasks: pd.DataFrame) -> Row:
    entries = {key: _cost_entry(label, key, cost, size, tasks) for key in UNITS}
    if label in quality.labels:
        note = _coverage(label, quality, tasks)
        return Row(head=label, note=note, entries=entries | _score_entries(label, quality) | _gain(label, quality))
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
