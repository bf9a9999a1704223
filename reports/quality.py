"""Scores on one data set: means over images, then over hash draws, then over seeds."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reports.cost import Cost, common_sizes
from reports.frames import BASELINE, Frames, positions
from reports.significance import paired_interval
from reports.stats import Interval
from reports.tables import TIMES

SCORES = ("psnr_y", "ssim_y", "psnr_y_rounded", "psnr_rgb_div2k", "lpips", "dists")
GROUP = ["scale", "dataset", "comparable"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quality:
    """What was scored on one data set at one scale under one protocol.

    `scores` has a row per label: mean and spread over seeds of each metric, spread over hash draws, and how many
    seeds and images went in. `images` is PSNR-Y by image (rows) and label (columns), `by_seed` by image and
    (label, training seed), both means over hash draws; `by_draw` is by image and (label, training seed, hash seed).
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
    by_draw: pd.DataFrame
    baseline: str | None

    @property
    def subject(self) -> str:
        """Data set and scale in words, and the degradation and self-ensemble where they are not the usual ones."""
        return f"{self.dataset} {TIMES}{self.scale}{self.variant}"

    @property
    def title(self) -> str:
        """The subject, and tiling and precision where they are not the usual ones."""
        unusual = [self.tiling] * (self.tiling != "whole") + [self.precision] * (self.precision != "fp32")
        return ", ".join([self.subject, *unusual])

    @functools.cached_property
    def ranking(self) -> tuple[str, ...]:
        """The networks that were scored on every image, best first; the baseline is none."""
        complete = [label for label in self.labels if self.complete(label) and label != self.baseline]
        return tuple(sorted(complete, key=lambda label: self.score(label, "psnr_y"), reverse=True))

    def complete(self, label: str) -> bool:
        """Whether `label` was scored on every image that any method was scored on."""
        return self.scored(label) and 0 < round(self.score(label, "images")) == len(self.images)

    def scored(self, label: str) -> bool:
        """Whether `label` is among the labels, asked of thousands."""
        return label in self._scores

    def score(self, label: str, column: str) -> float:
        """One figure of `scores`."""
        return self._scores[label][column]

    @functools.cached_property
    def _scores(self) -> Mapping[str, Mapping[str, float]]:
        """`scores` of the labels: a page asks for thousands of them one by one, which pandas is slow at."""
        columns = [str(name) for name in self.scores]
        rows = zip(self.scores.index, self.scores.to_numpy(float).tolist(), strict=True)
        asked = frozenset(self.labels)
        return {str(label): dict(zip(columns, row, strict=True)) for label, row in rows if label in asked}

    def difference(self, label: str, other: str) -> tuple[float, Interval | None]:
        """Mean PSNR-Y of `label` minus that of `other`, paired by image, with its interval over images."""
        first, second = self.images[label].to_numpy(float), self.images[other].to_numpy(float)
        with np.errstate(invalid="ignore"):
            differences = first - second
        return float(differences.mean()), paired_interval(differences[:, None])


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
    by_draw = psnr.pivot_table(index="image", columns=["label", "seed", "hash_seed"], values="value")
    by_seed = by_draw.T.groupby(level=["label", "seed"]).mean().T
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
        by_draw=by_draw,
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beside:
    """The costs that go beside scores, of each machine those that fit best, and a `size` that all of them have."""

    costs: tuple[Cost, ...]
    size: str

    def counted(self, label: str, metric: str) -> float | None:
        """One figure that no machine changes, or None."""
        values = (cost.value(label, self.size, metric) for cost in self.costs)
        return next((value for value in values if value is not None), None)

    def timed(self, label: str) -> Cost:
        """Those of the first machine that timed `label`; of the first where none did."""
        having = (cost for cost in self.costs if cost.value(label, self.size, "forward_s") is not None)
        return next(having, self.costs[0])


def beside(quality: Quality, costs: Sequence[Cost]) -> Beside | None:
    """Costs at the scale of `quality`, in its precision where there are such, the machine with most methods first.

    Machines without a size that the others have as well are left out; None where no size is left.
    """
    fitting = [cost for cost in costs if cost.scale == quality.scale]
    fitting.sort(key=lambda cost: (cost.precision == quality.precision, len(cost.labels)), reverse=True)
    by_machine: dict[str, Cost] = {}
    for cost in fitting:
        if cost.precision == fitting[0].precision:
            by_machine.setdefault(cost.machine, cost)
    chosen: list[Cost] = []
    sizes: frozenset[str] = frozenset()
    for cost in by_machine.values():
        shared = common_sizes(cost) & sizes if chosen else common_sizes(cost)
        if shared:
            chosen, sizes = [*chosen, cost], shared
    return Beside(costs=tuple(chosen), size=max(sizes, key=positions)) if chosen else None
