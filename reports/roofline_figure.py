"""The roofline drawn: attained multiply-adds a second over intensity, under the roof of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.figures import HEIGHT, LEGEND_ROW, legend, legend_rows, log_ticks
from reports.growth_figures import LONGEST_NAME, MOST_MARKED
from reports.labels import shortened
from reports.names import cost_name
from reports.palette import Look
from reports.race import Race
from reports.roofline import GIGA, OVER, Ceilings, Place, ceilings_told, common_size, places, share_told
from reports.seen import when_seen
from reports.svg import INK, PAGE, Figure, drawing, finished, points, series_colour
from reports.tables import PERCENT, TIMES, shown, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARGIN = 1.6
"""Factor by which the axis of intensity reaches beyond what is drawn."""
LEAST_SIDE = 0.5
"""Either side of the ridge is at least this share as wide as the other, so that both hold their names."""
NAMED = 0.75
"""How far up the slope its name stands."""
FAINT = 0.55

Trail = Sequence[Place]
"""The places of one contender, by growing size."""


def roofline_figure(race: Race, ceilings: Ceilings, looks: Mapping[str, Look], name: str) -> Figure | None:
    """All contenders at `common_size`, and their other sizes where few enough ran; None without any."""
    size = common_size(race, ceilings)
    marked = _drawable(places(race, ceilings, size)) if size else []
    return _roofline(race, ceilings, size, marked, looks, name) if size and marked else None


@when_seen
def _roofline(race: Race, ceilings: Ceilings, size: str, marked: Trail, looks: Mapping[str, Look], name: str) -> Figure:
    trails = _trails(race, ceilings, [each.label for each in marked])
    entries = {p.label: f"{shortened(p.label, LONGEST_NAME)}: {_share(p)}" for p in marked}
    with drawing(HEIGHT + LEGEND_ROW * legend_rows(entries.values())) as canvas:
        axes = canvas.subplots()
        axes.set(xscale="log", yscale="log", xlabel="Intensity [MAC/B]", ylabel="Attained [GMAC/s]")
        axes.set_title(f"Roofline at {shown(size)}, {'attention alone' if race.alone else f'{TIMES}{race.scale}'}")
        _points(axes, marked, trails, looks)
        _roof(axes, ceilings, [*marked, *(each for trail in trails for each in trail)])
        for direction in ("x", "y"):
            log_ticks(axes, direction)
        legend(canvas, entries, looks)
        alt = _alt(race, marked, ceilings, size)
        said = _caption(race, marked, trails, size)
        return finished(canvas, name, name=cost_name("roofline", race.cost), caption=said, alt=alt)


def _share(place: Place) -> str:
    return f"{share_told(place)}{PERCENT}{' ' + OVER if place.share > 1.0 else ''}"


def _drawable(found: Trail) -> list[Place]:
    """A logarithmic axis has no place for what multiplies nothing."""
    return [each for each in found if each.macs > 0]


def _trails(race: Race, ceilings: Ceilings, labels: Sequence[str]) -> list[Trail]:
    """The places of each of `labels` at all sizes; none where so many ran that trails hide the points."""
    if len(labels) > MOST_MARKED:
        return []
    found = [each for size in race.sizes for each in _drawable(places(race, ceilings, size))]
    trails = ([each for each in found if each.label == label] for label in labels)
    return [trail for trail in trails if len(trail) > 1]


def _points(axes: Axes, marked: Trail, trails: Sequence[Trail], looks: Mapping[str, Look]) -> None:
    for trail in trails:
        look = looks[trail[0].label]
        style: dict[str, Any] = {
            "color": series_colour(look.series),
            "alpha": FAINT,
            "linewidth": points(0.8),
            "zorder": 2,
        }
        axes.plot(*_coordinates(trail), marker=look.marker, markersize=points(3.5), markeredgewidth=0.0, **style)
    for each in marked:
        look = looks[each.label]
        shape: dict[str, Any] = {"marker": look.marker, "markersize": points(7), "markeredgecolor": PAGE, "zorder": 4}
        axes.plot(*_coordinates([each]), linestyle="none", color=series_colour(look.series), **shape)


def _coordinates(trail: Trail) -> tuple[list[float], list[float]]:
    return [each.intensity for each in trail], [each.attained / GIGA for each in trail]


def _roof(axes: Axes, ceilings: Ceilings, found: Trail) -> None:
    """The roof over all that is drawn, each side named by its ceiling, and a ring at the ridge."""
    ridge, top = ceilings.ridge, ceilings.macs_per_s / GIGA
    low, high = _span([ridge, *(each.intensity for each in found)], ridge)
    axes.plot([low, ridge, high], [top * low / ridge, top, top], color=INK, linewidth=points(1.4), zorder=3)
    axes.plot(ridge, top, marker="o", markersize=points(5), markerfacecolor=PAGE, markeredgecolor=INK, zorder=3)
    axes.set_xlim(low, high)
    axes.margins(y=0.12)
    slope = low * (ridge / low) ** NAMED
    _name(axes, f"{significant(ceilings.bytes_per_s / GIGA)} GB/s", (slope, top * slope / ridge), (-5, 3))
    _name(axes, f"{significant(top)} GMAC/s", (high, top), (-2, 4))


def _span(intensities: Sequence[float], ridge: float) -> tuple[float, float]:
    """The ends of the axis of intensity."""
    low, high = min(intensities) / MARGIN, max(intensities) * MARGIN
    return min(low, ridge / (high / ridge) ** LEAST_SIDE), max(high, ridge * (ridge / low) ** LEAST_SIDE)


def _name(axes: Axes, text: str, place: tuple[float, float], offset: tuple[int, int]) -> None:
    """To the left and above, where the roof never is."""
    style: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": points(9.0), "zorder": 5}
    axes.annotate(text, place, xytext=offset, textcoords="offset points", **style)


def _alt(race: Race, marked: Trail, ceilings: Ceilings, size: str) -> str:
    told = [
        f"{p.label} {significant(p.attained / GIGA)} GMAC/s at {significant(p.intensity)} MAC/B, "
        f"{share_told(p)}{PERCENT} of the roof, bound by {p.bound}"
        for p in marked
    ]
    what = f"attained GMAC/s over intensity in MAC/B at {shown(size)}"
    head = f"{race.title}: {what}, ceilings {ceilings_told(ceilings)}"
    return "; ".join([head, *told])


def _caption(race: Race, marked: Trail, trails: Sequence[Trail], size: str) -> str:
    """What is drawn, in words; only what is there is explained."""
    said = f"{race.title}: attained MACs a second over MACs for each byte moved. Line: the roof; ring: its ridge. "
    said += f"Points: medians at {shown(size)}, with their share of the roof."
    if trails:
        said += " Small points: other sizes, joined in the order of size."
    over = any(each.share > 1.0 for each in marked)
    return said + (f" {OVER}: above the roof, see the table." if over else "")
