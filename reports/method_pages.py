"""A page for each method of a run: its cells, its rows beside the best and the baseline, its figures, its failures."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reports.cost import Cost, costs
from reports.crops import Scene, Strip, scenes
from reports.crossover_table import crossings, references
from reports.figures import training_figures
from reports.frames import BASELINE, Frames
from reports.gallery import Album, Embedded
from reports.growth_figures import growth_figures
from reports.page import page_content, rendered, write_whole
from reports.palette import Look, looks
from reports.quality import qualities
from reports.race import Race, races
from reports.scaling import Growth, growths
from reports.svg import Figure
from reports.tables import DASH, TIMES, Column, Entry, Row, Table, described, fixed, make_table, missing

INDEX = "index.html"
LONGEST = 60
"""Letters of a method's name in that of its file."""
SECTIONS: Mapping[str, str] = {
    "overview": "Quality",
    "quality": "Quality",
    "ways": "Quality",
    "harm": "Help and harm",
    "attention": "Whom attention attends to",
    "cost": "Cost",
    "race": "In turn",
}
"""The parts of the report whose rows are methods, and the sections that they stand in here."""
PUBLISHED = (
    Column(key="psnr", title="PSNR-Y", unit="dB"),
    Column(key="ssim", title="SSIM-Y"),
    Column(key="source", title="Published in", words=True),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """A method of a run: its catalogue name, what it is called, and the labels of its cells and contenders."""

    name: str
    title: str
    labels: tuple[str, ...]

    @property
    def file(self) -> str:
        """The name of its page: letters that every file system takes, and a digest where that loses some."""
        plain = re.sub(r"[^a-z0-9_]+", "-", self.name)[:LONGEST].strip("-")
        if plain and plain == self.name:
            return f"method-{plain}.html"
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:8]
        return f"method-{'-'.join(filter(None, (plain, digest)))}.html"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Report:
    """What all pages take their parts from, made once."""

    frames: Frames
    content: Mapping[str, Any]
    grown: Sequence[tuple[Cost, Sequence[Growth], Mapping[str, str]]]
    looks: Mapping[str, Look]
    scenes: Sequence[Scene]
    baselines: frozenset[str]
    best: frozenset[str]
    about: Mapping[str, frozenset[str]]
    """The labels that rows are about, by their heads."""


def method_pages(frames: Frames, folder: Path) -> list[Path]:
    """Write `method-NAME.html` for each method of the run and `index.html`, the last of what comes back.

    Raises:
        OSError: a page cannot be written.
    """
    raced = races(frames)
    report = _report(frames, raced)
    methods = methods_of(frames, raced)
    shown = [(method, _content(report, method)) for method in methods]
    for method, content in shown:
        write_whole(folder / method.file, rendered("method.html", content))
    index = {"run": frames.run, "methods": [(method, _told(content)) for method, content in shown]}
    write_whole(folder / INDEX, rendered("methods.html", index))
    return [*(folder / method.file for method in methods), folder / INDEX]


def methods_of(frames: Frames, raced: Sequence[Race]) -> list[Method]:
    """The methods of cells and of what ran in turn, in the order in which the run asked for them, but the baseline.

    Of what ran in turn, stores of earlier versions do not tell the method.
    """
    cells = frames.tasks[frames.tasks["label"].isin(frames.labels)].drop_duplicates("label")
    named = [(str(spec["method"]), str(spec["title"]), str(label)) for label, spec in _pairs(cells)]
    raced_methods = [(race.subjects.get(label, {}).get("method"), label) for race in raced for label in race.labels]
    named += [(str(name), str(name), label) for name, label in raced_methods if name]
    found: dict[str, tuple[str, dict[str, None]]] = {}
    for name, title, label in named:
        if name != BASELINE:
            found.setdefault(name, (title, {}))[1][label] = None
    return [Method(name=name, title=title, labels=tuple(labels)) for name, (title, labels) in found.items()]


