"""Names beside points, where there is room for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

MOST = 12
"""More names than these are put in a legend at once."""

LONGEST, SHORTEST_WORD = 26, 4
MARKER = 5.0
"""Half the side of the square that a marker keeps free, in points."""

ROOM = 1.5
"""Points that two names stay apart at least."""

OFFSETS = ((8, 0), (-8, 0), (0, 9), (0, -9), (7, 7), (-7, 7), (7, -7), (-7, -7), (0, 18), (0, -18))
"""Where a name may stand, in points from its point, best first."""


def shortened(label: str, longest: int = LONGEST) -> str:
    """A label that fits into a figure."""
    return label if len(label) <= longest else label[: longest - 1] + "…"


def squeezed(label: str, longest: int) -> str:
    """A label that fits, its longest words cut but no number, which is in what those of one grid differ."""
    words = label.split(" ")
    while len(" ".join(words)) > longest:
        long = max(words, key=lambda word: 0 if any(map(str.isdigit, word)) else len(word))
        if len(long) <= SHORTEST_WORD or any(map(str.isdigit, long)):
            return f"{label[: longest // 3]}…{label[longest // 3 + 1 - longest :]}"
        words[words.index(long)] = f"{long.rstrip('…')[:-1]}…"
    return " ".join(words)


def place_names(axes: Axes, points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Write each name beside its point so that it covers no point and no other name; returns those without room."""
    if len(points) > MOST:
        return list(points)
    figure: Any = axes.figure
    if layout := figure.get_layout_engine():
        layout.execute(figure)
    taken = [_square(axes, point) for point in points.values()]
    return [name for name, point in points.items() if not _placed(axes, name, point, taken)]


def _placed(axes: Axes, name: str, point: tuple[float, float], taken: list[Bbox]) -> bool:
    for offset in OFFSETS:
        text = _written(axes, name, point, offset)
        box = text.get_window_extent().padded(ROOM * axes.figure.dpi / 72.0)
        if _inside(axes.bbox, box) and not any(box.overlaps(other) for other in taken):
            taken.append(box)
            return True
        text.remove()
    return False


def _written(axes: Axes, name: str, point: tuple[float, float], offset: tuple[int, int]) -> Annotation:
    right, up = offset
    return axes.annotate(
        squeezed(name, LONGEST),
        point,
        xytext=offset,
        textcoords="offset points",
        ha="left" if right > 0 else "right" if right < 0 else "center",
        va="bottom" if up > 0 else "top" if up < 0 else "center",
    )


def _inside(outer: Bbox, inner: Bbox) -> bool:
    return bool(outer.x0 <= inner.x0 and inner.x1 <= outer.x1 and outer.y0 <= inner.y0 and inner.y1 <= outer.y1)


def _square(axes: Axes, point: tuple[float, float]) -> Bbox:
    from matplotlib.transforms import Bbox  # noqa: PLC0415 - as in reports.svg

    x, y = axes.transData.transform(point)
    half = MARKER * axes.figure.dpi / 72.0
    return Bbox.from_extents(x - half, y - half, x + half, y + half)
