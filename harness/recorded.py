"""What the store holds of attempts that were made: what each was asked, where, by which code, and what it gave."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.errors import UserError
from harness.store import Store, read_json

ATTEMPTS = """
SELECT attempt.id, attempt.run_id, attempt.task_key, attempt.kind, attempt.spec, attempt.status, attempt.reason,
    attempt.ended_at, attempt.seconds, protocol.spec AS protocol, run.grid_name, run.grid, run.command, run.commit_id,
    run.dirty, run.versions, run.machine_id, machine.description AS machine
FROM attempt
JOIN protocol ON protocol.id = attempt.protocol_id
JOIN run ON run.id = attempt.run_id
JOIN machine ON machine.id = run.machine_id
"""
OF_RUN = ATTEMPTS + "WHERE attempt.run_id = :id ORDER BY attempt.ended_at, attempt.id"
OF_ID = ATTEMPTS + "WHERE attempt.id = :id"
OF_KIND = """
SELECT attempt.id, attempt.spec FROM attempt JOIN run ON run.id = attempt.run_id
WHERE attempt.kind = :kind AND attempt.status = 'done' AND run.machine_id = :machine ORDER BY attempt.ended_at
"""
WANTED = """
SELECT wanted.task_key, wanted.cell_id, wanted.label, cell.spec FROM wanted JOIN cell ON cell.id = wanted.cell_id
WHERE wanted.run_id = :id ORDER BY wanted.position DESC
"""
RECORDS = "SELECT * FROM record WHERE attempt_id = :id ORDER BY position"
PICTURES = "SELECT dataset, image, name, blob_id FROM artifact WHERE attempt_id = :id"
TRAININGS = """
SELECT attempt.task_key, attempt.spec, attempt.seconds, wanted.cell_id, cell.spec AS cell_spec, run.versions,
    machine.description AS machine, protocol.spec AS protocol
FROM attempt
JOIN protocol ON protocol.id = attempt.protocol_id
JOIN run ON run.id = attempt.run_id
JOIN machine ON machine.id = run.machine_id
JOIN wanted ON wanted.run_id = attempt.run_id AND wanted.task_key = attempt.task_key
JOIN cell ON cell.id = wanted.cell_id
WHERE attempt.kind = 'train' AND attempt.status = 'done' ORDER BY attempt.ended_at, wanted.position DESC
"""
IDS = "SELECT id, 'attempt' AS what, kind AS told FROM attempt UNION ALL SELECT id, 'run', grid_name FROM run"
SHOWN = 8
"""Digits of an id that are told."""
FEW = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recorded:
    """An attempt as the store tells it, with its run, its machine, and the first cell of the run that wanted it."""

    id: str
    run_id: str
    task_key: str
    kind: str
    spec: Mapping[str, Any]
    status: str
    reason: str | None
    ended_at: str
    seconds: float
    protocol: Mapping[str, Any]
    grid_name: str
    grid: str
    command: str
    commit_id: str
    dirty: bool
    versions: Mapping[str, str]
    machine_id: str
    machine: Mapping[str, Any]
    cell_id: str
    cell_spec: Mapping[str, Any]
    label: str

    @property
    def commit(self) -> str:
        """The commit in words."""
        return self.commit_id[:12] + (" with uncommitted changes" if self.dirty else "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """A training that is done: what its task was, how long it took, where, and which cell did it: of several the first.

    Cells that differ only in how they are executed share one, and do not round alike.
    """

    spec: Mapping[str, Any]
    seconds: float
    protocol: Mapping[str, Any]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    cell_id: str
    cell_spec: Mapping[str, Any]


def named(store: Store, asked: str) -> tuple[str, str]:
    """What the id that begins with `asked` is of, "attempt" or "run", and the whole id.

    Raises:
        UserError: the store holds none, or several; the message names the nearest, or what there are.
    """
    ids = store.frame(IDS)
    found = ids[ids["id"].str.startswith(asked)]
    if len(found) == 1:
        return str(found["what"].iloc[0]), str(found["id"].iloc[0])
    if len(found):
        told = ", ".join(_told(row) for row in found.head(FEW).to_dict("records"))
        more = f" and {len(found) - FEW} more" if len(found) > FEW else ""
        raise UserError(f"{len(found)} ids begin with {asked!r}: {told}{more}. Write more of it")
    if ids.empty:
        raise UserError("the store is empty: nothing was ever attempted")
    nearest = max(_rows(ids), key=lambda row: sum(a == b for a, b in zip(row["id"], asked, strict=False)))
    raise UserError(f"no attempt and no run begins with {asked!r}: did you mean {_told(nearest, whole=True)}?")


def attempt(store: Store, attempt_id: str) -> Recorded:
    """The attempt of that id."""
    return _all(store, store.frame(OF_ID, id=attempt_id))[0]


def attempts_of(store: Store, run_id: str) -> list[Recorded]:
    """Every attempt that the run made, in order."""
    return _all(store, store.frame(OF_RUN, id=run_id))


def done_alike(store: Store, kind: str, machine_id: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The ids and specifications of every attempt of a kind that is done on a machine, oldest first."""
    found = store.frame(OF_KIND, kind=kind, machine=machine_id)
    return [(str(key), read_json(spec)) for key, spec in zip(found["id"], found["spec"], strict=True)]


def trainings(store: Store) -> dict[str, Training]:
    """The trainings that are done, by the keys of their tasks; of several of one task the last."""
    return {row["task_key"]: _training(row) for row in _rows(store.frame(TRAININGS))}


def records(store: Store, attempt_id: str) -> pd.DataFrame:
    """Every number of an attempt, in order."""
    return store.frame(RECORDS, id=attempt_id)


def pictures(store: Store, attempt_id: str) -> dict[tuple[str, ...], str]:
    """The SHA-256 of every picture of an attempt, by data set, image and name."""
    rows = store.frame(PICTURES, id=attempt_id).itertuples(index=False)
    return {(str(row.dataset), str(row.image), str(row.name)): str(row.blob_id) for row in rows}


def _all(store: Store, rows: pd.DataFrame) -> list[Recorded]:
    wanted = {run_id: _wanted(store, run_id) for run_id in rows["run_id"].unique()}
    return [_recorded(row, wanted[row["run_id"]][row["task_key"]]) for row in rows.to_dict("records")]


def _wanted(store: Store, run_id: str) -> dict[str, Mapping[str, Any]]:
    """By task, who wanted it: of several cells the first."""
    return {str(row["task_key"]): row for row in _rows(store.frame(WANTED, id=run_id))}


def _rows(frame: pd.DataFrame) -> Sequence[Mapping[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _training(row: Mapping[str, Any]) -> Training:
    tables = {name: read_json(row[name]) for name in ("spec", "cell_spec", "protocol", "versions", "machine")}
    return Training(seconds=row["seconds"], cell_id=row["cell_id"], **tables)


def _recorded(row: Mapping[Any, Any], wanted: Mapping[str, Any]) -> Recorded:
    tables = {name: read_json(row[name]) for name in ("spec", "protocol", "versions", "machine")}
    cell = {"cell_id": wanted["cell_id"], "cell_spec": read_json(wanted["spec"]), "label": wanted["label"]}
    plain = {str(name): value for name, value in row.items()}
    reason = None if pd.isna(row["reason"]) else row["reason"]
    return Recorded(**plain | tables | cell | {"dirty": bool(row["dirty"]), "reason": reason})


def _told(row: Mapping[Any, Any], *, whole: bool = False) -> str:
    return f"{row['what']} {row['id'] if whole else row['id'][: SHOWN + FEW]} ({row['told']})"
