"""Exports of a store: raw records, the tables of a run's page for papers and notes, its figures for trackers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from datasets.naming import nearest
from harness.errors import UserError
from harness.store import Store
from reports.frames import Frames, load
from reports.latex import NEEDS, label_of, latex
from reports.markup import csv, markdown
from reports.markup import escaped as escaped_markdown
from reports.page import page_content, write_whole
from reports.tables import Table
from reports.trackers import Tracker, tracked

TRACKERS: tuple[Tracker, ...] = get_args(Tracker)
FILES = ("csv", "parquet", "md", "tex")
"""Forms that the name of a file tells."""
FORMS = (*FILES, *TRACKERS)
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


def export(store: Store, file: Path, form: str, names: Sequence[str] = (), run_id: str | None = None) -> str:
    """Write an export to `file`, whole; returns a sentence on what it holds.

    `names` are those of tables; `run_id` is the beginning of one. Without one, raw records are those of all runs,
    everything else is of the newest.

    Raises:
        UserError: no such run or table, nothing to write, or tables asked for in a form that has none.
        OSError: the file cannot be written.
    """
    if names and form in {"parquet", *TRACKERS}:
        raise UserError(f"{form} has no tables: leave out --table, or write .md, .tex or .csv")
    if form == "parquet" or (form == "csv" and not names):
        return _records(store, file, form, run_id)
    frames = load(store, store.run_id(run_id))
    if form in TRACKERS:
        return _figures(frames, file, next(each for each in TRACKERS if each == form))
    return _tables(frames, file, form, names)


def form_of(file: Path, form: str | None = None) -> str:
    """The form that is asked for, or that the name of `file` tells.

    Raises:
        UserError: it tells none.
    """
    told = form or file.suffix.removeprefix(".")
    if told in FORMS:
        return told
    if told == "json":
        raise UserError(f"{file}: several forms are JSON: give --format {', '.join(TRACKERS[:-1])} or {TRACKERS[-1]}")
    names = nearest(f".{told}", (f".{each}" for each in FILES))
    raise UserError(f"cannot tell the format of {file} by its name, and no --format is given: {names}")


def placed_tables(content: Mapping[str, Any]) -> list[Placed]:
    """All tables of a page's `content`, in its order."""
    return [
        *_placed("Quality", content["quality"], {"quality": "table", "published": "published", "pairs": "pairs"}),
        *_each("ways", "Quality", "Ways of asking", content["ways"]),
        *_placed("Where attention helps and where it harms", content["harm"]["parts"], {"harm": "tables"}),
        *_each("attention", "Whom attention attends to", "", content["attention"]["tables"]),
        *_placed("Cost", content["cost"], GROWN | {"cost": "tables"}),
        *_placed("In turn", map(_with_roofline, content["race"]), {"race": "tables"} | GROWN | LAST),
        *_each("benchmarks", "Benchmarks", "", content["benchmarks"]),
        *_each("claims", "Claims", "", content["claims"]),
    ]


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


def _records(store: Store, file: Path, form: str, run_id: str | None) -> str:
    frame = store.measurements(store.run_id(run_id) if run_id else None)
    write_whole(file, frame.to_csv(index=False) if form == "csv" else frame.to_parquet(None, index=False))
    return f"{len(frame):,} records written to {file}"


def _figures(frames: Frames, file: Path, tracker: Tracker) -> str:
    found = tracked(frames, tracker)
    write_whole(file, found.text)
    left_out = f"; {found.left_out} left out: infinite, or of a part of the images" if found.left_out else ""
    return f"{found.count:,} figures written to {file}{left_out}"


def _tables(frames: Frames, file: Path, form: str, names: Sequence[str]) -> str:
    found = placed_tables(page_content(frames))
    chosen = _chosen(found, names, str(frames.run["id"]))
    if form == "csv":
        write_whole(file, csv([each.table for each in chosen]))
    else:
        document = as_markdown if form == "md" else as_latex
        write_whole(file, document(chosen, _origin(frames), whole=not names))
    return f"{len(chosen)} table{'s' if len(chosen) > 1 else ''} written to {file}"


def _chosen(found: Sequence[Placed], names: Sequence[str], run_id: str) -> list[Placed]:
    """Those of `names`, in the order of the page; all if there are none."""
    known = {each.name for each in found}
    for name in names:
        if name not in known:
            raise UserError(f"run {run_id[:8]} has no table {name!r}: {nearest(name, known)}")
    if not found:
        raise UserError(f"run {run_id[:8]} has no tables yet")
    return [each for each in found if not names or each.name in names]


def _origin(frames: Frames) -> str:
    """Where all of it comes from, on one line."""
    run = frames.run
    commit = f"commit {str(run['commit_id'])[:12]}{' with uncommitted changes' if run['dirty'] else ''}"
    grid = " ".join(re.split(r"\s+", str(run["grid_name"])))
    return f"nlbench: {grid}, run {str(run['id'])[:12]}, started {str(run['started_at'])[:10]}, {commit}"


def as_markdown(chosen: Sequence[Placed], origin: str, *, whole: bool) -> str:
    """Tables below each other; those of a `whole` page under its headings."""
    parts = [f"{'# ' if whole else ''}{escaped_markdown(origin)}\n"]
    for headings, each in _headed(chosen):
        told = [f"{'#' * level} {escaped_markdown(heading)}\n" for level, heading in headings]
        parts += [*(told if whole else []), markdown(each.table)]
    return "\n".join(parts)


def as_latex(chosen: Sequence[Placed], origin: str, *, whole: bool) -> str:
    """The same for a paper to read in; headings are comments, and every label is another one."""
    parts, labels = [f"% {origin}\n% needs {NEEDS}\n"], Counter[str]()
    for number, (headings, each) in enumerate(_headed(chosen), start=1):
        label = label_of(each.table)
        labels[label] += 1
        told = [f"% {heading}\n" for _, heading in headings]
        own = latex(each.table, label if labels[label] == 1 else f"{label}-again-{labels[label] - 1}")
        parts += [*(told if whole else []), own, *([] if number % MOST_FLOATS else ["\\clearpage\n"])]
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
