"""Stores whose file is damaged: told in one message, whatever can be read is copied, and the next run does the rest."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import UserError
from harness.place import Place
from harness.recover import recover
from harness.store import Store
from tests.conftest import WriteGrid
from tests.faults.runs import TINY, attempts, ends, go, values
from tests.stores import Plan, asked, make_store, outcome_of

PAGE = 4096
TABLES = ("machine", "run", "cell", "wanted", "protocol", "attempt", "record", "blob", "artifact")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store in one file."""
    file = tmp_path_factory.mktemp("whole") / "store.sqlite"
    store, _ = make_store(file)
    store.close()
    return file


def rows(file: Path, table: str) -> pd.DataFrame:
    with sqlite3.connect(file) as connection:
        found = pd.read_sql(f"SELECT * FROM {table}", connection)  # noqa: S608 - our own names
    connection.close()
    return found.astype(str)


def whole_attempts(file: Path) -> dict[str, int]:
    """Of every attempt that was done, how many records it has."""
    done = set(rows(file, "attempt").query("status == 'done'")["id"])
    counts = rows(file, "record")["attempt_id"].value_counts()
    return {attempt: int(counts.get(attempt, 0)) for attempt in done}


@pytest.mark.fault(
    area="Files that are damaged",
    what="The last pages of an SQLite store are lost",
    how="the file of a finished run is cut short by one page to six",
    kept="a message says how to copy what can be read (`recover`); the next run on the copy does what is missing and "
    "nothing else",
)
def test_a_store_cut_short_is_told_recovered_and_made_up_for(
    write_grid: WriteGrid, place: Place, tmp_path: Path
) -> None:
    path = write_grid(TINY, top='tasks = ["train", "evaluate"]', evaluate="hash_seeds = [0, 1, 2, 3, 4, 5, 6, 7]")
    go(path, place)
    scores, count, content = values(place, "psnr_y"), len(attempts(place)), Path(place.store).read_bytes()
    kept = []
    for pages in range(1, 7):
        cut = dataclasses.replace(place, store=str(tmp_path / f"{pages}.sqlite"))
        again = dataclasses.replace(place, store=str(tmp_path / f"{pages}-again.sqlite"))
        Path(cut.store).write_bytes(content[: -pages * PAGE])
        with pytest.raises(UserError, match=r"sqlite: database disk image is malformed: `run_all.py recover /.* NEW`"):
            go(path, cut)
        kept.append(recover(Path(cut.store), Path(again.store)).copied["attempt"])
        if 0 < kept[-1] < count:
            assert set(ends(found := go(path, again))) <= {("train", "done"), ("evaluate", "done")}
            assert len(found) == count - kept[-1]
            assert values(again, "psnr_y") == scores
            assert go(path, again) == []
    assert kept == sorted(kept, reverse=True)
    assert any(0 < number < count for number in kept), "there was a store of which a part was lost, and a part was not"


@pytest.mark.fault(
    area="Files that are damaged",
    what="A page inside an SQLite store is overwritten",
    how="zeros in one page after another of a finished store, each in a copy",
    kept="every row that can be read and all that it refers to; no attempt passes for done with a part of its records",
)
def test_of_a_store_with_a_page_of_zeros_only_whole_outcomes_are_kept(whole: Path, tmp_path: Path) -> None:
    content, expected = whole.read_bytes(), whole_attempts(whole)
    before = {table: rows(whole, table) for table in TABLES}
    lost = []
    for number, page in enumerate(range(1, len(content) // PAGE, 9)):
        damaged, new = tmp_path / f"{number}.sqlite", tmp_path / f"{number}-new.sqlite"
        damaged.write_bytes(content[: page * PAGE] + bytes(PAGE) + content[(page + 1) * PAGE :])
        found = recover(damaged, new)
        after = whole_attempts(new)
        assert after.items() <= expected.items(), "an attempt has all of its records, or is not there"
        for table, all_rows in before.items():
            assert len(rows(new, table)) == found.copied[table]
            assert len(rows(new, table).merge(all_rows)) == found.copied[table], "nothing is invented"
        lost.append(len(expected) - len(after))
        assert found.incomplete <= len(expected) - len(after)
    assert min(lost) == 0, "where only an index was hit, nothing is lost"
    few = [number for number in lost if number < len(expected) / 2]
    assert len(few) > 0.8 * len(lost), "all are lost only with what all refer to: their run"
    assert max(few) > 0


@pytest.mark.fault(
    area="Files that are damaged",
    what="The log beside an SQLite store is cut short, as a power cut leaves it",
    how="store and log are copied while a driver has them open, and the log is cut at several places",
    kept="every outcome before the cut, whole; the others are done again",
)
def test_a_log_cut_short_loses_whole_outcomes_at_the_end_and_no_others(tmp_path: Path) -> None:
    store, run_id = make_store(tmp_path / "store.sqlite", Plan(unfinished=10**6))
    written = [store.write(run_id, outcome_of(ask, Plan())) for ask in list(asked(Plan()))[:6]]
    found = []
    for share in (0.2, 0.5, 0.7, 0.9, 1.0):
        copy = tmp_path / f"{share}.sqlite"
        shutil.copyfile(store.url.removeprefix("sqlite:///"), copy)
        log = Path(f"{store.url.removeprefix('sqlite:///')}-wal").read_bytes()
        Path(f"{copy}-wal").write_bytes(log[: int(share * len(log))])
        opened = Store(str(copy))
        kept = list(opened.frame("SELECT id FROM attempt ORDER BY ended_at")["id"])
        assert kept == written[: len(kept)]
        assert opened.frame("PRAGMA integrity_check").iloc[0, 0] == "ok"
        opened.close()
        found.append(len(kept))
    store.close()
    assert found == sorted(found)
    assert found[-1] == len(written) > found[0]


@pytest.mark.parametrize(
    ("table", "read"), [("record", Store.measurements), ("attempt", lambda store: store.settled(["key"], {}))]
)
def test_a_page_that_is_lost_is_told_when_it_is_read(
    whole: Path, tmp_path: Path, table: str, read: Callable[[Store], object]
) -> None:
    with sqlite3.connect(whole) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        root = connection.execute(query, [table]).fetchone()[0]
    connection.close()
    content = bytearray(whole.read_bytes())
    content[(root - 1) * PAGE : root * PAGE] = bytes(PAGE)
    (tmp_path / "store.sqlite").write_bytes(content)
    store = Store(str(tmp_path / "store.sqlite"))
    with pytest.raises(UserError, match=r"cannot read the store .*malformed: `run_all.py recover"):
        read(store)
    store.close()


def test_nothing_is_written_over_and_nothing_is_made_of_nothing(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        recover(tmp_path / "none.sqlite", tmp_path / "new.sqlite")
    with pytest.raises(UserError, match="exists"):
        recover(whole, whole)
    (tmp_path / "text").write_text("no database at all" * 1000, encoding="utf-8")
    with pytest.raises(UserError, match="nothing of a store can be read"):
        recover(tmp_path / "text", tmp_path / "new.sqlite")
    assert [file.name for file in tmp_path.iterdir()] == ["text"]


def test_a_sound_store_is_copied_whole(whole: Path, tmp_path: Path) -> None:
    before = whole.read_bytes()
    found = recover(whole, tmp_path / "new.sqlite")
    assert found.incomplete == 0
    for table in TABLES:
        pd.testing.assert_frame_equal(
            *(
                rows(f, table).sort_values(by=list(rows(whole, table))[:2], ignore_index=True)
                for f in (whole, tmp_path / "new.sqlite")
            )
        )
    assert whole.read_bytes() == before
