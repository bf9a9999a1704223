"""Databases that hold a store: connected to, looked at, and their tables brought up to date."""

from __future__ import annotations

import os
import sqlite3
import time
import urllib.parse
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from harness.errors import UserError

MIGRATIONS = Path(__file__).with_name("migrations")
LOCK_WAIT_S = 30.0
ALONE = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(7301)"}
"""How each database keeps others out while the tables are brought up to date; the number is ours by choice."""
READING = "nlbench_reading"
"""The option of an engine that must not write."""
MOST_NAMED = 5


def connected(url: str) -> sa.Engine:
    """The database of a store. An SQLite file that is there and may not be written is opened for reading alone.

    Raises:
        UserError: it is of another kind.
    """
    engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name not in ALONE:
        raise UserError(f"a store is SQLite or PostgreSQL, not {engine.dialect.name}")
    if engine.dialect.name == "sqlite":
        file = Path(engine.url.database or "")
        if engine.url.database and is_kept(file):
            return sa.create_engine(url, creator=lambda: _for_reading(file), execution_options={READING: True})
        if engine.url.database:
            file.parent.mkdir(parents=True, exist_ok=True)
        sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def is_kept(file: Path) -> bool:
    """Whether an SQLite file can be read and not be written: SQLite writes beside it too, so its folder counts."""
    return file.is_file() and not (os.access(file, os.W_OK) and os.access(file.absolute().parent, os.W_OK))


def _for_reading(file: Path) -> sqlite3.Connection:
    """Nothing is written, not even who reads; what a writer left beside the file is looked at where it is there."""
    left = file.with_name(f"{file.name}-wal")
    alone = "" if left.is_file() and left.stat().st_size else "&immutable=1"
    address = f"file:{urllib.parse.quote(str(file.absolute()))}?mode=ro{alone}"
    return sqlite3.connect(address, uri=True, check_same_thread=False)


def _prepare_sqlite(connection: Any, _: object) -> None:
    """Readers beside a writer, patience with other writers, and references that hold."""
    connection.execute(f"PRAGMA busy_timeout = {int(LOCK_WAIT_S * 1000)}")
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _write_ahead(connection: Any) -> None:
    """Switch to write-ahead logging; SQLite does not wait for others here by itself, whatever its timeout."""
    end = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def bring_up_to_date(engine: sa.Engine) -> None:
    """Apply the migrations that the store does not have yet, all in one transaction.

    Raises:
        UserError: the database holds something else, the store is newer than us, or older and not ours to write.
    """
    files = sorted(MIGRATIONS.glob("[0-9]*.sql"))
    if engine.get_execution_options().get(READING):
        _check_age(engine, len(files))
        return
    with engine.begin() as connection:
        connection.exec_driver_sql(ALONE[engine.dialect.name])
        _check_ours(connection)
        connection.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL)"
        )
        applied = _applied(connection, len(files))
        for number, file in enumerate(files[applied:], start=applied + 1):
            for statement in _statements(file.read_text(encoding="utf-8")):
                connection.exec_driver_sql(statement)
            connection.execute(sa.text("INSERT INTO migration VALUES (:n, :f)"), {"n": number, "f": file.name})


def _applied(connection: sa.Connection, known: int) -> int:
    """How many migrations the store has, of those `known` to us."""
    applied = int(connection.exec_driver_sql("SELECT COALESCE(MAX(number), 0) FROM migration").scalar_one())
    if applied > known:
        raise UserError(f"the store has migration {applied}, this version of nlbench knows {known}: update it")
    return applied


def _check_ours(connection: sa.Connection) -> None:
    """What another program keeps in its database is left alone."""
    tables = sa.inspect(connection).get_table_names()
    if tables and "migration" not in tables:
        raise UserError(f"this database is no store: it holds {', '.join(sorted(tables)[:MOST_NAMED])}")


def _check_age(engine: sa.Engine, known: int) -> None:
    with engine.connect() as connection:
        if "migration" not in sa.inspect(connection).get_table_names():
            raise UserError("this database is no store")
        if _applied(connection, known) < known:
            raise UserError("the store is older than this version of nlbench, and may not be written: copy it first")


def _statements(script: str) -> list[str]:
    lines = (line for line in script.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]
