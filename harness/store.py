"""The store: runs, attempts and records in a database, append only. SQLite by default, PostgreSQL by URL. No torch.

Tables are made by the numbered files of `migrations/`, each applied once and in order when a store is opened.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from harness.databases import bring_up_to_date, connected
from harness.errors import UserError
from harness.outages import patiently, told, without_password
from harness.records import SETTLED, Artifact, Outcome, Record, Status, Task, canonical, fingerprint

if TYPE_CHECKING:
    import pandas as pd

COUNTING = ("check", "baseline", "compare")
MOST_NAMED = 5
NOT_COMPARED = ("weights", "hash_seed")
"""Parts of a protocol that may differ inside one column of a table: which weights, which draw."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """A task that a run asks for, the cell it belongs to, and the cell's label in tables."""

    cell: str
    cell_spec: Mapping[str, Any]
    label: str
    task: Task


class Store:
    """An open store. Every write is one transaction: an outcome is in it whole or not at all. Times never go back."""

    def __init__(self, url: str) -> None:
        """Open the store at `url` (an SQLAlchemy URL, or the path of an SQLite file) and bring its tables up to date.

        An SQLite file that may not be written is opened for reading.

        Raises:
            UserError: the URL is no URL, its database cannot be reached or is no store, or the store is newer than us.
        """
        self.url = url if "://" in url else f"sqlite:///{url}"
        self._latest: str | None = None
        with told(self.url, "open", everything=True), contextlib.ExitStack() as on_failure:
            self.engine = connected(self.url)
            on_failure.callback(self.close)
            bring_up_to_date(self.engine)
            self._tables = sa.MetaData()
            self._tables.reflect(self.engine, views=True)
            on_failure.pop_all()

    def close(self) -> None:
        """Release the database."""
        self.engine.dispose()

    def begin_run(self, run: Mapping[str, Any], machine: Mapping[str, Any], wanted: Sequence[Wanted]) -> str:
        """Write down a run and everything it asks for; returns the run's id."""
        run_id, machine_id, now = uuid.uuid4().hex, fingerprint(machine), self._stamp()
        specs = {w.cell: w.cell_spec for w in wanted}
        cells = [{"id": cell, "spec": canonical(spec)} for cell, spec in specs.items()]

        def rows(connection: sa.Connection) -> None:
            self._add_new(connection, "machine", [{"id": machine_id, "description": canonical(machine)}])
            self._add(connection, "run", [{"id": run_id, "machine_id": machine_id, "started_at": now, **run}])
            self._add_new(connection, "cell", cells)
            self._add(connection, "wanted", [_wanted_row(run_id, i, w) for i, w in enumerate(wanted)])

        self._write("run", "id", run_id, rows)
        return run_id

    def write(self, run_id: str, outcome: Outcome) -> str:
        """Append one outcome with its records and artifacts; returns the attempt's id."""
        attempt_id, protocol, now = uuid.uuid4().hex, dict(outcome.protocol), self._stamp()
        shared = {name: value for name, value in protocol.items() if name not in NOT_COMPARED}
        row = {"id": fingerprint(protocol), "comparable": fingerprint(shared), "spec": canonical(protocol)}

        def rows(connection: sa.Connection) -> None:
            self._add_new(connection, "protocol", [row])
            ended = {"protocol_id": row["id"], "ended_at": now}
            self._add(connection, "attempt", [_attempt_row(attempt_id, run_id, outcome) | ended])
            self._add(connection, "record", _record_rows(attempt_id, outcome.records))
            blobs = {_digest(a): base64.b64encode(a.content).decode() for a in outcome.artifacts}
            self._add_new(connection, "blob", [{"id": key, "content": content} for key, content in blobs.items()])
            self._add(connection, "artifact", _artifact_rows(attempt_id, outcome.artifacts))

        self._write("attempt", "id", attempt_id, rows)
        return attempt_id

    def add_verdicts(self, run_id: str, verdicts: Sequence[Mapping[str, str]]) -> None:
        """Append what became of claims, in their order, as of the run `run_id`: rows of `verdict`."""
        rows = [{"run_id": run_id, "position": i, **row} for i, row in enumerate(verdicts)]
        self._write("verdict", "run_id", run_id, lambda connection: self._add(connection, "verdict", rows))

    def settled(self, keys: Iterable[str], machine: Mapping[str, Any]) -> dict[str, str]:
        """Those of the task `keys` that need no further attempt, with the status of each: done, or failed for good.

        What ran out of memory on another machine may have room on this one.
        """
        attempt, run = self._tables.tables["attempt"], self._tables.tables["run"]
        elsewhere = (attempt.c.status == Status.OUT_OF_MEMORY) & (run.c.machine_id != fingerprint(machine))
        query = sa.select(attempt.c.task_key, attempt.c.status).join(run, run.c.id == attempt.c.run_id)
        query = query.where(attempt.c.status.in_(sorted(SETTLED)) & ~elsewhere)
        wanted = set(keys)
        rows = self._rows(query.order_by(attempt.c.ended_at))
        found = {key: status for key, status in rows if key in wanted}
        return found | {key: "done" for key, status in rows if key in wanted and status == "done"}

    def run_id(self, beginning: str | None = None) -> str:
        """The id of the newest run that a user asked for, or of the one whose id begins so.

        What `check`, `baseline` and `compare` counted for themselves is the newest only where there is nothing else.

        Raises:
            UserError: the store holds no such run, or several.
        """
        table = self._tables.tables["run"]
        columns = (table.c.id, table.c.grid_name, table.c.started_at, table.c.command)
        runs = self._rows(sa.select(*columns).order_by(table.c.started_at.desc()))
        if not runs:
            raise UserError(f"the store {without_password(self.url)} holds no run yet")
        if beginning is None:
            return str(next((run.id for run in runs if not _by_the_way(run.command)), runs[0].id))
        found = [str(run.id) for run in runs if run.id.startswith(beginning)]
        if len(found) != 1:
            count = f"{len(found)} runs begin" if found else "no run begins"
            raise UserError(f"{count} with {beginning!r}; the newest are {', '.join(map(_called, runs[:MOST_NAMED]))}")
        return found[0]

    def measurements(self, run_id: str | None = None) -> pd.DataFrame:
        """Every number of the store, or every number that one run asked for, with the cells it asked for."""
        if run_id is None:
            return self.frame("SELECT * FROM measurement")
        return self.frame(
            "SELECT measurement.*, wanted.label, wanted.cell_id, cell.spec AS cell_spec FROM measurement "
            "JOIN wanted ON wanted.task_key = measurement.task_key JOIN cell ON cell.id = wanted.cell_id "
            "WHERE wanted.run_id = :run_id",
            run_id=run_id,
        )

    def frame(self, query: str, **values: Any) -> pd.DataFrame:
        """The rows of an SQL query as a pandas table, `:name` in it standing for the value of that name."""
        import pandas as pd  # noqa: PLC0415 - half a second that writing records does not need

        with told(self.url, "read"), self.engine.connect() as connection:
            return pd.read_sql(sa.text(query), connection, params=values)

    def _rows(self, query: sa.Select[Any]) -> list[Any]:
        with told(self.url, "read"), self.engine.connect() as connection:
            return list(connection.execute(query))

    def _write(self, table: str, column: str, key: str, rows: Callable[[sa.Connection], None]) -> None:
        """Write `rows`, whole and once; `key` in `column` of `table` is how to see that they are there."""

        def written(connection: sa.Connection) -> bool:
            own = self._tables.tables[table].c[column]
            return connection.execute(sa.select(own).where(own == key).limit(1)).first() is not None

        with told(self.url, "write"):
            patiently(self.engine, rows, written)

    def _stamp(self) -> str:
        """The time, but after all times in the store: a clock that was set back must not make what is older newest."""
        if self._latest is None:
            times = [self._tables.tables[t].c[c] for t, c in (("run", "started_at"), ("attempt", "ended_at"))]
            newest = [self._rows(sa.select(sa.func.max(time)))[0][0] for time in times]
            self._latest = max(time or "" for time in newest)
        self._latest = max(_now(), _just_after(self._latest))
        return self._latest

    def _add(self, connection: sa.Connection, table: str, rows: list[dict[str, Any]]) -> None:
        if rows:
            connection.execute(self._tables.tables[table].insert(), rows)

    def _add_new(self, connection: sa.Connection, table: str, rows: list[dict[str, Any]]) -> None:
        """Insert rows whose id is a hash of their content; those that are there already stay as they are."""
        unique = list({row["id"]: row for row in rows}.values())
        if unique:
            insert = _dialect_insert(connection)(self._tables.tables[table])
            connection.execute(insert.on_conflict_do_nothing(index_elements=["id"]), unique)


