"""How scores spread: over images, as differences in pairs, and over the draws of random hashing."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reports.crowds import crowd_told
from reports.frames import BASELINE, Frames
from reports.labels import shortened, squeezed
from reports.names import quality_name
from reports.palette import Look
from reports.quality import GROUP, Quality
from reports.seen import when_seen
from reports.stats import FEWEST, Floats
from reports.svg import INK, MUTED, PAGE, Figure, drawing, finished, points, series_colour
from reports.tables import PERCENT, TIMES, fixed, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS = 20
"""More methods than these would not be read one by one: the best are drawn."""
LONGEST_HEAD, HEAD_SIZE = 26, 9.0
LONGEST_LINE = 28
"""Letters of a line below the axes, which rows of long names leave little room."""
"""Letters and points of a name."""
MOST_TICKS = 5
FRAME, ROW, SEED_ROW = 1.0, 0.24, 0.15
"""Inches of title and axis, of a row, and of each training seed in it."""
JITTER = 0.62
"""Share of a row over which its points are spread."""
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
"""Multiples of it, modulo 1, never come near each other: images next in order stand apart."""
FEWEST_IMAGES = 2
UNSEEN = "methods"
"""A label for the time being: Seaborn would make all ticks to see whether it should write one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Draws:
    """One training of a method: its mean PSNR-Y over images in each draw."""

    label: str
    seed: int
    scores: Floats


def spread_figures(frames: Frames, quality: Quality, looks: Mapping[str, Look], name: str) -> list[Figure]:
    """Differences by image to the baseline or the best, and scores by hash draw, where there are several."""
    both = differences_figure(quality, looks, f"{name}-images"), draws_figure(frames, quality, looks, f"{name}-draws")
    return [figure for figure in both if figure is not None]


def differences_figure(quality: Quality, looks: Mapping[str, Look], name: str) -> Figure | None:
    """PSNR-Y of each network minus that of the reference on each image `[images]`, a row per network, best first."""
    reference = _reference(quality)
    networks = [label for label in quality.ranking if label != reference]
    if reference is None or not networks or len(quality.images) < FEWEST_IMAGES:
        return None
    return _differences(quality, reference, networks, looks, name)


@when_seen
def _differences(
    quality: Quality, reference: str, networks: Sequence[str], looks: Mapping[str, Look], name: str
) -> Figure:
    best = list(networks[:MOST_ROWS])
    with drawing(FRAME + ROW * len(best)) as canvas:
        axes = canvas.subplots()
        over = "Gain over bicubic" if reference == quality.baseline else f"Against {squeezed(reference, LONGEST_HEAD)}"
        axes.set(
            xlabel=textwrap.fill(f"{over} [dB]", LONGEST_LINE),
            ylabel=UNSEEN,
            title=f"{shortened(quality.dataset)} {TIMES}{quality.scale}",
        )
        _points(axes, quality.images[best].sub(quality.images[reference], axis="index"), looks)
        words = [_mean(axes, row, label, quality, reference, looks) for row, label in enumerate(best)]
        _rows(axes, [squeezed(label, LONGEST_HEAD) for label in best])
        axes.set_ylabel("")
        alt = f"{over} in PSNR-Y by image, {quality.title}; means: " + "; ".join(words)
        caption = _differences_caption(quality) + crowd_told(len(best), len(networks), "best", "drawn")
        return finished(canvas, name, name=quality_name(quality, "by image"), caption=caption, alt=alt)


def _differences_caption(quality: Quality) -> str:
    said = f"{quality.title}: each of {len(quality.images)} images, at the same height in every row. Large: the mean"
    return f"{said}, with its 95{PERCENT} interval over images." if len(quality.images) >= FEWEST else f"{said}."


def _reference(quality: Quality) -> str | None:
    """What differences are taken to: the baseline, or else the best network."""
    if quality.baseline is not None and quality.complete(quality.baseline):
        return quality.baseline
    return next(iter(quality.ranking), None)


