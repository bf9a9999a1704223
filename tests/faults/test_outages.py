"""A store that is away, held by others, or shared with others: waited for, and written once."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness import databases, outages
from harness import store as store_module
from harness.errors import UserError
from harness.place import Place
from harness.records import Outcome, Status, Task
from harness.store import Store
from tests.conftest import WriteGrid
from tests.faults.postgres import Line, Server, server
from tests.faults.runs import SMALL, TINY, Hand, attempts, ends, frame, go, values
from tests.stores import MACHINE, RUN

ROOT = Path(__file__).resolve().parents[2]
TASKS = 'tasks = ["train", "evaluate"]'
BOTH = [("train", "done"), ("evaluate", "done")]
LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with server() as made:
        yield made


class Lock:
    """Another process that holds the store from the end of the first training on, until it is told to let go."""

    def __init__(self, place: Place, after_s: float | None) -> None:
        self.place, self.after_s = place, after_s
        self.holder: subprocess.Popen[str] | None = None

    def at_start(self, task: Task) -> None:
        if task.kind == "train":
            words = [sys.executable, "-c", LOCK, self.place.store]
            self.holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert self.holder.stdout is not None
            assert self.holder.stdout.readline() == "held\n"
            if self.after_s is not None:
                threading.Timer(self.after_s, self.let_go).start()

    def let_go(self) -> None:
        assert self.holder is not None
        self.holder.communicate("\n")


@pytest.mark.fault(
    area="Store",
    what="Another process holds the lock of an SQLite store for a while",
    how="a second process begins a transaction when a training starts, and ends it two seconds later",
    kept="everything: the run waits, for up to 30 s",
)
def test_a_store_that_is_locked_for_a_while_is_waited_for(write_grid: WriteGrid, place: Place) -> None:
    path = write_grid(TINY, top=TASKS)
    assert ends(go(path, place, Hand(at_start=Lock(place, 2.0).at_start))) == BOTH
    assert list(attempts(place)["status"]) == ["done", "done"]


@pytest.mark.fault(
    area="Store",
    what="Another process never lets go of an SQLite store",
    how="the same, but it goes on holding; the wait is cut to half a second",
    kept="the run ends with a message that says so; the finished training is kept beside the store, and the next run "
    "reads it back",
)
def test_a_store_that_stays_locked_ends_the_run_with_a_message_and_nothing_is_lost(
    write_grid: WriteGrid, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_grid(TINY, top=TASKS, steps=7)
    lock = Lock(place, None)
    with monkeypatch.context() as changed:
        changed.setattr(databases, "LOCK_WAIT_S", 0.5)
        with pytest.raises(
            UserError, match=r"cannot write the store .*store.sqlite: database is locked: another process"
        ):
            go(path, place, Hand(at_start=lock.at_start))
    lock.let_go()
    _is_read_back(path, place, steps=7)


def _is_read_back(path: Path, place: Place, steps: int) -> None:
    """The training that could not be written down is finished on disk, and the next run writes it down, once."""
    assert attempts(place).empty
    (checkpoint,) = (place.cache.folder / "checkpoints").iterdir()
    assert torch.load(checkpoint, weights_only=True)["step"] == steps
    assert ends(go(path, place)) == BOTH
    assert list(attempts(place)["status"]) == ["done", "done"]


@pytest.mark.fault(
    area="Store",
    what="PostgreSQL is restarted in the middle of a run",
    how="the server is stopped at once when a training ends, and started again a second after the run misses it",
    kept="everything, once: the run says that the store is away and tries again for 60 s",
)
def test_a_restart_of_postgresql_is_waited_for(
    write_grid: WriteGrid, place: Place, running: Server, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_grid(TINY, "edsr", top=TASKS, tables=SMALL.partition("\n")[2])
    shared = dataclasses.replace(place, store=running.url())

    def restart(outcome: Outcome) -> None:
        if outcome.task.kind == "train" and not restarts:
            running.stop()
            restarts.append(threading.Timer(1.0, running.start))
            restarts[0].start()

    restarts: list[threading.Timer] = []
    with caplog.at_level(logging.WARNING):
        outcomes = go(path, shared, Hand(at_end=restart))
    restarts[0].join()
    assert ends(outcomes) == [*BOTH, *BOTH]
    assert [record.message for record in caplog.records if "is away" in record.message]
    written = attempts(shared)["task_key"]
    assert [list(written).count(outcome.task.key) for outcome in outcomes] == [1, 1, 1, 1]
    assert go(path, shared) == []


@pytest.mark.fault(
    area="Store",
    what="PostgreSQL goes away and stays away",
    how="the server is stopped when a training starts; the wait is cut to half a second",
    kept="the run ends with a message; the finished training is kept, and the next run reads it back",
)
def test_a_database_that_stays_away_ends_the_run_with_a_message_and_nothing_is_lost(
    write_grid: WriteGrid, place: Place, running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_grid("tests.plugins:SLOW", top=TASKS, steps=6)
    shared = dataclasses.replace(place, store=running.url())
    before = len(frame(shared, "SELECT id FROM attempt"))
    with monkeypatch.context() as changed:
        changed.setattr(outages, "WAIT_S", 0.5)
        with pytest.raises(UserError, match=r"cannot write the store .*: it did not come back for 0.5 s") as told:
            go(path, shared, Hand(at_start=lambda task: running.stop() if task.kind == "train" else None))
    assert "\n" not in str(told.value)
    running.start()
    assert len(frame(shared, "SELECT id FROM attempt")) == before
    assert len(list((place.cache.folder / "checkpoints").iterdir())) == 1
    assert ends(go(path, shared)) == BOTH
    assert len(frame(shared, "SELECT id FROM attempt")) == before + 2


@pytest.mark.fault(
    area="Store",
    what="The connection is lost between a commit and its answer",
    how="a line to PostgreSQL that passes the commit on and is then cut",
    kept="the outcome, once: before it is written again, the store is asked whether it is there",
)
def test_a_commit_whose_answer_was_lost_is_not_written_twice(running: Server, tmp_path: Path) -> None:
    task = Task(kind="evaluate", key="once", spec={})
    with Line(running, tmp_path) as line:
        store = Store(running.url(tmp_path))
        line.cut = True
        run_id = store.begin_run(RUN, MACHINE, [])
        assert not line.cut, "the answer was lost"
        for seconds in (1.0, 2.0):
            line.cut = seconds == 2.0
            store.write(run_id, Outcome(task=task, status=Status.DONE, seconds=seconds))
        assert not line.cut
        assert list(store.frame("SELECT seconds FROM attempt WHERE task_key = 'once'")["seconds"]) == [1.0, 2.0]
        assert len(store.frame("SELECT id FROM run WHERE id = :id", id=run_id)) == 1
        store.close()


@pytest.mark.fault(
    area="Store",
    what="Two drivers run the same grid on one store and one cache",
    how="two processes that begin at the same time",
    kept="both end well; every outcome is whole, and what both have done gives the same numbers",
)
def test_two_drivers_on_one_store_and_cache_do_not_disturb_each_other(write_grid: WriteGrid, place: Place) -> None:
    path = write_grid("tests.plugins:SLOW", "edsr", top=TASKS, tables=SMALL.partition("\n")[2], steps=60)
    words = [sys.executable, "-m", "tests.faults.driver", str(path), str(place.out)]
    other = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    assert other.stdin is not None
    other.stdin.write("go\n")
    other.stdin.flush()
    assert {status for _, status in ends(go(path, place))} == {"done"}
    output, _ = other.communicate(timeout=300)
    assert (other.returncode, set(output.split())) == (0, {"done"})
    rows = attempts(place)
    assert len(rows) == 8
    assert set(rows["status"]) == {"done"}
    assert set(rows["task_key"]) == set(frame(place, "SELECT task_key FROM wanted")["task_key"])
    for metric in ("train_loss", "psnr_y"):
        found = values(place, metric)
        assert len(found) == 2 * len(set(found)), metric


@pytest.mark.fault(
    area="Store",
    what="The clock is set back in the middle of a run",
    how="the driver's wall clock goes back by a day when a training ends, and by another before the next run",
    kept="durations, which a monotonic clock takes; and the order: attempts and runs that came later are later in the "
    "store as well, by a microsecond where the clock says otherwise",
)
def test_a_clock_that_is_set_back_changes_no_order(
    write_grid: WriteGrid, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def set_back(days: int) -> None:
        behind = dt.timedelta(days=days)
        monkeypatch.setattr(
            store_module, "_now", lambda: (dt.datetime.now(dt.UTC) - behind).isoformat("T", "microseconds")
        )

    began = time.monotonic()
    go(write_grid(TINY, top=TASKS), place, Hand(at_end=lambda _: set_back(1)))
    rows = attempts(place)
    assert list(rows["kind"]) == ["train", "evaluate"]
    assert all(0 <= seconds < time.monotonic() - began for seconds in rows["seconds"])
    set_back(2)
    prepared = frame(place, "SELECT id FROM run")["id"]
    go(write_grid(TINY, top=TASKS, evaluate="hash_seeds = [0, 1]"), place)
    assert list(attempts(place)["kind"]) == ["train", "evaluate", "evaluate"]
    store = Store(place.store)
    assert store.run_id() not in set(prepared), "the newest run is the last"
    store.close()
    times = frame(place, "SELECT started_at AS t FROM run UNION ALL SELECT ended_at FROM attempt")["t"]
    assert times.nunique() == len(times) == 5


def test_a_clock_that_goes_on_is_taken_as_it_is(write_grid: WriteGrid, place: Place) -> None:
    before = dt.datetime.now(dt.UTC).isoformat("T", "microseconds")
    go(write_grid("bicubic", top=TASKS), place)
    after = dt.datetime.now(dt.UTC).isoformat("T", "microseconds")
    assert all(before < time < after for time in attempts(place)["ended_at"])
    assert values(place, "psnr_y")