def _by_the_way(command: str) -> bool:
    """Whether a run was made by a verb that counts what it needs for something else."""
    return command.split()[2:3] in [[verb] for verb in COUNTING]


def _called(run: Any) -> str:
    return f"{run.id[:8]} ({run.grid_name!r}, {run.started_at[:16].replace('T', ' ')})"


def _dialect_insert(connection: sa.Connection) -> Any:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert  # noqa: PLC0415 - only for a shared store

        return postgresql_insert
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert  # noqa: PLC0415

    return sqlite_insert


def _wanted_row(run_id: str, position: int, wanted: Wanted) -> dict[str, Any]:
    task = {"task_key": wanted.task.key, "kind": wanted.task.kind}
    return {"run_id": run_id, "position": position, "cell_id": wanted.cell, "label": wanted.label, **task}


def _attempt_row(attempt_id: str, run_id: str, outcome: Outcome) -> dict[str, Any]:
    task = {"task_key": outcome.task.key, "kind": outcome.task.kind, "spec": canonical(outcome.task.spec)}
    end = {"status": outcome.status.value, "reason": outcome.reason, "seconds": outcome.seconds}
    return {"id": attempt_id, "run_id": run_id, **task, **end}


def _record_rows(attempt_id: str, records: Sequence[Record]) -> list[dict[str, Any]]:
    names = [field.name for field in dataclasses.fields(Record)]
    return [
        {"attempt_id": attempt_id, "position": i, **{name: getattr(record, name) for name in names}}
        for i, record in enumerate(records)
    ]


def _artifact_rows(attempt_id: str, artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    return [
        {"attempt_id": attempt_id, "position": i, "blob_id": _digest(a)}
        | {"name": a.name, "dataset": a.dataset, "image": a.image}
        for i, a in enumerate(artifacts)
    ]


def _digest(artifact: Artifact) -> str:
    return hashlib.sha256(artifact.content).hexdigest()


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")


def _just_after(time: str) -> str:
    """A microsecond after `time`; the empty text for itself."""
    later = dt.datetime.fromisoformat(time) + dt.timedelta(microseconds=1) if time else None
    return later.isoformat(timespec="microseconds") if later else ""


def read_json(text: str) -> dict[str, Any]:
    """A JSON column of the store as a table."""
    content: dict[str, Any] = json.loads(text)
    return content
