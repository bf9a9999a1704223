"""Exact costs over the commits of a history: at which commit which figure changed, and by how much."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rich.table import Table

from harness.errors import UserError
from reports.baseline import Figures, read
from reports.compare import Difference, differences
from reports.tables import PERCENT, signed, significant

if TYPE_CHECKING:
    from harness.history import Commit

Count = Callable[["Commit"], Figures | str]
"""What a commit's own code counts, or why it cannot."""
SIGNS = re.compile(r'[{}"]')
"""What stands around settings."""
Word = Literal["counted", "same sources", "uncounted", "passed over"]


PHRASES: Mapping[Word, str] = {
    "counted": "counted",
    "same sources": "of the same sources as one of them",
    "passed over": "passed over",
    "uncounted": "could not be counted",
}


class Series(NamedTuple):
    """What is followed over commits, at all sizes: a method with its changed settings, how it is called, a quantity."""

    subject: str
    way: str
    quantity: str

    @property
    def method(self) -> str:
        """The name of the method."""
        return self.subject.partition(" ")[0]

    @property
    def settings(self) -> tuple[str, ...]:
        """Those that are not as released, a name and a value each."""
        told = SIGNS.sub("", self.subject.partition(" ")[2])
        return tuple(each.replace(":", " ", 1) for each in told.split(",") if each)

    @property
    def named(self) -> str:
        """Method and settings as people read them, in words that can be broken into lines."""
        return f"{self.method} {', '.join(self.settings)}".strip()


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """What is known of a commit: its figures; or none and the `reason`, which is empty where nobody looked.

    `twin` is the commit of equal sources that was counted in its place.
    """

    commit: Commit
    figures: Figures | None = None
    reason: str = ""
    twin: Commit | None = None

    @property
    def word(self) -> Word:
        """In short."""
        if self.figures is None:
            return "uncounted" if self.reason else "passed over"
        return "same sources" if self.twin else "counted"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One series that changed at a commit; `after` is the nearest commit before whose figures are known.

    Where commits without figures lie `between`, it may have changed at any of them.
    """

    commit: Commit
    after: Commit
    between: int
    series: Series
    changed: tuple[Difference, ...]

    @property
    def place(self) -> str:
        """Where it changed, in words."""
        return f"between {self.after.short} and {self.commit.short}" if self.between else self.commit.short

    @property
    def shares(self) -> tuple[float, ...]:
        """Relative changes, of those sizes that had a cost before and after."""
        return tuple(d.after / d.before - 1 for d in self.changed if d.before and d.after is not None)

    @property
    def told(self) -> str:
        """By how much at how many sizes."""
        words = [each.change for each in self.changed]
        counts = {word: words.count(word) for word in ("new", "gone")}
        counts["from nothing"] = len(words) - sum(counts.values()) - len(self.shares)
        parts = [f"{_range(self.shares)} at {_sizes(len(self.shares))}"] if self.shares else []
        return "; ".join([*parts, *(f"{word} at {_sizes(count)}" for word, count in counts.items() if count)])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Track:
    """A history: the state of every commit, oldest first, and the steps between them."""

    states: tuple[State, ...]
    bisected: bool

    @functools.cached_property
    def costs(self) -> tuple[Mapping[Series, Mapping[str, float]], ...]:
        """Of every commit, by series, then by size; empty where there are no figures."""
        return tuple(_by_series(state.figures or {}) for state in self.states)

    @functools.cached_property
    def steps(self) -> tuple[Step, ...]:
        """All changes, in the order of commits."""
        places = [place for place, state in enumerate(self.states) if state.figures is not None]
        return tuple(step for one, other in itertools.pairwise(places) for step in self._steps(one, other))

    @property
    def changed(self) -> tuple[Series, ...]:
        """Series that changed anywhere."""
        return tuple(dict.fromkeys(step.series for step in self.steps))

    @property
    def followed(self) -> tuple[Series, ...]:
        """All series that any commit counts."""
        return tuple(dict.fromkeys(series for costs in self.costs for series in costs))

    @property
    def summary(self) -> str:
        """In sentences."""
        words = [state.word for state in self.states]
        told = ", ".join(f"{words.count(word)} {phrase}" for word, phrase in PHRASES.items() if word in words)
        where = len(dict.fromkeys(step.commit.id for step in self.steps))
        found = f"{len(self.changed)} of {len(self.followed)} series changed, at {_plural(where, 'commit')}."
        return f"{_plural(len(words), 'commit')}: {told}. {found}{BISECTED if self.bisected else ''}"

    def _steps(self, one: int, other: int) -> Iterator[Step]:
        before, now = self.states[one], self.states[other]
        grouped: dict[Series, list[Difference]] = {}
        for each in differences(before.figures or {}, now.figures or {}):
            grouped.setdefault(Series(each.key.subject, each.key.way, each.quantity), []).append(each)
        where: dict[str, Any] = {"commit": now.commit, "after": before.commit, "between": other - one - 1}
        for series, changed in grouped.items():
            yield Step(series=series, changed=tuple(changed), **where)


BISECTED = " Between commits of equal figures nobody looked: a change that was undone in between is not seen."


def track(commits: Sequence[Commit], count: Count, *, bisect: bool = False) -> Track:
    """Ask `count` for the figures of `commits`, once for all of equal sources.

    With `bisect`, of both ends first, and of what lies in the middle only where the ends differ.
    """
    states = [State(commit=commit) for commit in commits]
    known: dict[str, State] = {}
    if bisect:
        _bisect(states, count, known)
    else:
        for place in range(len(states)):
            _look(states, place, count, known)
    return Track(states=tuple(states), bisected=bisect)


def figures_of(file: Path) -> Figures | str:
    """Those of a baseline file that a commit wrote, or why it cannot be read: older code may write otherwise."""
    try:
        return read(file)
    except UserError as error:
        return str(error)


def remarks(found: Track) -> list[str]:
    """A line for each commit that could not be counted."""
    states = [state for state in found.states if state.word == "uncounted"]
    return [f"{state.commit.short} could not be counted: {state.reason}" for state in states]


def relative(found: Track, series: Series) -> dict[int, float]:
    """Cost by the place of the commit, as a multiple of that at the first which has the series.

    It is the geometric mean of the ratios at all sizes that both have; costs of 0 have none.
    """
    costs = [each.get(series, {}) for each in found.costs]
    first = {size: cost for size, cost in next(each for each in costs if each).items() if cost}
    ratios = {i: [cost[size] / first[size] for size in first if cost.get(size)] for i, cost in enumerate(costs)}
    return {i: math.exp(math.fsum(map(math.log, each)) / len(each)) for i, each in ratios.items() if each}


def table(found: Track) -> Table:
    """The steps, for people to read: a row for all quantities of a method that changed alike."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for step in found.steps:
        rows.setdefault((step.place, step.series.named, step.series.way, step.told), []).append(step.series.quantity)
    shown = Table("commit", "method", "how", "quantity", "change")
    for (*place, told), quantities in rows.items():
        shown.add_row(*place, ", ".join(quantities).replace("_", " "), told)
    return shown


