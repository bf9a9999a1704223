"""Figures of a page as files for papers: at the width of a column, in real colours, with fonts embedded.

They are drawn by the same code as those of the page, for another medium. Nothing here needs LaTeX.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text

from datasets.naming import nearest
from harness.errors import UserError
from reports.files import write_whole
from reports.frames import Frames
from reports.markup import POWER
from reports.page import page_content
from reports.several import called, origin
from reports.svg import Figure, drawn_for, printed

Kind = Literal["pdf", "svg", "png"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WIDTHS: Mapping[str, float] = {"column": 3.33, "text": 6.9}
"""Inches of a column of a paper of two, and of both."""
NARROWEST, WIDEST = 3.25, 12.0
"""Inches between which names in legends and at ticks have room and type looks as intended."""
SCALE = 0.8
"""Of type, lines and marks against the page: its 10 points become 8."""
RESOLUTION = 600
"""Dots per inch of PNG, as journals ask of drawings."""
NAME = "{name}"
"""What stands for the name of a figure in that of a file."""
STYLE: dict[Any, Any] = {"pdf.fonttype": 42, "svg.fonttype": "none"}
FAMILY = "'DejaVu Sans'"
FAMILIES = f"{FAMILY}, Verdana, sans-serif"
"""Verdana is as wide, and on most machines that have no DejaVu."""
RAISED = r'n<tspan dy="-0.5em" font-size="70%">\1</tspan><tspan dy="0.35em"/>'
"""A power in SVG, and the way back to the line."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """A figure with its content in the kind of file that was asked for; `unprinted` are letters that no font has."""

    figure: Figure
    content: bytes
    unprinted: str


def listed(frames: Frames) -> list[tuple[str, str]]:
    """The name and caption of each figure, in the order of drawing."""
    return [(each.name, each.caption) for each in _figures(frames, WIDTHS["column"], lambda *_: None)]


def write_figures(frames: Frames, file: str, names: Sequence[str] = (), width: str = "column") -> list[str]:
    """Write figures to `file`, where `{name}` stands for the name of each; returns a sentence on every file.

    Without `names`, all of them. `width` is column, text, or inches.

    Raises:
        UserError: no such figure, kind of file or width, or several figures for one file.
        UserError: a file cannot be written.
    """
    kind, inches = kind_of(Path(file)), inches_of(width)
    kept: list[Kept] = []

    def keep(canvas: Canvas, figure: Figure) -> None:
        if not names or figure.name in names:
            content = _content(canvas, figure, kind, origin(frames))
            kept.append(Kept(figure=figure, content=content, unprinted=_unprinted(canvas)))

    known = [figure.name for figure in _figures(frames, inches, keep)]
    _check(names, known, called(frames))
    if len(kept) > 1 and NAME not in file:
        raise UserError(f"{len(kept)} figures cannot share {file}: write {NAME} into its name, or name one figure")
    return [_written(each, Path(file.replace(NAME, each.figure.name))) for each in kept]


def kind_of(file: Path) -> Kind:
    """The kind that the name of `file` tells.

    Raises:
        UserError: it tells none.
    """
    told = file.suffix.lower().removeprefix(".")
    for kind in KINDS:
        if told == kind:
            return kind
    names = nearest(f".{told}", (f".{kind}" for kind in KINDS))
    raise UserError(f"cannot tell by the name of {file} what to write: {names}")


def inches_of(width: str) -> float:
    """The width that is asked for: a name of `WIDTHS`, or a number of inches.

    Raises:
        UserError: it is neither, or figures would not be readable at it.
    """
    if width in WIDTHS:
        return WIDTHS[width]
    try:
        inches = float(width)
    except ValueError:
        known = nearest(width, [*WIDTHS, "a number of inches"])
        raise UserError(f"--width {width} is no width: {known}") from None
    if not NARROWEST <= inches <= WIDEST:
        raise UserError(f"--width {width}: figures are {NARROWEST:g} to {WIDEST:g} inches wide")
    return inches


def _figures(frames: Frames, inches: float, keep: Callable[[Canvas, Figure], None]) -> list[Figure]:
    """Draw all figures of the page on paper and hand them to `keep`; of equal names, later ones get a number."""
    found: list[Figure] = []

    def numbered(canvas: Canvas, figure: Figure) -> None:
        found.append(dataclasses.replace(figure, name=_free(figure.name, {each.name for each in found})))
        keep(canvas, found[-1])

    with drawn_for(printed(inches, SCALE, numbered)):
        page_content(frames)
    return found


def _free(name: str, taken: Collection[str]) -> str:
    """`name`, or with the first number from 2 on that is not taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _check(names: Sequence[str], known: Sequence[str], runs: str) -> None:
    for name in names:
        if name not in known:
            raise UserError(f"no figure {name!r} in {runs}: {nearest(name, known)}")
    if not known:
        raise UserError(f"no figures in {runs} yet")


def _content(canvas: Canvas, figure: Figure, kind: Kind, told: str) -> bytes:
    """The file of a figure, the same each time, which says in its properties what it shows and where that is from."""
    stream = io.BytesIO()
    if kind != "svg":
        _raise_powers(canvas)
    with mpl.rc_context(STYLE):
        canvas.savefig(stream, format=kind, dpi=RESOLUTION, **_properties(figure, kind, told))
    content = stream.getvalue()
    return _alone(content.decode()).encode() if kind == "svg" else content


def _alone(svg: str) -> str:
    """An SVG that needs no font of ours; Matplotlib would set powers letter by letter."""
    named = svg.replace(FAMILY, FAMILIES)
    return re.sub(r"<text.*?</text>", lambda text: POWER.sub(RAISED, text[0]), named, flags=re.DOTALL)


def _raise_powers(canvas: Canvas) -> None:
    """Print `n^1.23` as a power; all else of such a text stays as it is, and so does one with letters of no font."""
    for text in canvas.findobj(Text):
        if isinstance(text, Text) and POWER.search(text.get_text()) and not _lacking(text):
            text.set_parse_math(True)
            text.set_text(POWER.sub(r"n$^{\1}$", text.get_text().replace("$", r"\$")))


def _properties(figure: Figure, kind: Kind, told: str) -> dict[str, Any]:
    if kind == "pdf":
        return {"metadata": {"Title": figure.caption, "Subject": told, "Creator": "nlbench", "CreationDate": None}}
    if kind == "svg":
        return {"metadata": {"Title": figure.caption, "Description": told, "Creator": "nlbench", "Date": None}}
    return {"metadata": {"Title": figure.caption, "Description": told}, "facecolor": "white"}


def _unprinted(canvas: Canvas) -> str:
    """Letters that the fonts of a figure lack, in alphabetical order."""
    texts = [text for text in canvas.findobj(Text) if isinstance(text, Text)]
    return "".join(sorted(frozenset[str]().union(*map(_lacking, texts))))


def _lacking(text: Text) -> set[str]:
    held = get_font(findfont(text.get_fontproperties())).get_charmap()
    return {letter for letter in text.get_text() if ord(letter) not in held and letter != "\n"}


def _written(kept: Kept, file: Path) -> str:
    write_whole(file, kept.content)
    lacking = f"; letters that its font lacks: {kept.unprinted}" if kept.unprinted else ""
    return f"{kept.figure.name} written to {file}{lacking}"