def _points(axes: Axes, differences: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """A point per image; those that are infinite are left out."""
    finite = differences.where(np.isfinite(differences))
    told = finite.melt(var_name="label", value_name="difference")
    palette = {str(label): series_colour(looks[str(label)].series) for label in differences}
    style: dict[str, Any] = {"hue": "label", "palette": palette, "legend": False, "linewidth": 0.0}
    style |= {"order": list(finite), "jitter": False, "size": points(4.5 if len(finite) <= MOST_ROWS else 3.2)}
    import seaborn as sns  # noqa: PLC0415 - as in reports.svg

    sns.stripplot(told, x="difference", y="label", alpha=0.55, ax=axes, **style)
    heights = JITTER * (np.arange(1, len(finite) + 1) * GOLDEN % 1.0 - 0.5)
    for row, (label, strip) in enumerate(zip(finite, axes.collections, strict=True)):
        strip.set_offsets(np.column_stack([finite[label], row + heights])[finite[label].notna()])


def _mean(axes: Axes, row: int, label: str, quality: Quality, reference: str, looks: Mapping[str, Look]) -> str:
    """Draw the mean of one row with its interval; returns it in words."""
    mean, interval = quality.difference(label, reference)
    if not math.isfinite(mean):
        return f"{label} infinite"
    look = looks[label]
    if interval is not None:
        axes.plot([interval.low, interval.high], [row, row], color=INK, linewidth=points(1.8), zorder=4)
    style: dict[str, Any] = {"color": series_colour(look.series), "markeredgecolor": PAGE, "zorder": 5}
    axes.plot([mean], [row], marker=look.marker, markersize=points(6.5), **style)
    return f"{label} {signed(mean)} dB"


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """Names at the left, the first on top, and a line at zero."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - as in reports.svg

    axes.set_yticks(range(len(names)), names, fontsize=points(HEAD_SIZE))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=MOST_TICKS))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.axvline(0.0, color=MUTED, linewidth=points(0.8), linestyle=(0, (4, 4)), zorder=1)


def draws_figure(frames: Frames, quality: Quality, looks: Mapping[str, Look], name: str) -> Figure | None:
    """Mean PSNR-Y over images of each hash draw less the method's mean, a line of points per training seed."""
    found = _trainings(frames, quality)
    return _draws(quality, found, looks, name) if found else None


@when_seen
def _draws(quality: Quality, found: Sequence[_Draws], looks: Mapping[str, Look], name: str) -> Figure:
    labels = list(dict.fromkeys(each.label for each in found))
    shown = labels[:MOST_ROWS]
    seeds = max(sum(each.label == label for each in found) for label in shown)
    with drawing(FRAME + 0.3 + (ROW + SEED_ROW * (seeds - 1)) * len(shown)) as canvas:
        axes = canvas.subplots()
        words = [_draw_row(axes, row, [d for d in found if d.label == k], looks[k]) for row, k in enumerate(shown)]
        _rows(axes, [f"{squeezed(k, LONGEST_HEAD - 6)}: {fixed(quality.score(k, 'psnr_y'), 2)}" for k in shown])
        axes.margins(x=0.14 if seeds > 1 else 0.05)
        axes.set(xlabel="Against the mean of the row [dB]", ylabel="", title="Hash draws")
        alt = f"Spread of PSNR-Y over hash draws, {quality.title}: " + "; ".join(words)
        told = "; a line per training seed, its number behind it" if seeds > 1 else ""
        caption = f"{quality.title}: mean over images of each hash draw{told}. Beside each name: its mean in dB."
        caption += crowd_told(len(shown), len(labels), "best", "drawn")
        return finished(canvas, name, name=quality_name(quality, "hash draws"), caption=caption, alt=alt)


def _trainings(frames: Frames, quality: Quality) -> list[_Draws]:
    """The trainings of methods that were scored in several draws, best method first, each by draw."""
    records = frames.measured("psnr_y")
    for column, value in zip(GROUP, (quality.scale, quality.dataset, quality.comparable), strict=True):
        records = records[records[column] == value]
    records = records[records["hash_seed"].notna() & (records["method"] != BASELINE)]
    means = records.groupby(["label", "seed", "hash_seed"], sort=True)["value"].mean()
    means = means[np.isfinite(means)]
    trainings = {
        (str(label), int(seed)): _Draws(label=str(label), seed=int(seed), scores=each.to_numpy(float))
        for (label, seed), each in means.groupby(level=["label", "seed"])
    }
    several = {label for (label, _), each in trainings.items() if len(each.scores) > 1 and np.ptp(each.scores) > 0.0}
    return [trainings[key] for label in quality.ranking if label in several for key in trainings if key[0] == label]


def _draw_row(axes: Axes, row: int, trainings: Sequence[_Draws], look: Look) -> str:
    """One method: its trainings below each other; returns its spread in words."""
    mean = float(np.mean([each.scores.mean() for each in trainings]))
    heights = row + (np.arange(len(trainings)) + 0.5) / len(trainings) * 0.76 - 0.38
    for height, each in zip(heights, trainings, strict=True):
        _draw_training(axes, float(height), each.scores - mean, look)
        if len(trainings) > 1:
            _seed(axes, str(each.seed), (float(each.scores.max() - mean), float(height)))
    spread = max(float(np.ptp(each.scores)) for each in trainings)
    return f"{trainings[0].label} up to {fixed(spread, 3)} dB between draws of one training"


def _seed(axes: Axes, seed: str, place: tuple[float, float]) -> None:
    """The number of a training behind its last point."""
    how: dict[str, Any] = {"va": "center", "fontsize": points(7.5), "color": MUTED}
    axes.annotate(seed, place, xytext=(points(7), 0), textcoords="offset points", **how)


def _draw_training(axes: Axes, height: float, scores: Floats, look: Look) -> None:
    colour = series_colour(look.series)
    axes.plot([scores.min(), scores.max()], [height, height], color=colour, linewidth=points(0.9))
    style: dict[str, Any] = {"linestyle": "none", "color": colour, "markeredgecolor": PAGE, "markersize": points(5)}
    axes.plot(scores, np.full(len(scores), height), marker=look.marker, **style)
