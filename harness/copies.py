"""Rows copied from store to store, and runs with all that they depend on written as an SQLite store of their own.

Such a store holds every attempt that answers what the runs wanted, whoever made it, the attempts that their verdicts
rest on, and the trainings that made the weights of all these, so that pages, tables, comparisons and replays need no
other. It holds no picture: those are most of a store.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from harness.errors import UserError
from harness.outages import told
from harness.store import Store, read_json

CHUNK = 1000
PICTURES = frozenset({"artifact", "blob"})
BESIDE = ("", "-wal", "-journal")
"""Endings of the files that SQLite takes for parts of one database."""

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copied:
    """How many `runs` were asked for, how many `others` made attempts for them, and how many rows there are of each."""

    runs: int
    others: int
    attempts: int
    records: int


def tables_of(engine: sa.Engine) -> list[sa.Table]:
    """The tables of a store that hold its content, each after those that it refers to."""
    schema = sa.MetaData()
    schema.reflect(engine)
    return [table for table in schema.sorted_tables if table.name != "migration"]


def copy_rows(target: sa.Engine, table: sa.Table, rows: Iterable[Row], *, leave_out_broken: bool = False) -> int:
    """Insert `rows` in the table of an SQLite store, chunk by chunk; returns how many were written.

    A row that breaks a rule of the table is an error, unless such rows are to be left out.
    """
    insert = table.insert().prefix_with("OR IGNORE") if leave_out_broken else table.insert()
    written = 0
    for chunk in _chunks(rows):
        with target.begin() as connection:
            written += connection.execute(insert, chunk).rowcount
    return written


def copy_runs(source: Store, file: Path, run_ids: Sequence[str]) -> Copied:
    """Write the runs `run_ids` of `source` with all that they depend on, without pictures, as a new store: `file`.

    It is written beside its place and renamed: whole or not there. Folders are made.

    Raises:
        UserError: `file` exists, since a store is never written over; or it cannot be written, or `source` not read.
    """
    if found := [f"{file}{ending}" for ending in BESIDE if Path(f"{file}{ending}").exists()]:
        raise UserError(f"{found[0]} exists: name a file that does not, so that nothing is written over")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as folder, told(str(file), "write"):
            partial = Path(folder, file.name)
            copied = _written(_Source(source), partial, run_ids)
            partial.replace(file)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror or error}") from error
    return copied


class _Source:
    """Reads rows of a store, SQLite or PostgreSQL, a chunk at a time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tables = {table.name: table for table in tables_of(store.engine)}

    def rows(self, name: str, column: str, values: Iterable[str], *columns: str) -> Iterator[Row]:
        """The rows of a table whose `column` has one of `values`, whole or those `columns` of them.

        Both come in order, so that the same content gives the same file.
        """
        table = self.tables[name]
        query = sa.select(*(table.c[each] for each in columns or table.c.keys())).order_by(*table.primary_key)
        with told(self.store.url, "read"), self.store.engine.connect() as connection:
            for chunk in _chunks(sorted(values)):
                part = query.where(table.c[column].in_(chunk))
                found = connection.execute(part, execution_options={"yield_per": CHUNK})
                yield from map(dict, found.mappings())


def _written(source: _Source, partial: Path, run_ids: Sequence[str]) -> Copied:
    attempts = _attempts(source, run_ids)
    rows = _chosen(source, run_ids, attempts)
    target = Store(str(partial))
    try:
        tables = [table for table in tables_of(target.engine) if table.name not in PICTURES]
        written = {table.name: copy_rows(target.engine, table, rows[table.name]) for table in tables}
        with target.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM")
    finally:
        target.close()
    others = written["run"] - len(run_ids)
    return Copied(runs=len(run_ids), others=others, attempts=written["attempt"], records=written["record"])


def _attempts(source: _Source, run_ids: Sequence[str]) -> dict[str, Row]:
    """By id, the attempts at what the runs wanted, those that verdicts rest on, and the trainings of them all."""
    columns = ("id", "run_id", "task_key", "protocol_id", "spec")
    keys = {row["task_key"] for row in source.rows("wanted", "run_id", run_ids, "task_key")}
    rows = source.rows("attempt", "id", _evidence(source, run_ids), *columns)
    found, looked = dict[str, Row](), set[str]()
    while True:
        for row in rows:
            keys |= _weights(read_json(row.pop("spec")))
            found[row["id"]] = row
        if not (new := keys - looked):
            return found
        looked |= new
        rows = source.rows("attempt", "task_key", new, *columns)


def _evidence(source: _Source, run_ids: Sequence[str]) -> set[str]:
    verdicts = source.rows("verdict", "run_id", run_ids, "attempts")
    return {attempt for row in verdicts for attempt in read_json(row["attempts"])}


def _weights(spec: Mapping[str, Any]) -> set[str]:
    """Keys of the trainings whose weights an attempt took, its own network's and its twin's; or hashes of files."""
    held = (spec.get("weights"), spec.get("twin", {}).get("weights"))
    return {str(key) for key in held if key}


def _chosen(source: _Source, run_ids: Sequence[str], attempts: Mapping[str, Row]) -> dict[str, Iterable[Row]]:
    """By table, the rows to copy. Of other runs it is what they wanted and did themselves."""
    runs = {*run_ids, *(row["run_id"] for row in attempts.values())}
    made = {(row["run_id"], row["task_key"]) for row in attempts.values()}
    asked = set(run_ids)
    wanted = [
        row
        for row in source.rows("wanted", "run_id", runs)
        if row["run_id"] in asked or (row["run_id"], row["task_key"]) in made
    ]
    return {
        "machine": source.rows("machine", "id", {row["machine_id"] for row in source.rows("run", "id", runs)}),
        "run": source.rows("run", "id", runs),
        "cell": source.rows("cell", "id", {row["cell_id"] for row in wanted}),
        "wanted": wanted,
        "protocol": source.rows("protocol", "id", {row["protocol_id"] for row in attempts.values()}),
        "attempt": source.rows("attempt", "id", attempts),
        "record": source.rows("record", "attempt_id", attempts),
        "verdict": source.rows("verdict", "run_id", asked),
    }


def _chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(rows)
    while chunk := list(itertools.islice(rest, CHUNK)):
        yield chunk
