"""Scores of all data sets side by side, as papers print them: a row per network, a pair of columns per set."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from harness.records import METRICS, canonical
from reports.frames import Frames
from reports.pair_tables import MARKS, WORDS
from reports.pairs import Pairs
from reports.published import printed
from reports.quality import Quality
from reports.tables import TIMES, Column, Entry, Row, Table, fixed, make_table, missing, number, scaled

Scored = tuple[Quality, Pairs]
PRINTED = ("psnr_y", "ssim_y")
MEGA = 1e6
PUBLISHED = "published"
OF_A_SET = frozenset({"dataset", "data", "border"})
"""What a protocol says of the images themselves; all else must be alike."""


def overviews(frames: Frames, scored: Sequence[Scored]) -> list[Table]:
    """A table for each way in which several sets were scored; other images of one name stand apart."""
    groups: dict[tuple[str, int], list[Scored]] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for quality, pairs in scored:
        way = {k: v for k, v in frames.protocols[quality.comparable].items() if k not in OF_A_SET}
        told = canonical({**way, "scale": quality.scale})
        groups.setdefault((told, seen[told, quality.dataset]), []).append((quality, pairs))
        seen[told, quality.dataset] += 1
    return [_overview(frames, group) for group in groups.values() if len(group) > 1]


def _overview(frames: Frames, group: Sequence[Scored]) -> Table:
    first = group[0][0]
    labels = [label for label in frames.labels if any(quality.scored(label) for quality, _ in group)]
    rows = list(_rows(frames, group, labels))
    caption = f"All sets at {TIMES}{first.scale}{first.variant}: tiling {first.tiling}, precision {first.precision}"
    return make_table(caption, list(_columns(group)), rows, notes=[NOTE])


NOTE = (
    "≈: not told from the best of its set, ?: undecided; the tables of each set tell more. Published rows hold what "
    "papers print and do not compete."
)


def _columns(group: Sequence[Scored]) -> Iterator[Column]:
    yield Column(key="parameters", title="Parameters", unit="M")
    for quality, _ in group:
        for metric in PRINTED:
            kind = METRICS[metric]
            title = f"{quality.dataset} {kind.title}"
            yield Column(key=_key(quality, metric), title=title, unit=kind.unit, better=kind.better)


def _key(quality: Quality, metric: str) -> str:
    return f"{quality.dataset} {metric}"


def _rows(frames: Frames, group: Sequence[Scored], labels: Sequence[str]) -> Iterator[Row]:
    """What was measured of each of `labels`, and below the last of a method what papers print of it."""
    counted = frames.measured("parameters").drop_duplicates("label")
    parameters = dict(zip(counted["label"], counted["value"], strict=True))
    specs = {label: frames.of_label(label, group[0][0].scale)[0]["cell_spec"] for label in labels}
    alike: dict[str, list[str]] = {}
    for label in labels:
        alike.setdefault(specs[label]["method"], []).append(label)
    for label in labels:
        yield _measured_row(group, label, parameters.get(label))
        own = alike[specs[label]["method"]]
        papers = {quality.dataset: _printed(frames, quality, own) for quality, _ in group if label == own[-1]}
        if any(papers.values()):
            yield Row(head=f"{specs[label]['title']}, {PUBLISHED}", entries=_published(group, papers))


def _measured_row(group: Sequence[Scored], label: str, parameters: float | None) -> Row:
    entries = {"parameters": scaled(parameters, MEGA, ranked=False, note="" if parameters else "not counted")}
    for quality, pairs in group:
        entries |= _measured(quality, pairs, label)
    return Row(head=label, entries=entries)


def _printed(frames: Frames, quality: Quality, labels: Sequence[str]) -> Mapping[str, float]:
    """What papers print of the method that all of `labels` are of; empty where none of them was scored."""
    return next(filter(None, (printed(frames, quality, label) for label in labels)), {})


def _measured(quality: Quality, pairs: Pairs, label: str) -> dict[str, Entry]:
    if not quality.scored(label):
        return {_key(quality, metric): missing("not scored") for metric in PRINTED}
    ranked = quality.complete(label)
    found = {m: number(quality.score(label, m), METRICS[m].digits, ranked=ranked) for m in PRINTED}
    pair = pairs.against_best(label)
    if pair is not None and pair.verdict in MARKS:
        mark, doubt = MARKS[pair.verdict], WORDS[pair.verdict]
        found["psnr_y"] = dataclasses.replace(found["psnr_y"], mark=mark, doubt=doubt)
    return {_key(quality, metric): entry for metric, entry in found.items()}


def _published(group: Sequence[Scored], papers: Mapping[str, Mapping[str, float]]) -> dict[str, Entry]:
    """The first place that prints this method on each set."""
    entries = {"parameters": missing("as measured")}
    for quality, _ in group:
        for metric in PRINTED:
            value = papers[quality.dataset].get(metric)
            told = missing("not published")
            if value is not None:
                told = Entry(text=fixed(value, METRICS[metric].digits), value=value)
            entries[_key(quality, metric)] = told
    return entries
