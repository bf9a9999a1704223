"""Matplotlib figures as SVG inside a page: text stays text, colours follow the page, identifiers never collide."""

from __future__ import annotations

import dataclasses
import html
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from reports.palette import LIGHT

INK, MUTED, RULE, PAGE = "#1d1d01", "#1d1d02", "#1d1d03", "#1d1d04"
"""Stand-ins that Matplotlib can draw with; `inlined` puts the page's own colours in their place."""

VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)", PAGE: "var(--page)"}

STYLE: dict[Any, Any] = sns.axes_style("ticks") | {
    "svg.fonttype": "none",
    "svg.hashsalt": "nlbench",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
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

WIDTH = 4.4
"""Inches, 72 points each: a figure that shrinks to a phone keeps its text readable."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of the page: what it shows, in words for those who cannot see it, and its SVG."""

    caption: str
    alt: str
    svg: str


def series_colour(series: int) -> str:
    """The stand-in for the colour of series `series`."""
    return f"#5e{series:02x}01"


@contextmanager
def drawing(height: float) -> Iterator[Canvas]:
    """An empty canvas in the page's style; nothing of the style outlives the block.

    Text goes to the page as text, so whether Matplotlib's own font holds a label's letters does not matter.
    """
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        canvas = Canvas(figsize=(WIDTH, height))
        FigureCanvasAgg(canvas)
        yield canvas


def inlined(canvas: Canvas, name: str, alt: str) -> str:
    """The SVG of `canvas`, its identifiers prefixed by `name`, which must be the only one of its page."""
    stream = io.StringIO()
    canvas.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style type=\"text/css\">.*?</style>", "", body, flags=re.DOTALL)
    body = _with_page_colours(_with_own_identifiers(body, name))
    view_box = re.search(r'viewBox="[^"]*"', body)
    assert view_box is not None
    head = f'<svg {view_box[0]} role="img" aria-label="{html.escape(alt)}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return re.sub(r"^<svg[^>]*>", lambda _: head, body)


def _with_own_identifiers(svg: str, name: str) -> str:
    svg = re.sub(r'(<[^<>]*\sid=")', rf"\1{name}-", svg)
    return re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", svg)


def _with_page_colours(svg: str) -> str:
    variables = VARIABLES | {series_colour(i): f"var(--series-{i})" for i in range(len(LIGHT))}
    coloured = re.sub("|".join(variables), lambda found: variables[found[0]], svg)
    return coloured.replace("'DejaVu Sans'", "var(--sans)")
