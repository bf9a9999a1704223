"""The sections of a method's page: rows and figures of the run's page that are of one method."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from reports.cost import Cost, costs
from reports.crops import Scene, Strip, scenes
from reports.crossover_table import crossings, references
from reports.figures import training_figures
from reports.frames import BASELINE, Frames
from reports.gallery import Album
from reports.growth_figures import growth_figures
from reports.machines import machine_names
from reports.method_names import Method
from reports.method_tables import Mine, claims_about, kept, labels_by_head, mentions
from reports.names import slug
from reports.page import page_content
from reports.palette import Look, looks
from reports.quality import qualities
from reports.race import Race
from reports.roofline import ceilings
from reports.roofline_figure import roofline_figure
from reports.scaling import Growth, growths
from reports.seen import when_seen
from reports.svg import Figure
from reports.table_files import Placed, placed_tables
from reports.tables import Table

HEADINGS: Mapping[str, str] = {
    "Quality": "quality",
    "Where attention helps and where it harms": "harm",
    "Whom attention attends to": "attention",
    "Cost": "cost",
    "In turn": "race",
    "Growth": "cost",
    "Roofline": "race",
    "Benchmarks": "benchmarks",
    "Claims": "claims",
    "Training": "training",
}
"""The sections, and where the run's page has the like of all methods."""
WORDS: Mapping[str, str] = {
    "Roofline": "Its points under the roof of the machine, beside dense attention where that ran.",
    "Benchmarks": "Imported benchmarks that have its name as a word in theirs.",
    "Claims": "The claims that are about it, or that hold another method against it.",
}
"""What has to be said first."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a method's page: figures, then tables under the headings of their `parts`, of which one alone has none.

    `more` is where the run's page has the like of all methods.
    """

    title: str
    more: str
    words: str
    figures: Sequence[Figure]
    parts: Mapping[str, Sequence[Table]]

    @property
    def anchor(self) -> str:
        """Its own place."""
        return f"section-{slug(self.title)}"

    @property
    def tables(self) -> int:
        """How many there are."""
        return sum(map(len, self.parts.values()))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whole:
    """What all pages take their parts from, made once."""

    frames: Frames
    content: Mapping[str, Any]
    placed: Sequence[Placed]
    raced: Sequence[Race]
    grown: Sequence[tuple[Cost, Sequence[Growth], Mapping[str, str]]]
    looks: Mapping[str, Look]
    scenes: Sequence[Scene]
    baselines: frozenset[str]
    best: frozenset[str]
    about: Mapping[str, frozenset[str]]
    """The labels that rows are about, by their heads."""
    places: Mapping[str, str]
    """What machines are called, where there are several."""


def whole_of(frames: Frames, raced: Sequence[Race]) -> Whole:
    """Drawn and computed here, for all methods at once."""
    grown = [(cost, growths(cost), references(frames, cost)) for cost in costs(frames)]
    grown += [(race.cost, growths(race.cost), dict(race.references)) for race in raced]
    labels = (*frames.labels, *(label for race in raced for label in race.labels))
    baselines = frames.tasks.loc[frames.tasks["method"] == BASELINE, "label"]
    content, places = page_content(frames), machine_names(frames)
    placed = placed_tables(content)
    return Whole(
        frames=frames,
        content=content,
        placed=placed,
        raced=raced,
        grown=grown,
        looks=looks(tuple(dict.fromkeys(labels))),
        scenes=list(scenes(frames)),
        baselines=frozenset(map(str, baselines)),
        best=frozenset(label for quality in qualities(frames) for label in quality.ranking[:1]),
        about=labels_by_head({row.head for each in placed for row in each.table.rows}, frozenset(labels)),
        places=places if len(places) > 1 else {},
    )


def sections(whole: Whole, method: Method) -> list[Section]:
    """Those that have anything, in the order of the run's page."""
    own = frozenset(method.labels)
    figures = {"Growth": _growth(whole, own), "Roofline": _roofline(whole, own), "Training": _training(whole, own)}
    tables = _tables(whole, method)
    found = [
        Section(
            title=title,
            more="race" if title == "Growth" and not whole.content["cost"] else more,
            words=WORDS.get(title, ""),
            figures=figures.get(title, []),
            parts=_parts(tables.get(title, [])),
        )
        for title, more in HEADINGS.items()
    ]
    return [section for section in found if section.tables or section.figures]


