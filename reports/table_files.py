"""The tables of a page by name, as Markdown, LaTeX and CSV, for papers and notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from datasets.naming import nearest
from harness.errors import UserError
from reports.frames import Frames
from reports.latex import NEEDS, comment, label_of, latex
from reports.markup import csv, markdown
from reports.markup import escaped as escaped_markdown
from reports.page import page_content
from reports.several import called, origin
from reports.tables import Table

Form = Literal["csv", "md", "tex"]
FORMS: tuple[Form, ...] = get_args(Form)
Found = Table | Sequence[Table] | None
"""What a page has in one place."""
MOST_FLOATS = 16
"""Tables in a row of which LaTeX keeps track before it sets them."""


class Placed(NamedTuple):
    """A table with the name by which it is asked for, and the headings that it stands under."""

    name: str
    section: str
    part: str
    table: Table


class Chosen(NamedTuple):
    """Tables in the order of their page, and where they come from; `whole` if they are all."""

    tables: Sequence[Placed]
    origin: str
    whole: bool


def choose(frames: Frames, names: Sequence[str] = ()) -> Chosen:
    """The tables of `names`, or all without any.

    Raises:
        UserError: there is no such table, or none at all.
    """
    found, runs = placed_tables(page_content(frames)), called(frames)
    known = {each.name for each in found}
    for name in names:
        if name not in known:
            raise UserError(f"no table {name!r} in {runs}: {nearest(name, known)}")
    if not found:
        raise UserError(f"no tables in {runs} yet")
    chosen = [each for each in found if not names or each.name in names]
    return Chosen(tables=chosen, origin=origin(frames), whole=not names)


def form_of(file: Path | None, form: str | None = None) -> Form | None:
    """The form that is asked for, or that the name of `file` tells; without either, none: for the terminal.

    Raises:
        UserError: the name of the file tells none.
    """
    if file is None and form is None:
        return None
    told = form or (file.suffix.removeprefix(".") if file else "")
    for known in FORMS:
        if told == known:
            return known
    names = nearest(f".{told}", (f".{each}" for each in FORMS))
    raise UserError(f"cannot tell the format of {file} by its name, and no --format is given: {names}")


def written(chosen: Chosen, form: Form) -> str:
    """All of it in one text."""
    if form == "csv":
        return csv([each.table for each in chosen.tables])
    return _as_markdown(chosen) if form == "md" else _as_latex(chosen)


def placed_tables(content: Mapping[str, Any]) -> list[Placed]:
    """All tables of a page's `content`, in its order."""
    return [
        *_each("overview", "Quality", "All sets", content["overview"]),
        *_placed("Quality", content["quality"], SCORED),
        *_each("ways", "Quality", "Ways of asking", content["ways"]),
        *_placed("Where attention helps and where it harms", content["harm"]["parts"], {"harm": "tables"}),
        *_each("attention", "Whom attention attends to", "", content["attention"]["tables"]),
        *_placed("Cost", content["cost"], GROWN | {"cost": "tables"}),
        *_placed("In turn", map(_with_roofline, content["race"]), {"race": "tables"} | GROWN | LAST),
        *_each("benchmarks", "Benchmarks", "", content["benchmarks"]),
        *_each("claims", "Claims", "", content["claims"]),
    ]


SCORED = {"quality": "table", "twins": "twins", "ablation": "ablations", "published": "published", "pairs": "pairs"}
GROWN = {"scaling": "scaling", "regimes": "local", "crossover": "crossover", "amdahl": "amdahl"}
LAST = {"roofline": "roofline", "further": "further"}


def _with_roofline(part: Mapping[str, Any]) -> dict[str, Any]:
    return {**part, "roofline": part["roofline"]["tables"]}


def _placed(section: str, parts: Any, names: Mapping[str, str]) -> Iterator[Placed]:
    """Of every part of a section, by their names and where each part holds them."""
    for part in parts:
        for name, key in names.items():
            yield from _each(name, section, str(part["title"]), part[key])


def _each(name: str, section: str, part: str, found: Found) -> Iterator[Placed]:
    for table in [found] if isinstance(found, Table) else found or ():
        yield Placed(name, section, part, table)


def _as_markdown(chosen: Chosen) -> str:
    """Tables below each other; those of a whole page under its headings."""
    parts = [f"{'# ' if chosen.whole else ''}{escaped_markdown(chosen.origin)}\n"]
    for headings, each in _headed(chosen.tables):
        told = [f"{'#' * level} {escaped_markdown(heading)}\n" for level, heading in headings]
        parts += [*(told if chosen.whole else []), markdown(each.table)]
    return "\n".join(parts)


def _as_latex(chosen: Chosen) -> str:
    """The same for a paper to read in; headings are comments, and every label is another one."""
    parts, labels = [f"{comment(chosen.origin)}\n% needs {NEEDS}\n"], Counter[str]()
    for number, (headings, each) in enumerate(_headed(chosen.tables), start=1):
        label = label_of(each.table)
        labels[label] += 1
        told = [f"{comment(heading)}\n" for _, heading in headings]
        own = latex(each.table, label if labels[label] == 1 else f"{label}-again-{labels[label] - 1}")
        parts += [*(told if chosen.whole else []), own, *([] if number % MOST_FLOATS else ["\\clearpage\n"])]
    return "\n".join(parts)


def _headed(chosen: Sequence[Placed]) -> Iterator[tuple[list[tuple[int, str]], Placed]]:
    """Each table with the headings that begin at it, and their levels."""
    section = part = ""
    for each in chosen:
        begins = each.section != section
        headings = [(2, each.section)] if begins else []
        headings += [(3, each.part)] if each.part and (begins or each.part != part) else []
        yield headings, each
        section, part = each.section, each.part
