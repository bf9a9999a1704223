"""Matplotlib figures, drawn for a medium: as SVG inside a page, or as files of their own for a paper.

In a page text stays text, colours follow the page, identifiers never collide. Matplotlib and Seaborn take a second to
load: they are when something is drawn.
"""

from __future__ import annotations

import dataclasses
import html
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from reports.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

INK, MUTED, RULE, PAGE = "nlbench:ink", "nlbench:muted", "nlbench:rule", "nlbench:page"
"""Names of colours; what they stand for depends on the medium."""

STAND_INS = {INK: "#1d1d01", MUTED: "#1d1d02", RULE: "#1d1d03", PAGE: "#1d1d04"}
"""What Matplotlib draws with for a page; `inlined` puts the page's own colours in their place."""

PRINTED = {INK: "#1b1f24", MUTED: "#57606a", RULE: "#d5dae0", PAGE: "#ffffff"}
"""The colours of a light page."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nlbench",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titley": 1.0,  # nothing stands above our axes, but Matplotlib would take long to see it
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
}

"""Where it differs from Seaborn's."""

SCALED = (
    "font.size",
    "axes.titlesize",
    "legend.fontsize",
    "axes.linewidth",
    "axes.titlepad",
    "axes.labelpad",
    "grid.linewidth",
    "lines.linewidth",
    "lines.markersize",
    "lines.markeredgewidth",
    "figure.constrained_layout.h_pad",
    "figure.constrained_layout.w_pad",
    *(f"{axis}tick.major.{what}" for axis in "xy" for what in ("size", "width", "pad")),
)
"""Sizes of the style that shrink and grow with the medium."""

DPI = 72
"""What SVG counts in: points."""
WIDTH = 4.4
"""Inches, 72 points each: a figure that shrinks to a phone keeps its text readable."""
MOST_ABREAST, ALMOST = 3, 0.1
"""Columns of a legend, and how much of the page's width the last may lack."""


def series_colour(series: int) -> str:
    """The name of the colour of series `series`."""
    return f"nlbench:series-{series}"


def _palette(named: Mapping[str, str], series: tuple[str, ...]) -> dict[str, str]:
    return {**named, **{series_colour(i): colour for i, colour in enumerate(series)}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of a run: what it shows, in words for those who cannot see it, and its SVG if drawn for a page.

    It is asked for by its `name`, which depends on what it shows alone.
    """

    name: str
    caption: str
    alt: str
    svg: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Medium:
    """For what figures are drawn: `width` in inches, `scale` of type, lines and marks against the page's.

    `keep` takes each figure while its canvas can be saved; without it figures become SVG inside a page.
    """

    width: float = WIDTH
    scale: float = 1.0
    colours: Mapping[str, str]
    keep: Callable[[Canvas, Figure], None] | None = None

    @property
    def breadth(self) -> float:
        """How many figures of the page would stand abreast at this scale."""
        return self.width / self.scale / WIDTH

    def height(self, height: float) -> float:
        """Inches of what has `height` on the page: wide figures are higher as well, by the root of their breadth."""
        return height * self.scale * max(1.0, math.sqrt(self.breadth))


PAGE_MEDIUM = Medium(colours=_palette(STAND_INS, tuple(f"#5e{i:02x}01" for i in range(len(LIGHT)))))
_MEDIUM: ContextVar[Medium] = ContextVar("medium", default=PAGE_MEDIUM)


def printed(width: float, scale: float, keep: Callable[[Canvas, Figure], None]) -> Medium:
    """A medium in the colours of a light page; `keep` takes its figures."""
    return Medium(width=width, scale=scale, colours=_palette(PRINTED, LIGHT), keep=keep)


@contextmanager
def drawn_for(medium: Medium) -> Iterator[None]:
    """All figures of the block are drawn for `medium`."""
    token = _MEDIUM.set(medium)
    try:
        yield
    finally:
        _MEDIUM.reset(token)


def is_for_page() -> bool:
    """Whether what is drawn now becomes SVG inside a page."""
    return _MEDIUM.get() is PAGE_MEDIUM


def points(size: float) -> float:
    """The size of a line, a mark or type that has `size` on the page, in points."""
    return size * _MEDIUM.get().scale


def abreast() -> int:
    """How many columns of the page's width the medium has room for."""
    return min(max(1, int(_MEDIUM.get().breadth + ALMOST)), MOST_ABREAST)


@contextmanager
def drawing(height: float) -> Iterator[Canvas]:
    """An empty canvas in the style of the medium; nothing of the style outlives the block.

    `height` is that on the page, in inches. Text goes to the page as text, so whether Matplotlib's own font holds a
    label's letters does not matter there.
    """
    import matplotlib as mpl  # noqa: PLC0415 - takes a second, and most verbs draw nothing
    import seaborn as sns  # noqa: PLC0415
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415

    medium = _MEDIUM.get()
    with _named(medium.colours), mpl.rc_context(sns.axes_style("ticks") | STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        style: dict[Any, Any] = mpl.rcParams
        style.update({name: style[name] * medium.scale for name in SCALED})
        canvas = Canvas(figsize=(medium.width, medium.height(height)))
        FigureCanvasAgg(canvas)
        yield canvas


@contextmanager
def _named(colours: Mapping[str, str]) -> Iterator[None]:
    """Matplotlib knows `colours` by their names inside the block."""
    from matplotlib.colors import get_named_colors_mapping  # noqa: PLC0415 - as above

    known = get_named_colors_mapping()
    for name, colour in colours.items():
        known[name] = colour
    try:
        yield
    finally:
        for name in colours:
            del known[name]


def finished(canvas: Canvas, ids: str, *, name: str, caption: str, alt: str) -> Figure:
    """The figure on `canvas`, given to the medium; `ids` is what `inlined` prefixes, `name` that of the figure."""
    keep = _MEDIUM.get().keep
    if keep is None:
        return Figure(name=name, caption=caption, alt=alt, svg=inlined(canvas, ids, alt))
    figure = Figure(name=name, caption=caption, alt=alt, svg="")
    keep(canvas, figure)
    return figure


def inlined(canvas: Canvas, name: str, alt: str) -> str:
    """The SVG of `canvas`, its identifiers prefixed by `name`, which must be the only one of its page."""
    text = _svg(canvas)
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style type=\"text/css\">.*?</style>", "", body, flags=re.DOTALL)
    body = _with_page_colours(_with_own_identifiers(body, name))
    view_box = re.search(r'viewBox="[^"]*"', body)
    assert view_box is not None
    head = f'<svg {view_box[0]} role="img" aria-label="{html.escape(alt)}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return re.sub(r"^<svg[^>]*>", lambda _: head, body)


def _svg(canvas: Canvas) -> str:
    """What `canvas.savefig` writes, in half the time: that draws all twice, the first time for the layout alone."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415 - as above

    target: Any = FigureCanvasSVG(canvas)
    canvas.set_dpi(DPI)
    layout = canvas.get_layout_engine()
    if layout is not None:
        layout.execute(canvas)
        canvas.set_layout_engine("none")
    stream = io.StringIO()
    target.print_svg(stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return stream.getvalue()


def _with_own_identifiers(svg: str, name: str) -> str:
    svg = re.sub(r'(<[^<>]*\sid=")', rf"\1{name}-", svg)
    return re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", svg)


def _with_page_colours(svg: str) -> str:
    variables = {colour: f"var(--{name.removeprefix('nlbench:')})" for name, colour in PAGE_MEDIUM.colours.items()}
    coloured = re.sub("|".join(variables), lambda found: variables[found[0]], svg)
    return coloured.replace("'DejaVu Sans'", "var(--sans)")
