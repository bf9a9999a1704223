"""Two sets of exact figures beside each other: what changed, and by how much."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Literal

from reports.baseline import Figures, Key
from reports.changes import Change

Became = Literal["worse", "better", "gone", "new"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """One figure that is not what it was. All exact figures are costs: less is better."""

    key: Key
    quantity: str
    before: float | None
    after: float | None

    @property
    def change(self) -> Became:
        """What became of it."""
        if self.before is None or self.after is None:
            return "new" if self.before is None else "gone"
        return "worse" if self.after > self.before else "better"

    @property
    def share(self) -> str:
        """By how much, in words."""
        if not self.before or self.after is None:
            return self.change
        return f"{self.change}, {self.after / self.before - 1:+.2%}"


def differences(before: Figures, after: Figures) -> list[Difference]:
    """All that differ, in the order of `before`, then what is new. Counts are exact: any difference is one."""
    return [each for key in dict.fromkeys([*before, *after]) for each in _of(key, before, after)]


def _of(key: Key, before: Figures, after: Figures) -> Iterator[Difference]:
    was, now = before.get(key, {}), after.get(key, {})
    for quantity in dict.fromkeys([*was, *now]):
        if was.get(quantity) != now.get(quantity):
            yield Difference(key=key, quantity=quantity, before=was.get(quantity), after=now.get(quantity))


def summary(found: Sequence[Difference], compared: int) -> str:
    """One sentence."""
    changes = [each.change for each in found]
    told = ", ".join(f"{changes.count(change)} {change}" for change in dict.fromkeys(changes))
    return f"{compared} exact figures compared: {told or 'all equal'}."


def exact_changes(before: Figures, after: Figures) -> list[Change]:
    """The same, in the form of all changes."""
    return [_change(each) for each in differences(before, after)]


def _change(found: Difference) -> Change:
    key, before, after = found.key, found.before, found.after
    share = None if not before or after is None else (after - before) / before
    return Change(
        rule="exact",
        method=key.subject.removesuffix(" {}"),
        name=key.subject.partition(" ")[0],
        where=f"{key.way}, {key.size}",
        at=key.size,
        scale=key.scale,
        quantity=found.quantity,
        before=before,
        after=after,
        difference="" if share is None else f"{share:+.2%}",
        loss=math.inf if share is None else share,
        word=found.change,
    )
