"""What the numbers of a page rest on: the attempts behind each row, and where its table points."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
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
RUN = 8
"""Digits of a run's id that are shown."""
COLUMNS = (
    "kind",
    "label",
    "comparable",
    "attempt_id",
    "status",
    "ended_at",
    "source_run",
    "scale",
    "seed",
    "hash_seed",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """The attempts of one label and kind, or of one protocol, under an anchor of the page."""

    anchor: str
    title: str
    attempts: tuple[Mapping[str, str], ...]


def groups(frames: Frames) -> dict[tuple[str, str], Group]:
    """By kind of task and label, or protocol, in the order in which the run asked for them."""
    tasks = frames.tasks[frames.tasks["attempt_id"].notna()]
    found: dict[tuple[str, str], dict[str, Mapping[Any, Any]]] = {}
    for row in tasks[[*COLUMNS, *PLACES]].to_dict("records"):
        found.setdefault((str(row["kind"]), _owner(row)), {}).setdefault(str(row["attempt_id"]), row)
    return {
        key: Group(anchor=f"records-{number}", title=_title(*key, len(rows)), attempts=_listed(rows.values()))
        for number, (key, rows) in enumerate(found.items())
    }


def _listed(rows: Iterable[Mapping[Any, Any]]) -> tuple[Mapping[str, str], ...]:
    return tuple(_told(row, _place(row)) for row in rows)


def _owner(row: Mapping[Any, Any]) -> str:
    """The label, or the protocol of what measures many contenders at once, which an attempt that failed early lacks."""
    return str(row["label"] if row["kind"] not in JOINT or pd.isna(row["comparable"]) else row["comparable"])


def evidence(frames: Frames) -> dict[str, Group]:
    """By claim, what its verdict in the newest check on the run's machine rests on, where it rests on anything.

    These attempts may be of other runs and grids of the store, which a claim is checked against as well.
    """
    own = frames.verdicts[frames.verdicts["machine_id"] == frames.run["machine_id"]]
    latest = own[own["run_id"] == own["run_id"].iloc[-1]] if len(own) else own
    rows = zip(latest["claim_id"], latest["run_id"], latest["evidence"], strict=True)
    return {
        claim: Group(anchor=f"claim-{run[:RUN]}-{claim}", title=claim, attempts=tuple(map(_found_in, attempts)))
        for claim, run, attempts in rows
        if attempts
    }


def shown_of(table: Table, found: Mapping[str, Group]) -> list[Group]:
    """The groups that rows of `table` lead to."""
    heads = {row.head for row in table.rows}
    return [group for name, group in found.items() if name in heads]


def led(table: Table, found: Mapping[str, Group]) -> Table:
    """`table` with its rows pointing at the groups that are called as they are."""
    rows = (dataclasses.replace(r, records=found[r.head].anchor if r.head in found else "") for r in table.rows)
    return dataclasses.replace(table, rows=tuple(rows))


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


def _title(kind: str, owner: str, count: int) -> str:
    told = f"protocol {owner[:8]}" if kind in JOINT else owner
    return f"{kind}: {told}, {count} attempts"


def _told(row: Mapping[Any, Any], place: str) -> dict[str, str]:
    return {
        "id": str(row["attempt_id"]),
        "place": place,
        "status": str(row["status"]),
        "ended": str(row["ended_at"])[:19].replace("T", " "),
        "run": str(row["source_run"])[:RUN],
    }


def _found_in(row: Mapping[Any, Any]) -> dict[str, str]:
    """An attempt of whatever run: of which kind and grid it is stands first."""
    where = [str(row["kind"]), *(str(row[name]) for name in PLACES if row[name] is not None)]
    run = f"{str(row['source_run'])[:RUN]} ({row['grid_name']})"
    return _told(row, ", ".join(where)) | {"run": run}


def _place(row: Mapping[Any, Any]) -> str:
    """Scale and seed of the network, and where and how it was asked."""
    where = [f"{TIMES}{row['scale']}, seed {row['seed']}"] if row["kind"] not in JOINT else []
    where += [str(row[name]) for name in PLACES if not pd.isna(row[name])]
    return ", ".join([*where, *([] if pd.isna(row["hash_seed"]) else [f"hash seed {row['hash_seed']:.0f}"])])
