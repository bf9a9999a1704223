"""Times of two sides that ran in turn on machines of the same kind: a change is one if noise between passes is less."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from reports.changes import Change, Word
from reports.counterparts import became, counterparts, network
from reports.frames import Frames
from reports.noise import alarm, change, floor, seen
from reports.race import CONTROL_LABEL, Race, races
from reports.stats import Floats

Pair = tuple[Race, Race]
GONE = "not timed in this way any more"


class Cell(NamedTuple):
    """A contender at one size: the race on either side, its label in each, and what ratios are taken to on both.

    `over` is None where seconds are compared: of the reference itself, and where the sides do not share one.
    """

    old: Race
    new: Race
    label: str
    later: str
    size: str
    over: str | None

    @property
    def was(self) -> Floats:
        """By pass of the first side."""
        return _taken(self.old, self.label, self.size, self.over)

    @property
    def now(self) -> Floats:
        """By pass of the second side; nothing where it has none."""
        return _taken(self.new, self.later, self.size, self.over)


def time_changes(before: Iterable[Frames], after: Iterable[Frames]) -> list[Change]:
    """Of every contender and size that was raced in the same way on machines of the same kind.

    One that the second side has not timed is gone.
    """
    cells = [cell for old, new in _paired(before, after) for cell in _cells(old, new)]
    timed = sum(1 for cell in cells if len(cell.now))
    return [_of_passes(cell, among=timed) if len(cell.now) else _gone(cell) for cell in cells]


def _cells(old: Race, new: Race) -> Iterator[Cell]:
    """Ratios are compared with ratios to the same reference, and seconds with seconds."""
    was, now = ({label: network(label, told) for label, told in race.subjects.items()} for race in (old, new))
    same = counterparts(was, now)
    reference = old.reference if old.reference in same and same[old.reference] == new.reference else None
    shared = reference if reference and not became(was[reference], now[same[reference]]) else None
    for label, size in itertools.product(old.labels, old.sizes):
        if label != CONTROL_LABEL and (label, size) in old.samples:
            later = same.get(label, "")
            ratios = [race.ratios(each, size) for race, each in ((old, label), (new, later))] if shared else []
            over = shared if label != shared and ratios and all(map(len, ratios)) else None
            yield Cell(old, new, label, later, size, over)


def not_compared(before: Sequence[Frames], after: Sequence[Frames]) -> list[str]:
    """What was timed and is not compared, and why."""
    first, second = (list(_by_way(side)) for side in (before, after))
    if not first or not after:
        return []
    if not second:
        return ["Times are not compared: nothing was timed on the second side."]
    machines = [_machines(side) for side in (before, after)]
    if not set(machines[0]) & set(machines[1]):
        told = " and ".join(", ".join(each.values()) for each in machines)
        return [f"Times are not compared: they were taken on machines of different kind, {told}."]
    ways = {way for way, _ in second}
    alone = dict.fromkeys(race.title for way, race in first if way not in ways and race.machine in machines[1])
    return [f"Times are not compared: nothing was raced as in the first side's {title}." for title in alone]


def _machines(side: Iterable[Frames]) -> dict[str, str]:
    """What each machine that timed is called, by its id."""
    found = {race.machine: frames.machines[race.machine] for frames in side for _, race in _by_way([frames])}
    return {
        key: str(each.get("gpu") or f"{each.get('cpu')}, {each.get('threads')} threads") for key, each in found.items()
    }


def _paired(before: Iterable[Frames], after: Iterable[Frames]) -> Iterator[Pair]:
    later = dict(_by_way(after))
    return ((old, later[key]) for key, old in dict(_by_way(before)).items() if key in later)


def _by_way(runs: Iterable[Frames]) -> Iterator[tuple[tuple[str, str], Race]]:
    return (((race.comparable, race.machine), race) for frames in runs for race in races(frames) if race.samples)


def _taken(race: Race, label: str, size: str, over: str | None) -> Floats:
    """Ratios to the reference by pass, which drift does not touch; or else times."""
    return race.ratios(label, size) if over else race.medians(label, size)


def _passes(cell: Cell, label: str) -> list[Floats]:
    return [_taken(cell.old, label, size, cell.over) for size in cell.old.sizes]


def _alike(cell: Cell) -> list[str]:
    """Whose noise is of the same kind: times drift, ratios do not."""
    if not cell.over:
        return [cell.label]
    return [each for each in cell.old.labels if each not in {cell.over, CONTROL_LABEL}]


def _of_passes(cell: Cell, *, among: int) -> Change:
    """Judged by the noise of the first side, and rarely enough that all cells together stay quiet in twenty runs."""
    own = _passes(cell, cell.label)
    noise = alarm(own, [each for like in _alike(cell) for each in _passes(cell, like)], among)
    slower = change(cell.was, cell.now)
    return _change(
        cell,
        after=float(np.median(cell.now)),
        difference=f"{slower:+.1%}",
        interval=_interval(slower, floor(own)),
        floor="one pass has no noise floor" if noise is None else f"{noise:.1%}",
        loss=slower,
        word=_word(slower, cell.was, cell.now, noise),
    )


def _gone(cell: Cell) -> Change:
    """What fails or is left out now must not pass for unchanged."""
    why = cell.new.missing.get((cell.later, cell.size)) or GONE
    return _change(cell, after=None, difference=why, loss=math.inf, word="gone")


def _change(cell: Cell, **found: Any) -> Change:
    told = cell.old.subjects[cell.label]
    was, now = network(cell.label, told), cell.new.subjects.get(cell.later)
    how = [f"over {cell.over}" if cell.over else "", became(was, network(cell.later, now)) if now else ""]
    return Change(
        rule="time",
        method=cell.label,
        name=str(told["method"]),
        where=", ".join([cell.old.title, cell.size, *filter(None, how)]),
        at=cell.size,
        scale=cell.old.scale,
        quantity="time",
        before=float(np.median(cell.was)),
        **found,
    )


def _word(slower: float, was: Floats, now: Floats, noise: float | None) -> Word:
    if noise is None:
        return "undecided"
    if not seen(was, now, noise):
        return "within noise"
    return "worse" if slower > 0.0 else "better"


def _interval(slower: float, noise: float | None) -> str:
    """The change as far as passes of one contender tell: at 95 %, of one comparison alone."""
    if noise is None:
        return ""
    low, high = (math.expm1(math.log1p(slower) + sign * math.log1p(noise)) for sign in (-1, 1))
    return f"{low:+.1%} to {high:+.1%}"
