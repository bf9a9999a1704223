"""Two sets of exact figures beside each other: what changed, by how much, and whether a build should fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

from rich.table import Table

from reports.baseline import Figures, Key

Change = Literal["worse", "better", "gone", "new"]
BAD: frozenset[Change] = frozenset({"worse", "gone"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """One figure that is not what it was. All exact figures are costs: less is better."""

    key: Key
    quantity: str
    before: float | None
    after: float | None

    @property
    def change(self) -> Change:
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

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of a table."""
        told = ("" if value is None else f"{value:,.0f}" for value in (self.before, self.after))
        return (*self.key, self.quantity, *told, self.share)


HEAD = ("method", "how", "size", "quantity", "before", "after", "change")


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


def table(found: Sequence[Difference]) -> Table:
    """For people to read."""
    shown = Table(*HEAD)
    for each in found:
        shown.add_row(*each.cells)
    return shown


def markdown(found: Sequence[Difference], compared: int) -> str:
    """For a pull request."""
    lines = [summary(found, compared)]
    if found:
        rows = [HEAD, ("---",) * len(HEAD), *(each.cells for each in found)]
        lines += ["", *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)]
    return "\n".join(lines) + "\n"
