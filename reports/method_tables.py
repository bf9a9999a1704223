"""The rows of one method out of the tables of a page, beside those of the baseline and of whatever is best."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from harness.store import read_json
from reports.frames import Frames
from reports.machines import claims_tables
from reports.tables import DASH, Table

Mine = Callable[[str], bool]
"""Whether a row of this head is of the method."""
WORD = re.compile(r"[^\W_]+")


def labels_by_head(heads: Collection[str], labels: Collection[str]) -> dict[str, frozenset[str]]:
    """The labels that each row is about: one, of which it may show a quantity or what is published, or a pair."""
    return {head: _about(head, labels) for head in heads}


def kept(table: Table, mine: Mine, baselines: Collection[str]) -> Table | None:
    """The rows of the method with those of the baseline and of whatever is best in a column; None without its own."""
    own = [mine(row.head) for row in table.rows]
    beside = {*baselines, *_best(table)}
    pairs = zip(table.rows, own, strict=True)
    rows = tuple(dataclasses.replace(row, records="") for row, wanted in pairs if wanted or row.head in beside)
    return dataclasses.replace(table, rows=rows, protocol=None) if any(own) else None


def mentions(text: str, names: Collection[str]) -> bool:
    """Whether one of `names` stands in `text` as a word, or as several: `test_forward[nlsn-24x24]` names nlsn."""
    held = _words(text)
    return any(_words(name).strip() and _words(name) in held for name in names)


def claims_about(frames: Frames, shown: Collection[str], method: str) -> list[Table]:
    """Of the claims that are `shown` on the page, those that name `method`, by itself or as what it is held against."""
    claims = frames.verdicts[frames.verdicts["claim_id"].isin(list(shown))]
    about = claims["claim"].map(lambda claim: method in _subjects(read_json(claim)))
    return list(claims_tables(dataclasses.replace(frames, verdicts=claims[about.astype(bool)])).values())


def _about(head: str, labels: Collection[str]) -> frozenset[str]:
    pair = {label for label in labels if head.startswith(f"{label} {DASH} ") or head.endswith(f" {DASH} {label}")}
    if pair:
        return frozenset(pair)
    fitting = [label for label in labels if head == label or head.startswith((f"{label}: ", f"{label}, "))]
    return frozenset([max(fitting, key=len)] if fitting else [])


def _best(table: Table) -> set[str]:
    """The row that is best in each column, the first of those that are alike."""
    ranked = [[row.head for row in table.rows if row.entries[each.key].rank == "best"] for each in table.columns]
    return {heads[0] for heads in ranked if heads}


def _words(text: str) -> str:
    return " " + " ".join(WORD.findall(text.lower())) + " "


def _subjects(claim: Mapping[str, Any]) -> set[str]:
    return {str(each["method"]) for each in (claim["subject"], claim.get("against")) if each}
