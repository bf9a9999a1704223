"""The machines behind a page: what they are called, and what claims came to on each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from reports.claims_table import claims_table
from reports.frames import Frames
from reports.provenance import runs_of
from reports.tables import Row, Table

ALIKE = ("word", "found")
"""What two checks of a claim must share for one of them to be enough."""
ID = 6
"""Digits of a machine's id where nothing else tells it from another."""


def machine_names(frames: Frames) -> dict[str, str]:
    """What to call the machines of the runs and of all costs: by GPU or CPU, and by run where two share that."""
    costs = frames.tasks[frames.tasks["kind"].isin(["profile", "race", "count"])]
    used = map(str, costs["machine_id"].dropna().drop_duplicates())
    own = [str(run["machine_id"]) for run in runs_of(frames)]
    plain = {key: _plain(frames.machines[key]) for key in dict.fromkeys((*own, *used))}
    names = list(plain.values())
    return {key: name if names.count(name) == 1 else f"{name} ({_of(frames, key)})" for key, name in plain.items()}


def claims_tables(frames: Frames) -> dict[str, Table]:
    """By machine of the page's runs, its newest check: of the first whole, of others what came out otherwise."""
    names = machine_names(frames)
    own = dict.fromkeys(str(run["machine_id"]) for run in runs_of(frames))
    checked = {key: table for key in own if (table := claims_table(on_machine(frames, key))) is not None}
    if len(own) == 1:
        return checked
    told = {key: dataclasses.replace(each, caption=f"{each.caption}, on {names[key]}") for key, each in checked.items()}
    first = next(iter(told), "")
    return {key: each if key == first else _otherwise(each, told[first], names[first]) for key, each in told.items()}


def on_machine(frames: Frames, key: str) -> Frames:
    """`frames` as those of a run on another machine, whose checks of claims they then show."""
    return dataclasses.replace(frames, run={**frames.run, "machine_id": key})


def _plain(machine: Mapping[str, object]) -> str:
    return str(machine.get("gpu") or machine.get("cpu") or "unnamed machine")


def _of(frames: Frames, key: str) -> str:
    """The runs on one machine, by their names."""
    named = [str(run["name"]) for run in runs_of(frames) if run["machine_id"] == key and run.get("name")]
    return ", ".join(named) or f"machine {key[:ID]}"


def _otherwise(table: Table, first: Table, name: str) -> Table:
    """`table` without what came out as in `first`, which is of the machine `name`."""
    before = {row.head: _came_to(row) for row in first.rows}
    rows = tuple(row for row in table.rows if before.get(row.head) != _came_to(row))
    alike = len(table.rows) - len(rows)
    note = f"{alike} claim{'s' if alike != 1 else ''} came out as on {name}; only the others are shown."
    return dataclasses.replace(table, rows=rows, notes=(note,) if alike else ())


def _came_to(row: Row) -> tuple[str, ...]:
    return tuple(row.entries[key].text for key in ALIKE)
