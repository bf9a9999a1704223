"""Two sides beside each other: what became of every figure that both have, or that one of them lost.

Counted figures are exact, so any difference is one; scores are judged by paired images and training seeds, times by the
noise between passes. A grid may allow a figure to become so much worse.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

from rich.table import Table

from harness.records import METRICS
from reports.tables import fixed, significant

Rule = Literal["exact", "quality", "time"]
Word = Literal["worse", "better", "gone", "new", "allowed", "within noise", "undecided"]
BAD: frozenset[Word] = frozenset({"worse", "gone"})
HEAD = ("method", "where", "quantity", "before", "after", "difference", "interval", "called from", "verdict")
DIGITS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """What became of one figure. `method` is its label, `name` the catalogue's; `at` is an input size or a test set.

    `difference`, its 95 % `interval`, and `floor`, from which on it is called, are told in words. `loss` is by how much
    it became worse: in the figure's own unit for scores, as a share of what it was for costs and times.
    """

    rule: Rule
    method: str
    name: str
    where: str
    at: str
    scale: int
    quantity: str
    before: float | None
    after: float | None
    difference: str
    interval: str = ""
    floor: str = ""
    loss: float = 0.0
    word: Word

    @property
    def title(self) -> str:
        """The quantity as tables print it; exact ones as baselines do."""
        return METRICS[self.quantity].title if self.rule == "quality" else self.quantity.replace("_", " ")

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of a table."""
        values = map(self._figure, (self.before, self.after))
        return (self.method, self.where, self.title, *values, self.difference, self.interval, self.floor, self.word)

    def _figure(self, value: float | None) -> str:
        if value is None:
            return ""
        return fixed(value, 0) if self.rule == "exact" else significant(value, DIGITS)


def noteworthy(found: Sequence[Change]) -> list[Change]:
    """All but what is within noise, what fails first."""
    return sorted((each for each in found if each.word != "within noise"), key=lambda each: each.word not in BAD)


def told(found: Sequence[Change]) -> Table:
    """What is noteworthy, for people to read."""
    head, *rows = _filled(noteworthy(found))
    shown = Table(*head)
    for row in rows:
        shown.add_row(*row)
    return shown


def summary(found: Sequence[Change], equal: int) -> str:
    """A sentence for each rule; `equal` is the number of exact figures that did not change."""
    exact = [each.word for each in found if each.rule == "exact"]
    counted = ", ".join(filter(None, [f"{equal} equal" if exact and equal else "", _counted(exact)]))
    said = [f"{len(exact) + equal} exact figures compared: {counted or 'all equal'}."]
    for rule, what in (("quality", "scores"), ("time", "times")):
        if words := [each.word for each in found if each.rule == rule]:
            said.append(f"{len(words)} {what} compared: {_counted(words)}.")
    return " ".join(said)


def markdown(found: Sequence[Change], equal: int, remarks: Sequence[str]) -> str:
    """For a pull request: the verdict, what is noteworthy, and what was not compared."""
    failed = any(each.word in BAD for each in found)
    lines = [f"**{'Worse' if failed else 'Nothing became worse'}.** {summary(found, equal)}"]
    head, *rows = _filled(noteworthy(found))
    if rows:
        lines += ["", *map(_row, (head, ["---"] * len(head), *rows))]
    return "\n".join([*lines, *(f"\n{remark}" for remark in remarks)]) + "\n"


def _counted(words: Sequence[Word]) -> str:
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))


def _filled(found: Sequence[Change]) -> list[list[str]]:
    """Head and rows without the columns that hold nothing."""
    rows = [HEAD, *(each.cells for each in found)]
    kept = [any(row[i] for row in rows[1:]) for i in range(len(HEAD))]
    return [list(itertools.compress(row, kept)) for row in rows]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