def _pairs(cells: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return zip(cells["label"], cells["cell_spec"], strict=True)


def _report(frames: Frames, raced: Sequence[Race]) -> _Report:
    grown = [(cost, growths(cost), references(frames, cost)) for cost in costs(frames)]
    grown += [(race.cost, growths(race.cost), dict(race.references)) for race in raced]
    labels = (*frames.labels, *(label for race in raced for label in race.labels))
    baselines = frames.tasks.loc[frames.tasks["method"] == BASELINE, "label"]
    content = page_content(frames)
    heads = {row.head for part in SECTIONS for table in _tables(content[part]) for row in table.rows}
    return _Report(
        frames=frames,
        content=content,
        grown=grown,
        looks=looks(tuple(dict.fromkeys(labels))),
        scenes=list(scenes(frames)),
        baselines=frozenset(map(str, baselines)),
        best=frozenset(label for quality in qualities(frames) for label in quality.ranking[:1]),
        about={head: _about(head, frozenset(labels)) for head in heads},
    )


def _about(head: str, labels: Collection[str]) -> frozenset[str]:
    """The labels that a row is about: one, of which it may show a quantity or what is published, or a pair."""
    pair = {label for label in labels if head.startswith(f"{label} {DASH} ") or head.endswith(f" {DASH} {label}")}
    if pair:
        return frozenset(pair)
    fitting = [label for label in labels if head == label or head.startswith((f"{label}: ", f"{label}, "))]
    return frozenset([max(fitting, key=len)] if fitting else [])


def _content(report: _Report, method: Method) -> dict[str, Any]:
    """All that the template of one method shows."""
    own = set(method.labels)
    return {
        "run": report.frames.run,
        "method": method,
        "cells": _cells(report.frames, own),
        "published": _published(report.frames, method),
        "sections": _sections(report, own),
        "growth": _growth(report, own),
        "training": _training(report, own),
        "crops": _crops(report, own, Embedded()),
        "failures": [row for row in report.content["failures"] if row["label"] in own],
        "not_run": [row for row in report.content["not_run"] if row["label"] in own],
    }


def _told(content: Mapping[str, Any]) -> dict[str, int]:
    """What the index counts of a page."""
    tables = sum(len(tables) for tables in content["sections"].values())
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


def _sections(report: _Report, own: Collection[str]) -> dict[str, list[Table]]:
    """The method's rows of every table, by section."""
    found: dict[str, list[Table]] = {}
    for part, title in SECTIONS.items():
        kept = [_kept(table, own, report) for table in _tables(report.content[part])]
        found.setdefault(title, []).extend(table for table in kept if table is not None)
    return {title: tables for title, tables in found.items() if tables}


def _tables(content: Any) -> Iterator[Table]:
    """All tables in a part of the report, in their order."""
    if isinstance(content, Table):
        yield content
    elif isinstance(content, Mapping | list | tuple):
        for each in content.values() if isinstance(content, Mapping) else content:
            yield from _tables(each)


def _kept(table: Table, own: Collection[str], report: _Report) -> Table | None:
    """The rows of the method with those of the baseline and of whatever is best in a column; None without its own."""
    about = [not report.about[row.head].isdisjoint(own) for row in table.rows]
    best = _best(table)
    beside = [row.head in report.baselines or row.head in best for row in table.rows]
    rows = [row for row, *kept in zip(table.rows, about, beside, strict=True) if any(kept)]
    plain = tuple(dataclasses.replace(row, records="") for row in rows)
    return dataclasses.replace(table, rows=plain, protocol=None) if any(about) else None


def _best(table: Table) -> set[str]:
    """The row that is best in each column, the first of those that are alike."""
    ranked = [[row.head for row in table.rows if row.entries[each.key].rank == "best"] for each in table.columns]
    return {heads[0] for heads in ranked if heads}


def _growth(report: _Report, own: Collection[str]) -> list[Figure]:
    """Growth of the method's cells beside dense attention."""
    found: list[Figure] = []
    for i, (cost, grown, dense) in enumerate(report.grown):
        crossed = {backend: crossings(grown, label) for backend, label in dense.items()}
        beside = [each for each in grown if each.label in own or each.label in dense.values()]
        if any(each.label in own for each in beside):
            found += growth_figures(cost, beside, crossed, report.looks, f"g{i}")
    return found


def _training(report: _Report, own: Collection[str]) -> list[Figure]:
    records = report.frames.records
    chosen = dataclasses.replace(report.frames, records=records[records["label"].isin(list(own))])
    return training_figures(chosen, report.looks, "t")


def _crops(report: _Report, own: Collection[str], album: Album) -> list[Strip]:
    """Crops of the method beside the original, the baseline and the best; none where it has none."""
    beside = {*own, *report.baselines, *report.best}
    found = []
    for scene in report.scenes:
        tiles = scene.crops.tiles
        if any(tile.title in own for tile in tiles):
            drawn = {str(label) for label in report.frames.labels} - beside
            kept = tuple(tile for tile in tiles if tile.title not in drawn)
            found.append(album.place(dataclasses.replace(scene.crops, tiles=kept)))
    return found
