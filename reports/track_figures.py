"""Costs over commits, a figure for each quantity that changed, a line for all series that went the same way."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter

from reports.figures import HEIGHT, LEGEND_ROW, legend, legend_rows, log_ticks, widths
from reports.palette import LIGHT, Look, looks
from reports.svg import PAGE, Figure, drawing, finished, series_colour
from reports.tables import MINUS, significant
from reports.track import Series, Track, relative

LOGARITHMIC = 4.0
"""From this ratio of the highest to the lowest cost on, the axis is logarithmic."""
LEAST_GAP = 0.24
"""Share of the axis that two named commits are apart at least."""
DIGITS = 12
"""Courses that agree to so many digits are one line."""
WORDS = re.compile(r"batch \d+|\S+")
"""What a way is told by."""


class Line(NamedTuple):
    """Series that went the same way: multiples of the first cost, by the place of the commit."""

    series: tuple[Series, ...]
    course: Mapping[int, float]

    @property
    def reach(self) -> float:
        """How far it went from where it began, up or down."""
        return max(abs(math.log(ratio)) for ratio in self.course.values())


def track_figures(found: Track) -> list[Figure]:
    """A figure for each quantity of which any series changed."""
    quantities = dict.fromkeys(series.quantity for series in found.changed)
    lines = {quantity: _lines(found, quantity) for quantity in quantities}
    return [_figure(found, quantity, each) for quantity, each in lines.items() if each]


def _lines(found: Track, quantity: str) -> list[Line]:
    """Those that left their first cost, farthest first; series that are only new or gone have none."""
    grouped: dict[tuple[tuple[int, float], ...], list[Series]] = {}
    for series in found.changed:
        if series.quantity == quantity:
            course = {place: round(ratio, DIGITS) for place, ratio in relative(found, series).items()}
            grouped.setdefault(tuple(course.items()), []).append(series)
    lines = [Line(tuple(series), dict(course)) for course, series in grouped.items() if course]
    return sorted((line for line in lines if line.reach), key=lambda line: -line.reach)


def _figure(found: Track, quantity: str, lines: Sequence[Line]) -> Figure:
    drawn, what = lines[: len(LIGHT)], quantity.replace("_", " ")
    names = _names(drawn)
    entries = {str(i): name for i, name in enumerate(names)}
    look = looks(tuple(entries))
    with drawing(HEIGHT + LEGEND_ROW * legend_rows(names)) as canvas:
        axes = canvas.subplots()
        logarithmic = _is_wide(drawn)
        for entry, line, width in zip(entries, drawn, widths(len(drawn)), strict=True):
            _draw(axes, line, look[entry], width, logarithmic=logarithmic)
        _axes(axes, found, what, logarithmic=logarithmic)
        legend(canvas, entries, look)
        alt = f"{what} over commits, last against first: " + "; ".join(map(_course_told, names, drawn))
        name = f"track-{quantity}"
        return finished(canvas, name, name=name, caption=_caption(what, lines), alt=alt)


def _is_wide(drawn: Iterable[Line]) -> bool:
    ratios = [ratio for line in drawn for ratio in line.course.values()]
    return max(ratios) / min(ratios) > LOGARITHMIC


def _draw(axes: Axes, line: Line, look: Look, width: float, *, logarithmic: bool) -> None:
    """Signs only where something happens: at both ends and at steps."""
    places, ratios = list(line.course), list(line.course.values())
    shown = ratios if logarithmic else [100 * (ratio - 1) for ratio in ratios]
    last = len(places) - 1
    marked = [i for i in range(len(places)) if i in {0, last} or ratios[i] != ratios[i - 1]]
    axes.plot(
        places,
        shown,
        drawstyle="steps-post",
        color=series_colour(look.series),
        linewidth=width,
        marker=look.marker,
        markevery=marked,
        markeredgecolor=PAGE,
    )


def _axes(axes: Axes, found: Track, what: str, *, logarithmic: bool) -> None:
    axes.set(
        xlabel="Commit", ylabel="Multiple of the first" if logarithmic else "Change from the first [%]", title=what
    )
    axes.set_xlim(-0.5, len(found.states) - 0.5)
    axes.xaxis.set_major_locator(FixedLocator(_named_places(found)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: found.states[round(place)].commit.short))
    if logarithmic:
        axes.set_yscale("log")
        log_ticks(axes, "y")
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda change, _: _plain(change)))


def _named_places(found: Track) -> list[int]:
    """Commits that have room for their names: both ends first, then those with steps, then others."""
    stepped = {step.commit.id for step in found.steps}
    places = range(len(found.states))
    wanted = [0, places[-1], *(place for place in places if found.states[place].commit.id in stepped), *places]
    named: list[int] = []
    for place in wanted:
        if all(abs(place - other) >= LEAST_GAP * len(places) for other in named):
            named.append(place)
    return sorted(named)


def _names(lines: Sequence[Line]) -> list[str]:
    """What tells lines apart: of ways what is not common to all; the rarest settings first, as long names are cut."""
    common = _shared(set(WORDS.findall(series.way)) for line in lines for series in line.series)
    held = Counter(setting for line in lines for setting in line.series[0].settings)
    return [_name(line, common, held) for line in lines]


def _name(line: Line, common: set[str], held: Counter[str]) -> str:
    """Methods of a line, and what all its series have in common."""
    first, *others = dict.fromkeys(series.method for series in line.series)
    methods = f"{first} and others" if others else first
    count = f"{methods} ({len(line.series)} series)" if len(line.series) > 1 else methods
    way = _shared(set(WORDS.findall(series.way)) for series in line.series) - common
    ordered = " ".join(word for word in WORDS.findall(line.series[0].way) if word in way)
    settings = sorted(_shared(set(series.settings) for series in line.series), key=lambda each: (held[each], each))
    return ", ".join(part for part in (count, ordered, *settings) if part)


def _shared(sets: Iterable[set[str]]) -> set[str]:
    return set.intersection(*sets)


def _plain(value: float) -> str:
    """A number without powers of ten, whatever its size."""
    return f"{round(value, DIGITS):,.{DIGITS}f}".rstrip("0").rstrip(".").replace("-", MINUS).replace(",", "\u202f")


def _course_told(name: str, line: Line) -> str:
    last = list(line.course.values())[-1]
    return f"{name} {significant(last)} times"


def _caption(what: str, lines: Sequence[Line]) -> str:
    said = (
        f"{what[0].upper()}{what[1:]} of each commit against the first that has the series: geometric mean over the "
        "sizes that both have. Series that went the same way share a line."
    )
    rest = lines[len(LIGHT) :]
    if rest:
        count = sum(len(line.series) for line in rest)
        most = significant(math.exp(rest[0].reach))
        said += f" Not drawn: {count} series that moved less, by a factor of {most} at most."
    return said