Parted = Sequence[tuple[str, Table]]
"""Tables with the headings that they stand under on the run's page."""


def _tables(whole: Whole, method: Method) -> dict[str, list[tuple[str, Table]]]:
    """The method's rows of every table, by section."""
    found: dict[str, list[tuple[str, Table]]] = {}
    for each in whole.placed:
        table = None if each.name == "claims" else kept(each.table, _mine(whole, method, each), whole.baselines)
        if table is not None:
            title = "Roofline" if each.name == "roofline" else each.section
            found.setdefault(title, []).append((each.part, table))
    shown = [row.head for each in whole.placed if each.name == "claims" for row in each.table.rows]
    return found | {"Claims": [("", table) for table in claims_about(whole.frames, shown, method.name)]}


def _mine(whole: Whole, method: Method, placed: Placed) -> Mine:
    if placed.name == "benchmarks":
        return lambda head: mentions(head, (method.name, method.title))
    return lambda head: not whole.about[head].isdisjoint(method.labels)


def _parts(tables: Parted) -> dict[str, list[Table]]:
    """Tables by their headings; one heading for all of them says nothing."""
    if len({part for part, _ in tables}) <= 1:
        return {"": [table for _, table in tables]}
    found: dict[str, list[Table]] = {}
    for part, table in tables:
        found.setdefault(part, []).append(table)
    return found


def _growth(whole: Whole, own: Collection[str]) -> list[Figure]:
    """Growth of the method's cells beside dense attention."""
    found: list[Figure] = []
    for i, (cost, grown, dense) in enumerate(whole.grown):
        crossed = {backend: crossings(grown, label) for backend, label in dense.items()}
        beside = [each for each in grown if each.label in own or each.label in dense.values()]
        if any(each.label in own for each in beside):
            drawn = growth_figures(cost, beside, crossed, whole.looks, f"g{i}")
            found += [_told(whole, figure, cost.machine) for figure in drawn]
    return found


def _told(whole: Whole, figure: Figure, machine: str) -> Figure:
    """Whose figures they are, where there are several machines."""
    place = whole.places.get(machine)
    return _of(place, figure) if place else figure


@when_seen
def _of(place: str, figure: Figure) -> Figure:
    return Figure(name=figure.name, caption=f"On {place}: {figure.caption}", alt=figure.alt, svg=figure.svg)


def _roofline(whole: Whole, own: frozenset[str]) -> list[Figure]:
    """The method's points beside those of dense attention, of each race whose ceilings were measured."""
    found: list[Figure] = []
    for i, race in enumerate(whole.raced):
        beside = tuple(label for label in race.labels if label in own or label in race.references.values())
        roof = ceilings(whole.frames, race)
        if roof is not None and not own.isdisjoint(beside):
            figure = roofline_figure(dataclasses.replace(race, labels=beside), roof, whole.looks, f"r{i}")
            found += [_told(whole, figure, race.machine)] if figure else []
    return found


def _training(whole: Whole, own: Collection[str]) -> list[Figure]:
    records = whole.frames.records
    chosen = dataclasses.replace(whole.frames, records=records[records["label"].isin(list(own))])
    return training_figures(chosen, whole.looks, "t")


def crops(whole: Whole, own: Collection[str], album: Album) -> list[Strip]:
    """Crops of the method beside the original, the baseline and the best; none where it has none."""
    beside = {*own, *whole.baselines, *whole.best}
    found = []
    for scene in whole.scenes:
        tiles = scene.crops.tiles
        if any(tile.title in own for tile in tiles):
            drawn = {str(label) for label in whole.frames.labels} - beside
            shown = tuple(tile for tile in tiles if tile.title not in drawn)
            found.append(album.place(dataclasses.replace(scene.crops, tiles=shown)))
    return found
