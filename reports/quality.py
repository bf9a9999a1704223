"""Scores on one data set: means over images, then over hash draws, then over seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from reports.cost import Cost, common_size
from reports.frames import BASELINE, Frames
from reports.stats import Interval, mean_interval
from reports.tables import TIMES

SCORES = ("psnr_y", "ssim_y", "psnr_y_rounded", "psnr_rgb_div2k", "lpips", "dists")
GROUP = ["scale", "dataset", "comparable"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quality:
    """What was scored on one data set at one scale under one protocol.

    `scores` has a row per label: mean and spread over seeds of each metric, spread over hash draws, and how many
    seeds and images went in. `images` is PSNR-Y by image (rows) and label (columns), `by_seed` by image and
    (label, training seed), both means over hash draws.
    """

    scale: int
    dataset: str
    comparable: str
    variant: str
    tiling: str
    precision: str
    labels: tuple[str, ...]
    scores: pd.DataFrame
    images: pd.DataFrame
    by_seed: pd.DataFrame
    baseline: str | None

    @property
    def title(self) -> str:
        """Data set and scale in words, and the degradation and self-ensemble where they are not the usual ones."""
        return f"{self.dataset} {TIMES}{self.scale}{self.variant}"

    @property
    def ranking(self) -> tuple[str, ...]:
        """The networks that were scored on every image, best first; the baseline is none."""
        complete = [label for label in self.labels if self.complete(label) and label != self.baseline]
        return tuple(sorted(complete, key=lambda label: self.score(label, "psnr_y"), reverse=True))

    def complete(self, label: str) -> bool:
        """Whether `label` was scored on every image that any method was scored on."""
        return label in self.labels and 0 < round(self.score(label, "images")) == len(self.images)

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
    by_seed = psnr.pivot_table(index="image", columns=["label", "seed"], values="value")
    labels = [label for label in frames.labels if label in present]
    return Quality(
        scale=int(first["scale"]),
        dataset=str(first["dataset"]),
        comparable=str(first["comparable"]),
        variant=_variant(frames.protocols[str(first["comparable"])]),
        tiling=str(first["tiling"]),
        precision=str(first["precision"]),
        labels=tuple(labels),
        scores=scores.loc[tuple(first[GROUP])].loc[labels],
        images=by_seed.T.groupby(level="label").mean().T.reindex(columns=labels),
        by_seed=by_seed,
        baseline=None if baselines.empty else str(baselines.iloc[0]),
    )


def _variant(protocol: Mapping[str, Any]) -> str:
    degradation = str(protocol.get("degradation", "bicubic"))
    told = [degradation] if degradation != "bicubic" else []
    return "".join(f", {word}" for word in (*told, *(["self-ensemble"] if protocol.get("self_ensemble") else [])))


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


def reference(quality: Quality, costs: list[Cost]) -> tuple[Cost | None, str | None]:
    """The costs that go beside `quality`: same scale, same precision where there is one, most methods; and the size."""
    fitting = [cost for cost in costs if cost.scale == quality.scale]
    fitting.sort(key=lambda cost: (cost.precision == quality.precision, len(cost.labels)), reverse=True)
    return (fitting[0], common_size(fitting[0])) if fitting else (None, None)
