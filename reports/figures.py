"""The figures: quality against cost, training curves, and what `reports.growth_figures` draws with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from reports.cost import Cost
from reports.crowds import crowd_told, grey, others_told, standing_out
from reports.frames import Frames
from reports.labels import place_names, shortened
from reports.names import quality_name
from reports.palette import Look
from reports.quality import Quality, beside
from reports.seen import when_seen
from reports.svg import MUTED, PAGE, Figure, abreast, drawing, finished, points, series_colour
from reports.tables import TIMES, fixed, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

HEIGHT = 3.0
LEGEND_ROW = 0.19
"""Inches that a row of the legend adds to a figure."""
LONGEST_OF_TWO, LONGEST_ENTRY = 18, 44
"""Letters of an entry where two stand side by side, and of one with a whole row."""

AXES = {
    "forward_s": ("Forward time [ms]", 1e-3),
    "macs": ("MACs [G]", 1e9),
    "attention_s": ("Time in attention [ms]", 1e-3),
    "attention_macs": ("MACs in attention [G]", 1e9),
    "peak_bytes": ("Peak memory of the network [MB]", 1e6),
}
MOST_RAW_CURVES = 8
"""With more, unsmoothed curves hide the smoothed ones."""

SMOOTHING = 15
"""A smoothed point averages this fraction of a curve."""

LEAST_GAP = 1 / 8
"""Share of an axis that two ticks are apart at least."""
MOST_TICKS = 7
WIDEST, NARROWEST = 3.0, 1.3
MARK_AREA = 62
"""In square points."""


class _Against(NamedTuple):
    """What scores are drawn against: a metric at a size, `place` being the machine where there are several."""

    metric: str
    size: str
    place: str = ""

    @property
    def where(self) -> str:
        """The machine within a sentence."""
        return f", on {self.place}" if self.place else ""


def quality_figures(quality: Quality, costs: list[Cost], looks: Mapping[str, Look], name: str) -> list[Figure]:
    """PSNR-Y against the forward time of each machine and against MACs, where any method has both."""
    found = beside(quality, costs)
    if found is None:
        return []
    both: list[tuple[_Against, Callable[[str], float | None]]] = [
        *((_Against("forward_s", found.size, cost.machine_name), _times(cost, found.size)) for cost in found.costs),
        (_Against("macs", found.size), lambda label: found.counted(label, "macs")),
    ]
    asked = [(against, _places(quality, value, AXES[against.metric][1])) for against, value in both]
    return [
        _trade(quality, against, places, looks, f"{name}-{against.metric}{f'-{i}' if against.place else ''}")
        for i, (against, places) in enumerate(asked)
        if places
    ]


def _times(cost: Cost, size: str) -> Callable[[str], float | None]:
    return lambda label: cost.value(label, size, "forward_s")


def _places(quality: Quality, cost: Callable[[str], float | None], unit: float) -> dict[str, tuple[float, float]]:
    places = {}
    for label in quality.labels:
        value, psnr = cost(label), quality.score(label, "psnr_y")
        if value and math.isfinite(psnr) and label != quality.baseline:
            places[label] = (value / unit, psnr)
    return places


@when_seen
def _trade(
    quality: Quality,
    against: _Against,
    places: dict[str, tuple[float, float]],
    looks: Mapping[str, Look],
    name: str,
) -> Figure:
    what = AXES[against.metric][0]
    best = standing_out({label: -psnr for label, (_, psnr) in places.items()})
    others = len(places) - len(best)
    with drawing(HEIGHT + LEGEND_ROW * legend_rows(best if others else {}, others)) as canvas:
        axes = canvas.subplots()
        axes.set(xlabel=what, ylabel="PSNR-Y [dB]", title=f"{shortened(quality.dataset)} {TIMES}{quality.scale}")
        _scatter(axes, places, best, looks)
        legend(canvas, {k: k for k in (best if others else place_names(axes, places))}, looks, others)
        told = [f"{k} {places[k][1]:.2f} dB at {places[k][0]:.3g}" for k in best]
        alt = f"PSNR-Y against {what}{against.where}: " + "; ".join([*told, *others_told(others)])
        caption = _trade_caption(quality, against, joined=len(front(places)) > 1) + crowd_told(
            len(best), len(places), "best"
        )
        return finished(canvas, name, name=quality_name(quality, against.metric), caption=caption, alt=alt)


def front(places: Mapping[str, tuple[float, float]]) -> list[str]:
    """Labels that no other beats in both cost and quality, cheapest first (the Pareto front)."""
    ordered = sorted(places, key=lambda label: (places[label][0], -places[label][1]))
    reached = itertools.accumulate((places[label][1] for label in ordered), max, initial=-math.inf)
    return [label for label, before in zip(ordered, reached, strict=False) if places[label][1] > before]


def _trade_caption(quality: Quality, against: _Against, *, joined: bool) -> str:
    what = AXES[against.metric][0].partition(" [")[0].replace("Forward", "forward")
    said = (
        f"{quality.title}: PSNR-Y against {what} at {shown(against.size)}{against.where}. Up and to the left is better."
    )
    said += " Dotted: the front of those that no other beats in both." if joined else ""
    if quality.baseline is None:
        return said
    return f"{said} Bicubic, not drawn, reaches {fixed(quality.score(quality.baseline, 'psnr_y'), 2)} dB."


def _scatter(
    axes: Axes, places: Mapping[str, tuple[float, float]], best: Collection[str], looks: Mapping[str, Look]
) -> None:
    """A mark for each, small and grey where it is not among the `best`, and a dotted line along the front.

    Axes that have labels already: Seaborn would make all ticks to see whether it should write some.
    """
    line = [places[label] for label in front(places)]
    if len(line) > 1:
        dotted: dict[str, Any] = {"color": MUTED, "linestyle": ":", "linewidth": points(1.2), "zorder": 1}
        axes.plot(*zip(*line, strict=True), drawstyle="steps-post", **dotted)
    if crowd := [place for label, place in places.items() if label not in best]:
        axes.plot(*zip(*crowd, strict=True), **grey(), linestyle="none", marker="o", markersize=points(4.5))
    table = pd.DataFrame([(label, *places[label]) for label in best], columns=["label", "x", "y"])
    style: dict[str, Any] = {
        "palette": {label: series_colour(looks[label].series) for label in best},
        "markers": {label: looks[label].marker for label in best},
    }
    shape: dict[str, Any] = {"hue": "label", "style": "label", "edgecolor": PAGE}
    shape |= {"s": points(points(MARK_AREA)), "linewidth": points(0.8)}
    import seaborn as sns  # noqa: PLC0415 - as in reports.svg

    sns.scatterplot(table, x="x", y="y", legend=False, ax=axes, **shape, **style)
    axes.set_xscale("log")
    axes.margins(x=0.2, y=0.16)
    log_ticks(axes, "x")


def training_figures(frames: Frames, looks: Mapping[str, Look], name: str) -> list[Figure]:
    """Training loss over steps, a figure per scale; a training that serves two methods is drawn once."""
    losses = frames.measured("train_loss")
    losses = losses[losses["step"].notna()]
    sharing = losses.groupby("task_key", sort=False)["label"].agg(lambda labels: ", ".join(labels.drop_duplicates()))
    once = losses.drop_duplicates(["attempt_id", "step"])
    first = once.drop_duplicates("label")
    names = dict(zip(first["label"], first["task_key"].map(sharing), strict=True))
    return [_training(scale, curves, names, looks, f"{name}-{scale}") for scale, curves in _curves(once)]


def _curves(losses: pd.DataFrame) -> list[tuple[int, pd.DataFrame]]:
    """For each scale the mean loss by step and label."""
    return [
        (int(str(scale)), group.pivot_table(index="step", columns="label", values="value", aggfunc="mean"))
        for scale, group in losses.groupby("scale")
    ]


@when_seen
def _training(
    scale: int, curves: pd.DataFrame, names: Mapping[str, str], looks: Mapping[str, Look], name: str
) -> Figure:
    last_loss = {label: float(_smooth(curves[label].dropna()).iloc[-1]) for label in names if label in curves}
    entries = {label: names[label] for label in standing_out(last_loss)}
    others = [label for label in last_loss if label not in entries]
    with drawing(HEIGHT + LEGEND_ROW * legend_rows(entries.values(), len(others))) as canvas:
        axes = canvas.subplots()
        for label in others:
            axes.plot(_smooth(curves[label].dropna()), **grey())
        for label, width in zip(entries, widths(len(entries)), strict=True):
            _curve(axes, curves[label].dropna(), looks[label], width, raw=len(entries) <= MOST_RAW_CURVES)
        axes.set(yscale="log", xlabel="Step", ylabel="Loss (L1)", title=f"Training {TIMES}{scale}")
        log_ticks(axes, "y")
        legend(canvas, entries, looks, len(others))
        last = [f"{text} {curves[label].dropna().iloc[-1]:.4g}" for label, text in entries.items()]
        alt = f"Training loss over steps {TIMES}{scale}; last values: " + "; ".join([*last, *others_told(len(others))])
        caption = _training_caption(scale, len(entries), len(last_loss))
        return finished(canvas, name, name=f"training-x{scale}", caption=caption, alt=alt)


def _training_caption(scale: int, named: int, count: int) -> str:
    raw = "Strong lines: running mean; faint ones: as recorded." if count <= MOST_RAW_CURVES else "Running means."
    return f"Training loss {TIMES}{scale}, mean over seeds. {raw}" + crowd_told(named, count, "lowest")


def _curve(axes: Axes, curve: pd.Series[float], look: Look, width: float, *, raw: bool) -> None:
    colour, steps = series_colour(look.series), curve.index.to_numpy(float)
    smooth = _smooth(curve)
    if raw:
        axes.plot(steps, curve.to_numpy(float), color=colour, alpha=0.25, linewidth=points(0.7))
    marks: dict[str, Any] = {"marker": look.marker, "markevery": max(1, len(curve) // 6), "markeredgecolor": PAGE}
    axes.plot(steps, smooth.to_numpy(float), color=colour, linewidth=width, **marks)


def _smooth(curve: pd.Series[float]) -> pd.Series[float]:
    return curve.rolling(max(1, len(curve) // SMOOTHING), center=True, min_periods=1).mean()


def widths(count: int) -> list[float]:
    """Widths of lines in the order of drawing: where two coincide, the lower one shows at both sides."""
    widths: list[float] = np.linspace(WIDEST if count > 1 else NARROWEST, NARROWEST, count).tolist()
    return [points(width) for width in widths]


def legend_columns(entries: Collection[str]) -> int:
    """One for each width of the page, two where all entries are short."""
    return abreast() * (2 if all(len(entry) <= LONGEST_OF_TWO for entry in entries) else 1)


def legend_rows(entries: Collection[str], others: int = 0) -> int:
    """How many rows a legend of these entries has, and of the `others`, which share one."""
    return math.ceil((len(entries) + bool(others)) / legend_columns(entries))


def legend(canvas: Canvas, entries: Mapping[str, str], looks: Mapping[str, Look], others: int = 0) -> None:
    """A legend below the axes; `entries` maps labels to what the legend says of them, so many `others` are grey."""
    from matplotlib.lines import Line2D  # noqa: PLC0415 - as in reports.svg

    if not entries:
        return
    handles = [
        Line2D([], [], color=series_colour(looks[k].series), marker=looks[k].marker, markeredgecolor=PAGE)
        for k in entries
    ]
    texts = [*(shortened(text, LONGEST_ENTRY) for text in entries.values()), *others_told(others)]
    handles += [Line2D([], [], **grey(), marker="o") for _ in others_told(others)]
    canvas.legend(handles, texts, loc="outside lower left", ncol=legend_columns(entries.values()))


def log_ticks(axes: Axes, direction: str) -> None:
    """Plain numbers at 1, 2, 5 times powers of ten, or at all powers where that is too many."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: PLC0415 - as in reports.svg

    axis = axes.xaxis if direction == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    axis.set_major_locator(FixedLocator(tick_places(float(low), float(high))))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace(",", "\u202f")))


def tick_places(low: float, high: float) -> list[float]:
    """At most `MOST_TICKS` round numbers between `low` and `high`, none crowding the next; two at least if possible."""
    apart = (high / low) ** LEAST_GAP
    for mantissas in ((1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        places = [m * 10.0**k for k in range(-12, 16) for m in mantissas if low <= m * 10.0**k <= high]
        crowded = any(b < a * apart for a, b in itertools.pairwise(places))
        if len(places) <= MOST_TICKS and not crowded:
            return (
                places if len(places) > 1 else [float(f"{value:.2g}") for value in (low, math.sqrt(low * high), high)]
            )
    return places[:: math.ceil(len(places) / MOST_TICKS)]
