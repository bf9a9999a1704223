from __future__ import annotations

import dataclasses
import math
import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from harness import databases
from harness.databases import MIGRATIONS
from harness.errors import UserError
from harness.records import Artifact, Outcome, Record, Status, Task
from harness.store import Store, Wanted

POSTGRESQL = "NLBENCH_TEST_POSTGRESQL"
TASK = Task(kind="evaluate", key="task-1", spec={"dataset": "set", "tiling": "whole"}, needs=("train-1",))
RUN = {
    "grid_name": "g",
    "grid": "name = 'g'",
    "command": "python run_all.py",
    "commit_id": "abc",
    "dirty": 0,
    "versions": "{}",
}
MACHINE = {"cpu": "one"}
RECORDS = (
    Record(metric="psnr_y", value=31.5, dataset="set", image="one"),
    Record(metric="psnr_y", value=math.inf, dataset="set", image="same"),
    Record(metric="macs_fvcore", status=Status.ERROR, reason="cannot count", size="8x8", repeat=2),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "store.sqlite")
        return
    if (server := os.environ.get(POSTGRESQL)) is None:
        message = f"no PostgreSQL: {POSTGRESQL} holds no URL"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    name = f"test_{os.getpid()}_{time.monotonic_ns()}"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


@pytest.fixture
def opened(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    store.close()


def begin(store: Store, *tasks: Task) -> str:
    wanted = [Wanted(cell="cell-1", cell_spec={"method": "edsr"}, label="EDSR", task=task) for task in tasks or (TASK,)]
    return store.begin_run(RUN, MACHINE, wanted)


def outcome(task: Task = TASK, status: Status = Status.DONE, records: tuple[Record, ...] = RECORDS) -> Outcome:
    reason = None if status is Status.DONE else "because"
    protocol = {"tiling": "whole", "weights": "w", "hash_seed": 0}
    return Outcome(task=task, status=status, seconds=1.5, reason=reason, records=records, protocol=protocol)


def test_everything_written_is_read_back_in_one_call(opened: Store) -> None:
    run_id = begin(opened)
    opened.write(run_id, outcome())
    with opened.engine.connect() as connection:
        frame = pd.read_sql(sa.text("SELECT * FROM measurement ORDER BY position"), connection)
    assert list(frame["value"][:2]) == [31.5, math.inf]
    assert math.isnan(frame["value"][2])
    assert list(frame["status"]) == ["done", "done", "error"]
    assert list(frame["reason"])[2] == "cannot count"
    assert set(frame["task_key"]) == {"task-1"}
    assert set(frame["commit_id"]) == {"abc"}
    assert frame["size"][2] == "8x8"
    assert frame["repeat"][2] == 2


def test_measurements_of_a_run_hold_what_it_asked_for_even_if_an_earlier_run_measured_it(opened: Store) -> None:
    opened.write(begin(opened), outcome())
    later = begin(opened)
    assert len(opened.measurements(later)) == len(RECORDS)
    assert set(opened.measurements(later)["label"]) == {"EDSR"}
    assert len(opened.measurements()) == len(RECORDS)


def test_settled_are_the_tasks_that_another_run_leaves_alone(opened: Store) -> None:
    run_id = begin(opened)
    statuses = {f"t{status}": status for status in Status}
    for key, status in statuses.items():
        opened.write(run_id, outcome(dataclasses.replace(TASK, key=key), status, records=()))
    assert opened.settled([*statuses, "unknown"], MACHINE) == {
        "tdone": "done",
        "tout_of_memory": "out_of_memory",
        "tdiverged": "diverged",
    }
    assert opened.settled(["tdone"], MACHINE) == {"tdone": "done"}


def test_what_ran_out_of_memory_elsewhere_is_tried_here(opened: Store) -> None:
    statuses = {f"t{status}": status for status in (Status.DONE, Status.DIVERGED, Status.OUT_OF_MEMORY)}
    for key, status in statuses.items():
        opened.write(begin(opened), outcome(dataclasses.replace(TASK, key=key), status, records=()))
    assert opened.settled(statuses, {"cpu": "another"}) == {"tdone": "done", "tdiverged": "diverged"}


@pytest.mark.parametrize("order", [(Status.DIVERGED, Status.DONE), (Status.DONE, Status.OUT_OF_MEMORY)])
def test_a_task_once_done_stays_done(opened: Store, order: tuple[Status, Status]) -> None:
    run_id = begin(opened)
    for status in order:
        opened.write(run_id, outcome(status=status, records=()))
    assert opened.settled([TASK.key], MACHINE) == {TASK.key: "done"}


def test_an_artifact_is_kept_once_however_often_it_is_written(opened: Store) -> None:
    run_id = begin(opened)
    artifacts = tuple(Artifact(name=n, dataset="set", image="one", content=b"same") for n in ("lr", "sr"))
    for _ in range(2):
        opened.write(run_id, dataclasses.replace(outcome(), artifacts=artifacts))
    assert len(opened.frame("SELECT * FROM blob")) == 1
    assert len(opened.frame("SELECT * FROM artifact")) == 4


def test_protocols_that_differ_in_weights_and_draw_are_comparable_and_no_others(opened: Store) -> None:
    run_id = begin(opened)
    for change in ({}, {"weights": "other"}, {"hash_seed": 1}, {"tiling": "chop"}):
        base = outcome()
        opened.write(run_id, dataclasses.replace(base, protocol={**base.protocol, **change}))
    protocols = opened.frame("SELECT * FROM protocol")
    assert len(protocols) == 4
    assert sorted(protocols["comparable"].value_counts()) == [1, 3]


def test_the_database_itself_refuses_a_value_without_done_and_done_without_a_value(opened: Store) -> None:
    attempt = opened.write(begin(opened), outcome(records=()))
    row = {"attempt_id": attempt, "position": 0, "metric": "psnr_y", "repeat": 0}
    for broken in ({"value": 1.0, "status": "error"}, {"value": None, "status": "done"}):
        with pytest.raises(sa.exc.IntegrityError), opened.engine.begin() as connection:
            opened._add(connection, "record", [row | broken])


def test_an_outcome_is_whole_or_absent(opened: Store) -> None:
    run_id = begin(opened)
    bad = dataclasses.replace(outcome(), artifacts=(Artifact(name=None, dataset="d", image="i", content=b""),))  # type: ignore[arg-type]
    with pytest.raises(sa.exc.IntegrityError):
        opened.write(run_id, bad)
    assert opened.frame("SELECT * FROM attempt").empty
    assert opened.frame("SELECT * FROM record").empty


def test_opening_again_migrates_nothing_and_loses_nothing(url: str) -> None:
    first = Store(url)
    first.write(begin(first), outcome())
    first.close()
    second = Store(url)
    assert len(second.frame("SELECT * FROM record")) == len(RECORDS)
    assert list(second.frame("SELECT number FROM migration")["number"]) == [1, 2, 3]
    second.close()


def test_migrations_are_numbered_without_gaps() -> None:
    assert [int(file.name[:4]) for file in sorted(MIGRATIONS.glob("*.sql"))] == [1, 2, 3]


@pytest.mark.fault(
    area="Store",
    what="A newer version of nlbench has changed the store",
    how="a migration that this one does not know",
    kept="the store as it is; a message that says which version it needs",
)
def test_a_store_from_a_newer_version_is_refused(url: str) -> None:
    store = Store(url)
    with store.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO migration VALUES (999, 'later')"))
    store.close()
    with pytest.raises(UserError, match="migration 999"):
        Store(url)


@pytest.mark.fault(
    area="Store",
    what="Several drivers open and write a store at once",
    how="four at a time, SQLite and PostgreSQL",
    kept="every record, once",
)
def test_several_writers_and_openers_do_not_disturb_each_other(url: str) -> None:
    def write(writer: int) -> None:
        store = Store(url)
        run_id = begin(store)
        for i in range(10):
            store.write(run_id, outcome(dataclasses.replace(TASK, key=f"{writer}-{i}")))
        store.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    store = Store(url)
    assert store.frame("SELECT COUNT(*) AS n FROM record")["n"][0] == 40 * len(RECORDS)
    assert store.frame("SELECT COUNT(DISTINCT task_key) AS n FROM attempt")["n"][0] == 40
    store.close()


def _write_for_ever(url: str, ready: str) -> None:
    store = Store(url)
    run_id = begin(store)
    records = RECORDS * 500
    for i in range(10**6):
        store.write(run_id, outcome(dataclasses.replace(TASK, key=f"k{i}"), records=records))
        if i == 0:
            Path(ready).touch()


@pytest.mark.fault(
    area="Store",
    what="Who writes is killed (SIGKILL)",
    how="while it writes outcomes of 1500 records, to SQLite and to PostgreSQL",
    kept="every outcome is there with all its records, or not at all",
)
def test_a_writer_killed_at_any_moment_leaves_only_whole_outcomes(url: str, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    writer = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(url, str(ready)))
    writer.start()
    while not ready.exists():
        time.sleep(0.01)
    time.sleep(0.35)
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    store = Store(url)
    counts = store.frame(
        "SELECT attempt.id, COUNT(record.position) AS n FROM attempt "
        "LEFT JOIN record ON record.attempt_id = attempt.id GROUP BY attempt.id"
    )
    assert len(counts) >= 1
    assert set(counts["n"]) == {500 * len(RECORDS)}
    store.write(begin(store), outcome())
    store.close()


@pytest.mark.parametrize("beginning", [None, "the id itself"])
def test_a_run_is_found_by_the_beginning_of_its_id(opened: Store, beginning: str | None) -> None:
    begin(opened)
    newest = begin(opened)
    assert opened.run_id(newest[:12] if beginning else None) == newest


def test_a_run_that_is_not_there_is_told(opened: Store) -> None:
    with pytest.raises(UserError, match="holds no run yet"):
        opened.run_id()
    begin(opened)
    with pytest.raises(UserError, match="no run begins with 'zzz'"):
        opened.run_id("zzz")


@pytest.mark.parametrize(
    ("bad_url", "told"),
    [
        ("nonsense://x", "cannot open the store nonsense://x"),
        ("postgresql+psycopg://someone:secret@127.0.0.1:1/db", r"cannot open the store .*someone:\*\*\*@"),
        ("sqlite:////proc/nowhere/store.sqlite", "cannot open the store"),
    ],
)
def test_a_store_that_cannot_be_opened_is_told_in_one_line_without_its_password(bad_url: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as mistake:
        Store(bad_url)
    assert "secret" not in str(mistake.value)
    assert "\n" not in str(mistake.value)


@pytest.mark.fault(
    area="Files that are damaged",
    what="The file of the store is something else",
    how="a text in its place",
    kept="the file as it is; a message",
)
def test_a_file_that_is_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_text("this is no database at all, but it is long enough to be looked at" * 20)
    with pytest.raises(UserError, match="not a database"):
        Store(str(tmp_path / "store.sqlite"))


def test_a_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE notes (text TEXT)")
    before = (tmp_path / "other.sqlite").read_bytes()
    with pytest.raises(UserError, match="this database is no store: it holds notes"):
        Store(str(tmp_path / "other.sqlite"))
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("notes",)]
    assert before


def may_not_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for somebody else than root, whom nothing stops."""
    monkeypatch.setattr(databases.os, "access", lambda *_: False)


@pytest.mark.parametrize("left", [False, True], ids=["closed", "while a writer has it open"])
def test_a_store_that_may_not_be_written_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bool
) -> None:
    writer = Store(str(tmp_path / "a b.sqlite"))
    writer.write(begin(writer), outcome())
    if not left:
        writer.close()
    may_not_be_written(monkeypatch)
    before = (tmp_path / "a b.sqlite").read_bytes()
    reader = Store(str(tmp_path / "a b.sqlite"))
    assert len(reader.measurements()) == len(RECORDS)
    with pytest.raises(UserError, match=r"cannot write the store .*readonly"):
        begin(reader)
    reader.close()
    assert (tmp_path / "a b.sqlite").read_bytes() == before
    writer.close()


def test_an_older_store_that_may_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(str(tmp_path / "s.sqlite")).close()
    with sqlite3.connect(tmp_path / "s.sqlite") as old:
        old.execute("DELETE FROM migration WHERE number > 1")
    may_not_be_written(monkeypatch)
    with pytest.raises(UserError, match="older than this version of nlbench, and may not be written: copy it first"):
        Store(str(tmp_path / "s.sqlite"))


def test_what_is_counted_by_the_way_is_not_the_run_that_is_meant(opened: Store) -> None:
    def run(command: str) -> str:
        return opened.begin_run({**RUN, "command": command}, MACHINE, ())

    counted = run("python run_all.py check")
    assert opened.run_id() == counted, "where there is nothing else"
    asked = run("python run_all.py run check.toml")
    run("python run_all.py check --out out")
    run("python run_all.py baseline save costs.txt")
    assert opened.run_id() == asked
    with pytest.raises(UserError, match=rf"no run begins with 'zzz'; the newest are .*{asked[:8]} \('g', 20"):
        opened.run_id("zzz")


def test_a_store_whose_lock_is_held_for_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite refuses at once where write-ahead logging is switched on while another opens the same file."""

    class Connection:
        def __init__(self, message: str) -> None:
            self.message, self.calls = message, 0

        def execute(self, _: str) -> None:
            self.calls += 1
            if self.calls < 4:
                raise sqlite3.OperationalError(self.message)

    held = Connection("database is locked")
    databases._write_ahead(held)
    assert held.calls == 4
    with pytest.raises(sqlite3.OperationalError, match="malformed"):
        databases._write_ahead(Connection("malformed"))
    monkeypatch.setattr(databases, "LOCK_WAIT_S", 0.0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        databases._write_ahead(Connection("database is locked"))


def test_a_region_is_kept(opened: Store) -> None:
    part = Record(metric="harmed_share", value=0.25, dataset="set", image="a", region="texture")
    opened.write(begin(opened), dataclasses.replace(outcome(), records=(part,)))
    assert opened.measurements()["region"].tolist() == ["texture"]
