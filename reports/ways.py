"""What the way of asking changes: tiling, precision and self-ensemble against the first that a run asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.records import METRICS
from reports.frames import Frames
from reports.quality import Quality
from reports.significance import paired_interval
from reports.tables import PERCENT, TIMES, Column, Entry, Row, Table, bounds, fixed, make_table, missing, signed

WAY = ("tiling", "precision", "self_ensemble")
APART = frozenset({"crop", *WAY})


def ways_tables(frames: Frames, qualities: Sequence[Quality]) -> list[Table]:
    """A table per data set, scale and degradation that was asked for in several ways; differences in PSNR-Y by image.

    Each way keeps the table of its own scores: here only differences stand side by side.
    """
    alike: dict[tuple[Any, ...], list[Quality]] = {}
    for quality in qualities:
        alike.setdefault(_subject(quality, frames.protocols[quality.comparable]), []).append(quality)
    return [_table(frames, group) for group in alike.values() if len(group) > 1]


def _subject(quality: Quality, protocol: Mapping[str, Any]) -> tuple[Any, ...]:
    """All that is the same however a network is asked."""
    rest = sorted((name, repr(value)) for name, value in protocol.items() if name not in APART)
    return quality.scale, quality.dataset, tuple(rest)


def _table(frames: Frames, group: Sequence[Quality]) -> Table:
    first, *others = group
    names = [_name(frames.protocols[each.comparable]) for each in group]
    columns = [Column(key="first", title=names[0], unit=METRICS["psnr_y"].unit)]
    columns += [
        Column(key=each.comparable, title=name, unit="dB") for each, name in zip(others, names[1:], strict=True)
    ]
    rows = [Row(head=label, entries=_entries(label, first, others)) for label in _labels(group)]
    note = (
        f"Mean PSNR-Y of each image less that asked for as {names[0]}, of the trainings and hash draws that were asked "
        f"in both ways, with its 95{PERCENT} interval over images."
    )
    return make_table(
        f"{first.dataset} {TIMES}{first.scale}: what the way of asking changes", columns, rows, notes=[note]
    )


def _name(protocol: Mapping[str, Any]) -> str:
    told = [str(protocol.get("tiling")), str(protocol.get("precision"))]
    return ", ".join([*told, *(["self-ensemble"] if protocol.get("self_ensemble") else [])])


def _labels(group: Iterable[Quality]) -> list[str]:
    return list(dict.fromkeys(label for each in group for label in each.labels))


def _entries(label: str, first: Quality, others: Sequence[Quality]) -> dict[str, Entry]:
    if not first.complete(label):
        return dict.fromkeys(["first", *(each.comparable for each in others)], missing("not scored on every image"))
    score = first.score(label, "psnr_y")
    found = {"first": Entry(text=fixed(score, METRICS["psnr_y"].digits), value=score)}
    return found | {each.comparable: _difference(label, first, each) for each in others}


def _difference(label: str, first: Quality, other: Quality) -> Entry:
    if not other.complete(label):
        return missing("not scored on every image")
    asked = [each.by_draw[label] for each in (first, other)]
    both = asked[0].columns.intersection(asked[1].columns)
    if both.empty:
        return missing("no training and hash draw was asked in both ways")
    differences = (asked[1][both] - asked[0][both]).mean(axis="columns").to_numpy(float)
    interval, mean = paired_interval(differences[:, None]), float(differences.mean())
    if mean != mean:  # noqa: PLR0124 - NaN: both are infinite
        return missing("both are infinite")
    told = f" ({bounds(interval, digits=3)})" if interval else ""
    return Entry(text=signed(mean, 3) + told, value=mean)
