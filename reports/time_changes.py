"""Times of two sides that ran in turn on machines of the same kind: a change is one if noise between passes is less."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from reports.changes import Change, Word
from reports.frames import Frames
from reports.noise import alarm, change, floor, seen
from reports.race import CONTROL_LABEL, Race, races
from reports.stats import Floats

Pair = tuple[Race, Race]


def time_changes(before: Iterable[Frames], after: Iterable[Frames]) -> list[Change]:
    """Of every contender and size that both raced in the same way on machines of the same kind."""
    paired = list(_paired(before, after))
    cells = [(old, new, label, size) for old, new in paired for label in old.labels for size in old.sizes]
    own = [cell for cell in cells if cell[2] != CONTROL_LABEL and _both(*cell)]
    return [_of_passes(*cell, among=len(own)) for cell in own]


def not_compared(before: Sequence[Frames], after: Sequence[Frames]) -> list[str]:
    """Why times of both sides are not compared, where that is so."""
    raced = [[(race, frames) for frames in side for race in races(frames) if race.samples] for side in (before, after)]
    if not all(raced) or any(_paired(before, after)):
        return []
    machines = [_machines(side) for side in raced]
    if not set(machines[0]) & set(machines[1]):
        told = " and ".join(", ".join(each.values()) for each in machines)
        return [f"Times are not compared: they were taken on machines of different kind, {told}."]
    return ["Times are not compared: nothing was raced in the same way on both sides."]


def _machines(side: Iterable[tuple[Race, Frames]]) -> dict[str, str]:
    """What each machine is called, by its id."""
    found = {race.machine: frames.machines[race.machine] for race, frames in side}
    return {
        key: str(each.get("gpu") or f"{each.get('cpu')}, {each.get('threads')} threads") for key, each in found.items()
    }


def _paired(before: Iterable[Frames], after: Iterable[Frames]) -> Iterator[Pair]:
    later = dict(_by_way(after))
    return ((old, later[key]) for key, old in dict(_by_way(before)).items() if key in later)


def _by_way(runs: Iterable[Frames]) -> Iterator[tuple[tuple[str, str], Race]]:
    return (((race.comparable, race.machine), race) for frames in runs for race in races(frames) if race.samples)


def _both(old: Race, new: Race, label: str, size: str) -> bool:
    return bool(len(_taken(old, label, size)) and len(_taken(new, label, size)))


def _taken(race: Race, label: str, size: str) -> Floats:
    """Ratios to the reference by pass, which drift does not touch; of the reference itself, and without one, times."""
    return race.ratios(label, size) if _over(race, label) else race.medians(label, size)


def _passes(race: Race, label: str) -> list[Floats]:
    return [_taken(race, label, size) for size in race.sizes]


def _alike(race: Race, label: str) -> list[str]:
    """Whose noise is of the same kind: times drift, ratios do not."""
    others = [each for each in race.labels if each not in {race.reference, CONTROL_LABEL}]
    return others if label in others else [label]


def _of_passes(old: Race, new: Race, label: str, size: str, *, among: int) -> Change:
    """Judged by the noise of the first side, and rarely enough that all cells together stay quiet in twenty runs."""
    was, now = _taken(old, label, size), _taken(new, label, size)
    noise = alarm(_passes(old, label), [each for like in _alike(old, label) for each in _passes(old, like)], among)
    slower = change(was, now)
    return Change(
        rule="time",
        method=label,
        name=str(old.subjects[label]["method"]),
        where=f"{old.title}, {size}{_over(old, label)}",
        at=size,
        scale=old.scale,
        quantity="time",
        before=float(np.median(was)),
        after=float(np.median(now)),
        difference=f"{slower:+.1%}",
        interval=_interval(slower, floor(_passes(old, label))),
        floor="one pass has no noise floor" if noise is None else f"{noise:.1%}",
        loss=slower,
        word=_word(slower, was, now, noise),
    )


def _over(race: Race, label: str) -> str:
    return "" if race.reference in {None, label} else f", over {race.reference}"


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
