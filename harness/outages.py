"""What goes wrong with the database of a store: waited for where it passes, told in one line where it does not."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from harness.errors import UserError

LOG = logging.getLogger(__name__)
WAIT_S = 60.0
"""How long a transaction is tried while the database is away: longer than a restart of PostgreSQL takes."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
PASSING = ("08", "57P0", "53300", "40001", "40P01")
"""SQLSTATEs of PostgreSQL, or how they begin, of what passes: lost connections, a shutdown, too many clients, a
deadlock with another driver."""
AGAIN = "run the same command again: nothing that is in the store or in its cache is lost"
ADVICE = {
    "malformed": "`run_all.py recover STORE NEW` copies whatever of it can still be read",
    "not a database": "`run_all.py recover STORE NEW` copies whatever of it can still be read; or name another file",
    "disk is full": f"free some space and {AGAIN}",
    "no space left": f"free some space and {AGAIN}",
    "disk i/o error": f"look after the disk, free space on it, and {AGAIN}",
    "locked": f"another process has held it for too long; when it is done, {AGAIN}",
    "readonly": "it must be possible to write the file and its folder",
    "unable to open": "it must be possible to write the file and its folder",
}
"""What to do, by words of the database."""


def patiently(
    engine: sa.Engine, work: Callable[[sa.Connection], None], written: Callable[[sa.Connection], bool]
) -> None:
    """Do `work` in one transaction, again for up to `WAIT_S` seconds while the database is away.

    A connection may be lost after the database has committed and before it says so: from the second try on, `written`
    looks whether an earlier one got through, so that nothing is written twice.

    Raises:
        sqlalchemy.exc.DBAPIError: what does not pass, or did not in that time.
    """
    end, pause, waits = time.monotonic() + WAIT_S, FIRST_PAUSE_S, False
    while True:
        try:
            with engine.begin() as connection:
                if not (waits and written(connection)):
                    work(connection)
        except sa.exc.DBAPIError as error:
            if not _passes(error) or time.monotonic() + pause > end:
                raise
            if not waits:
                name, cause = without_password(str(engine.url)), _cause(error)
                LOG.warning("the store %s is away (%s); trying again for %g s", name, cause, WAIT_S)
            waits = True
        else:
            return
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


@contextlib.contextmanager
def told(url: str, doing: str, *, everything: bool = False) -> Iterator[None]:
    """What the database complains of while we are `doing` ("open", "read", "write") something with the store at `url`.

    Told as the user's affair, in one line, without a password, with what to do about it. A complaint that we know
    nothing about stays as it is, unless `everything` is the user's affair, as when a store is opened.

    Raises:
        UserError: the complaint.
    """
    try:
        yield
    except Exception as raised:
        error = raised.__cause__ if type(raised).__module__.startswith("pandas") else raised
        if not isinstance(error, sa.exc.SQLAlchemyError | ImportError | OSError):
            raise
        advice = _advice(error)
        if not (everything or advice):
            raise
        name = without_password(url)
        raise UserError(f"cannot {doing} the store {name}: {_cause(error)}{advice.replace('STORE', name)}") from error


def without_password(url: str) -> str:
    """A URL as it may be shown; an SQLite file by its path."""
    try:
        made = sa.make_url(url)
    except sa.exc.ArgumentError:
        return url
    file = made.database if made.drivername == "sqlite" and made.database else None
    return file or made.render_as_string(hide_password=True)


def _passes(error: sa.exc.DBAPIError) -> bool:
    """Whether a further try may succeed: the connection was lost, cannot be made, or others are in the way."""
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(error.orig, sqlite3.Error):
        return False
    if isinstance(error, sa.exc.OperationalError) and state is None:
        return True
    return error.connection_invalidated or str(state).startswith(PASSING)


def _advice(error: Exception) -> str:
    """What to do about `error`, as the end of a message; nothing if we do not know."""
    if not isinstance(error, sa.exc.DBAPIError):
        return ""
    words = str(error.orig).lower()
    known = next((advice for word, advice in ADVICE.items() if word in words), None)
    if known is None and _passes(error):
        known = f"it did not come back for {WAIT_S:g} s; when it does, {AGAIN}"
    return f": {known}" if known else ""


def _cause(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
