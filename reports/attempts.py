"""What the numbers of a page rest on: the attempts behind each row, and where its table points."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from reports.frames import Frames
from reports.tables import DASH, TIMES, Table

JOINT = ("race", "count", "benchmark")
"""Kinds of task that measure many contenders at once: their attempts belong to a protocol, not to a label."""
KINDS: Mapping[str, str] = {
    "overview": "evaluate",
    "quality": "evaluate",
    "ways": "evaluate",
    "harm": "harm",
    "attention": "attention",
    "cost": "profile",
    "race": "race",
    "benchmarks": "benchmark",
}
"""The sections of the page whose rows are labels, with the kind of task that measured them."""
PLACES = ("dataset", "size", "tiling", "precision")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """The attempts of one label and kind, or of one protocol, under an anchor of the page."""

    anchor: str
    title: str
    attempts: tuple[Mapping[str, str], ...]


def groups(frames: Frames) -> dict[tuple[str, str], Group]:
    """By kind of task and label, or protocol, in the order in which the run asked for them."""
    tasks = frames.tasks[frames.tasks["attempt_id"].notna()]
    owners = tasks["label"].where(~tasks["kind"].isin(JOINT), tasks["comparable"])
    found = tasks.assign(owner=owners.fillna(tasks["label"])).groupby(["kind", "owner"], sort=False)
    return {
        (str(kind), str(owner)): Group(
            anchor=f"records-{number}", title=_title(str(kind), str(owner), part), attempts=tuple(_attempts(part))
        )
        for number, ((kind, owner), part) in enumerate(found)
    }


def linked(content: Any, kind: str, found: Mapping[tuple[str, str], Group]) -> Any:
    """`content`, any nesting of it, with the rows of its tables pointing at the attempts behind them."""
    if isinstance(content, Table):
        return dataclasses.replace(content, rows=tuple(_pointing(row, content, kind, found) for row in content.rows))
    if isinstance(content, dict):
        return {name: linked(part, kind, found) for name, part in content.items()}
    return [linked(part, kind, found) for part in content] if isinstance(content, list | tuple) else content


def _pointing(row: Any, table: Table, kind: str, found: Mapping[tuple[str, str], Group]) -> Any:
    """A row of a pair leads to the attempts of its first network."""
    kinds = JOINT if kind in JOINT else (kind,)
    owners = (row.head, row.head.partition(f" {DASH} ")[0], table.protocol or "")
    held = (found.get((each, owner)) for each in kinds for owner in owners)
    group = next((each for each in held if each is not None), None)
    return dataclasses.replace(row, records=group.anchor) if group else row


def _title(kind: str, owner: str, tasks: pd.DataFrame) -> str:
    told = f"protocol {owner[:8]}" if kind in JOINT else owner
    return f"{kind}: {told}, {tasks['attempt_id'].nunique()} attempts"


def _attempts(tasks: pd.DataFrame) -> list[dict[str, str]]:
    once = tasks.drop_duplicates("attempt_id")
    return [
        {
            "id": str(row["attempt_id"]),
            "place": _place(row),
            "status": str(row["status"]),
            "ended": str(row["ended_at"])[:19].replace("T", " "),
            "run": str(row["source_run"])[:8],
        }
        for row in once.to_dict("records")
    ]


def _place(row: Mapping[Any, Any]) -> str:
    """Scale and seed of the network, and where and how it was asked."""
    where = [f"{TIMES}{row['scale']}, seed {row['seed']}"] if row["kind"] not in JOINT else []
    where += [str(row[name]) for name in PLACES if not pd.isna(row[name])]
    return ", ".join([*where, *([] if pd.isna(row["hash_seed"]) else [f"hash seed {row['hash_seed']:.0f}"])])
