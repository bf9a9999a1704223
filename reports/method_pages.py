"""A page for each method of a run: its cells, its rows beside the best and the baseline, its figures, its failures."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from reports.files import write_whole
from reports.frames import Frames
from reports.gallery import Embedded
from reports.method_names import Method, methods_of
from reports.method_sections import Whole, crops, sections, whole_of
from reports.page import rendered
from reports.race import races
from reports.tables import TIMES, Column, Entry, Row, Table, described, fixed, make_table, missing

INDEX = "index.html"
PUBLISHED = (
    Column(key="psnr", title="PSNR-Y", unit="dB"),
    Column(key="ssim", title="SSIM-Y"),
    Column(key="source", title="Published in", words=True),
)


def method_pages(frames: Frames, folder: Path, page: Path) -> list[Path]:
    """Write `method-NAME.html` for each method of the run and `index.html`, the last of what comes back.

    They lead to `page`, that of the run, which has all methods side by side.

    Raises:
        UserError: a page cannot be written.
    """
    raced = races(frames)
    whole, link = whole_of(frames, raced), _link(page, folder)
    shown = [(method, _content(whole, method) | {"page": link}) for method in methods_of(frames, raced)]
    for method, content in shown:
        write_whole(folder / method.file, rendered("method.html", content))
    index = {"run": frames.run, "page": link, "methods": [(method, _told(content)) for method, content in shown]}
    write_whole(folder / INDEX, rendered("methods.html", index))
    return [*(folder / method.file for method, _ in shown), folder / INDEX]


def _link(page: Path, folder: Path) -> str:
    """From a page in `folder` to `page`."""
    return urllib.parse.quote(Path(os.path.relpath(page, folder)).as_posix())


def _content(whole: Whole, method: Method) -> dict[str, Any]:
    """All that the template of one method shows, but the way to the run's page."""
    own = frozenset(method.labels)
    return {
        "run": whole.frames.run,
        "method": method,
        "cells": _cells(whole.frames, own),
        "published": _published(whole.frames, method),
        "sections": sections(whole, method),
        "crops": crops(whole, own, Embedded()),
        "failures": [row for row in whole.content["failures"] if row["label"] in own],
        "not_run": [row for row in whole.content["not_run"] if row["label"] in own],
    }


def _told(content: Mapping[str, Any]) -> dict[str, int]:
    """What the index counts of a page."""
    tables = sum(section.tables for section in content["sections"])
    return {"cells": len(content["cells"]), "tables": tables, "failures": len(content["failures"])}


def _cells(frames: Frames, own: Collection[str]) -> list[dict[str, Any]]:
    cells = frames.tasks[frames.tasks["label"].isin(list(own))].drop_duplicates("cell_id")
    told = zip(cells["label"], cells["scale"], cells["seed"], cells["cell_spec"], strict=True)
    return [{"label": a, "scale": b, "seed": c, "settings": described(spec)} for a, b, c, spec in told]


def _published(frames: Frames, method: Method) -> Table | None:
    """What papers print of the method, under its name or its title, with and without self-ensemble."""
    held = frames.run["published"]
    names = dict.fromkeys(f"{name}{plus}" for plus in ("", "+") for name in (method.name, method.title))
    rows = [Row(head=_place(score, name), entries=_printed(score)) for name in names for score in held.get(name, [])]
    return make_table(f"{method.title}: published scores", PUBLISHED, rows, head="Data set") if rows else None


def _place(score: Mapping[str, Any], name: str) -> str:
    return f"{score['dataset']} {TIMES}{score['scale']}{', self-ensemble' if name.endswith('+') else ''}"


def _printed(score: Mapping[str, Any]) -> dict[str, Entry]:
    figures = {
        key: missing("not published") if score[key] is None else Entry(text=fixed(score[key], digits), value=score[key])
        for key, digits in (("psnr", 2), ("ssim", 4))
    }
    return figures | {"source": Entry(text=str(score["source"]))}