def as_json(found: Track, made_with: str) -> str:
    """For programs: every commit with its state and the steps to it."""
    steps = found.steps
    rows = [_row(state, [step for step in steps if step.commit is state.commit]) for state in found.states]
    told = {"made_with": made_with, "bisected": found.bisected, "summary": found.summary, "commits": rows}
    return json.dumps(told, indent=2) + "\n"


def _by_series(figures: Figures) -> dict[Series, dict[str, float]]:
    found: dict[Series, dict[str, float]] = {}
    for key, values in figures.items():
        for quantity, value in values.items():
            found.setdefault(Series(key.subject, key.way, quantity), {})[key.size] = value
    return found


def _look(states: list[State], place: int, count: Count, known: dict[str, State]) -> bool:
    """Learn what there is to know of one commit; returns whether it has figures."""
    commit = states[place].commit
    twin = known.get(commit.sources)
    if twin is not None:
        other = None if twin.commit is commit else twin.commit
        states[place] = dataclasses.replace(twin, commit=commit, twin=other)
    else:
        counted = count(commit)
        told: dict[str, Any] = {"reason": counted} if isinstance(counted, str) else {"figures": counted}
        states[place] = known[commit.sources] = State(commit=commit, **told)
    return states[place].figures is not None


def _bisect(states: list[State], count: Count, known: dict[str, State]) -> None:
    """Ends that cannot be counted give way to the next commits inwards."""
    places = range(len(states))
    first = next((place for place in places if _look(states, place, count, known)), None)
    if first is None:
        return
    last = next(place for place in reversed(places) if _look(states, place, count, known))
    _between(states, first, last, count, known)


def _between(states: list[State], first: int, last: int, count: Count, known: dict[str, State]) -> None:
    if last - first <= 1 or states[first].figures == states[last].figures:
        return
    middle = (first + last) / 2
    inner = sorted(range(first + 1, last), key=lambda place: abs(place - middle))
    found = next((place for place in inner if _look(states, place, count, known)), None)
    if found is not None:
        _between(states, first, found, count, known)
        _between(states, found, last, count, known)


def _range(shares: Sequence[float]) -> str:
    low, high = (_percent(share) for share in (min(shares), max(shares)))
    return low if low == high else f"{low} to {high}"


def _percent(share: float) -> str:
    """To three significant digits, so that a change however small is one."""
    digits = len(significant(abs(share) * 100).partition(".")[2])
    return f"{signed(share * 100, digits)}{PERCENT}"


def _sizes(count: int) -> str:
    return _plural(count, "size")


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _row(state: State, steps: Sequence[Step]) -> dict[str, Any]:
    commit = {name: getattr(state.commit, name) for name in ("id", "subject", "day", "sources")}
    twin = state.twin.id if state.twin else None
    told = {"state": state.word, "reason": state.reason, "same_as": twin}
    return commit | told | {"steps": [_step_row(step) for step in steps]}


def _step_row(step: Step) -> dict[str, Any]:
    figures = [{"size": d.key.size, "before": d.before, "after": d.after} for d in step.changed]
    series = {"method": step.series.subject, "way": step.series.way, "quantity": step.series.quantity}
    return {"after": step.after.id, "commits_between": step.between, **series, "told": step.told, "figures": figures}
