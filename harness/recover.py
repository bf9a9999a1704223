"""What can still be read of a damaged SQLite store, copied to a new one. The damaged file is not changed.

Rows are read in the order in which they were written, and stretches that cannot be read are stepped over. An attempt
that was done is copied only with all of its records: a part of them would pass for the whole, and without the attempt
the next run does its task again.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa

from harness.copies import Row, copy_rows, tables_of
from harness.errors import UserError
from harness.store import Store

LAST_ROW = 2**62
STEPS = 20_000
"""So many rows behind one that cannot be read are tried one by one; a page of the database holds far fewer."""
HASHED = {"machine": "description", "protocol": "spec"}
"""Texts whose hash is their row's id."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recovered:
    """How many rows of each table were `copied`, and how many attempts were left `incomplete` and therefore out."""

    copied: dict[str, int]
    incomplete: int


def recover(damaged: Path, new: Path) -> Recovered:
    """Copy what can be read of the store in the file `damaged` to a new store in the file `new`.

    Raises:
        UserError: there is no such file, it holds no table of a store, or `new` exists.
    """
    if not damaged.is_file():
        raise UserError(f"no file {damaged}: recover copies what can be read of a damaged SQLite store")
    if new.exists():
        raise UserError(f"{new} exists: name a file that does not, so that nothing is written over")
    with _copy_opened(damaged) as source:
        if not _has(source, "attempt"):
            raise UserError(f"nothing of a store can be read in {damaged}: move it away and run again")
        store = Store(str(new))
        try:
            return _copied(source, store.engine)
        finally:
            store.close()


@contextlib.contextmanager
def _copy_opened(damaged: Path) -> Iterator[sqlite3.Connection]:
    """A copy of the file and of its log, opened without regard to how long the file says that it is."""
    with tempfile.TemporaryDirectory(dir=damaged.parent) as folder:
        copy = Path(folder, "copy.sqlite")
        for ending in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{damaged}{ending}", f"{copy}{ending}")
        connection = sqlite3.connect(copy)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA writable_schema = ON")
            yield connection
        finally:
            connection.close()


def _has(source: sqlite3.Connection, table: str) -> bool:
    try:
        return bool(source.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [table]).fetchone())
    except sqlite3.DatabaseError:
        return False


def _copied(source: sqlite3.Connection, target: sa.Engine) -> Recovered:
    torn = _torn_attempts(source)
    there: dict[str, set[str]] = {}
    copied: dict[str, int] = {}
    for table in tables_of(target):
        if _has(source, table.name):
            there[table.name] = set()
            rows = _kept(source, table, there, torn)
            copied[table.name] = copy_rows(target, table, rows, leave_out_broken=True)
    return Recovered(copied=copied, incomplete=len(torn))


def _kept(source: sqlite3.Connection, table: sa.Table, there: dict[str, set[str]], torn: set[str]) -> Iterator[Row]:
    """The rows of `table` that can be read and miss nothing; their ids are added to those that are `there`."""
    for row in _readable(source, table.name):
        if _refers(row, table, there) and not (table.name == "attempt" and row["id"] in torn):
            there[table.name] |= {row["id"]} if "id" in row else set()
            yield row


def _refers(row: Row, table: sa.Table, there: dict[str, set[str]]) -> bool:
    """Whether everything that `row` refers to was copied."""
    return all(row[key.parent.name] in there.get(key.column.table.name, ()) for key in table.foreign_keys)


def _torn_attempts(source: sqlite3.Connection) -> set[str]:
    """Attempts that were done, and of whose records some cannot be read or may be missing.

    Records of an attempt are written together and numbered. Where rows are missing in the table, those before and
    after the gap may have lost some; where all of an attempt's are in the gap, it has none.
    """
    last, counts, torn = 0, dict[str, int](), set[str]()
    owner: str | None = None
    for number, row in _numbered(source, "record"):
        if number != last + 1:
            torn |= {row["attempt_id"]} | ({owner} if owner else set())
        if row["position"] != counts.get(row["attempt_id"], 0):
            torn.add(row["attempt_id"])
        counts[row["attempt_id"]] = row["position"] + 1
        last, owner = number, row["attempt_id"]
    if owner and not _ends_after(source, "record", last):
        torn.add(owner)
    done = {row["id"] for row in _readable(source, "attempt") if row["status"] == "done"}
    return torn & done | (done - counts.keys())


def _ends_after(source: sqlite3.Connection, table: str, number: int) -> bool:
    """Whether the database itself says that nothing follows the row `number`."""
    try:
        return source.execute(f"SELECT 1 FROM {table} WHERE rowid > ?", [number]).fetchone() is None  # noqa: S608
    except sqlite3.DatabaseError:
        return False


def _readable(source: sqlite3.Connection, table: str) -> Iterator[Row]:
    return (row for _, row in _numbered(source, table) if _sound(table, row))


def _sound(table: str, row: Row) -> bool:
    """Whether nothing speaks against `row`: no text has zeros in it, and an id that is a hash of a content fits it."""
    if any(isinstance(value, str) and "\0" in value for value in row.values()):
        return False
    if table == "blob":
        with contextlib.suppress(ValueError):
            return bool(hashlib.sha256(base64.b64decode(row["content"], validate=True)).hexdigest() == row["id"])
        return False
    return table not in HASHED or hashlib.sha256(str(row[HASHED[table]]).encode()).hexdigest().startswith(row["id"])


def _numbered(source: sqlite3.Connection, table: str) -> Iterator[tuple[int, Row]]:
    """Every row of `table` that can be read, in the order of writing, with its number there."""
    last = 0
    while last < LAST_ROW:
        try:
            for row in source.execute(_after(table), [last]):
                last = int(row["_number"])
                yield last, {name: row[name] for name in row.keys() if name != "_number"}  # noqa: SIM118 - a Row is no dict
        except sqlite3.DatabaseError:
            last = _behind_damage(lambda number: _reads(source, table, number), last)
        else:
            return


def _after(table: str) -> str:
    return f"SELECT rowid AS _number, * FROM {table} WHERE rowid > ? ORDER BY rowid"  # noqa: S608 - our own names


def _reads(source: sqlite3.Connection, table: str, number: int) -> bool:
    """Whether a row after `number` can be read, or there is none."""
    try:
        source.execute(f"{_after(table)} LIMIT 1", [number]).fetchone()
    except sqlite3.DatabaseError:
        return False
    return True


def _behind_damage(reads: Callable[[int], bool], bad: int) -> int:
    """The smallest number behind the damage that begins at `bad`: single steps, then steps that double, then halves."""
    near = next((bad + step for step in range(1, STEPS) if reads(bad + step)), None)
    if near is not None:
        return near
    step = STEPS
    while bad + step < LAST_ROW and not reads(bad + step):
        step *= 2
    low, high = bad + step // 2, min(bad + step, LAST_ROW)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reads(middle) else (middle, high)
    return high
