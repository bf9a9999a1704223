"""Sides of a comparison are found by what they are told to be, and judged together."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from harness.grid_tables import Threshold
from harness.store import Store
from reports.baseline import Key, written
from reports.frames import load
from reports.sides import Finder, Side, compared
from tests.reports.counted import counted_run
from tests.reports.races import frames_of
from tests.stores import RUN, Plan, add_run

COMMIT = str(RUN["commit_id"])
KEY = Key("a {}", "attention inference fp32 batch 1", "24x24")
COUNTED = {KEY: {"macs": 7.0}}


def finder(store: Store | None, *, commits: tuple[str, ...] = ()) -> Finder:
    def commit(revision: str) -> str | None:
        return next((each for each in commits if each.startswith(revision)), None)

    return Finder(store=store, commit=commit, count=lambda _: COUNTED)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "own.sqlite"))


def test_a_baseline_file_has_exact_figures_alone(tmp_path: Path) -> None:
    file = tmp_path / "costs.txt"
    file.write_text(written(COUNTED, "torch"))
    assert finder(None).side(str(file)) == Side(told=str(file), exact=COUNTED)


def test_a_run_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    run = counted_run(store, {"a": float})
    side = finder(store).side(run[:8])
    assert side.exact[KEY] == {"macs": 576.0}
    assert [frames.run["id"] for frames in side.runs] == [run]


def test_a_store_is_the_newest_run_of_every_grid(tmp_path: Path, store: Store) -> None:
    counted_run(store, {"a": lambda n: 2.0 * n}, grid="one")
    second = counted_run(store, {"b": float}, grid="two")
    first = counted_run(store, {"a": float}, grid="one")
    store.close()
    side = finder(None).side(str(tmp_path / "own.sqlite"))
    assert [frames.run["id"] for frames in side.runs] == [second, first]
    assert side.exact[KEY] == {"macs": 576.0}


def test_a_commit_is_what_it_ran_unchanged_and_is_counted_if_it_never_was(store: Store) -> None:
    scored = add_run(store, Plan())
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET dirty = 0")
    dirty = add_run(store, Plan())
    side = finder(store, commits=(COMMIT,)).side(COMMIT[:6])
    assert [frames.run["id"] for frames in side.runs] == [scored] != [dirty]
    assert side.exact == COUNTED
    assert finder(None, commits=(COMMIT,)).side(COMMIT).exact == COUNTED


def test_mistakes_are_told(tmp_path: Path, store: Store) -> None:
    run = counted_run(store, {"a": float})
    for told, commits, message in (
        ("nothing", (), f"Latest runs: {run[:8]}"),
        (run[:6], (run,), "begins both a run and a commit"),
        (str(tmp_path / "absent.sqlite"), (), "no store at"),
        (str(tmp_path / "absent.txt"), (), "cannot read"),
    ):
        with pytest.raises(UserError, match=message):
            finder(store, commits=commits).side(told)
    with pytest.raises(UserError, match="Latest runs: none"):
        finder(None).side("nothing")


def test_thresholds_of_the_second_side_hold_unless_others_are_asked_for(store: Store) -> None:
    before, after = (load(store, counted_run(store, {"a": law})) for law in (float, lambda n: 1.01 * n))
    for frames in (before, after):
        assert frames.run["grid_name"] == "exact"
    sides = [
        Side(told=name, exact={KEY: {"macs": macs}}, runs=[frames])
        for name, macs, frames in (("before", 100.0, before), ("after", 101.0, after))
    ]
    assert [each.word for each in compared(*sides).changes] == ["worse"]
    after.run["grid"] = '[[thresholds]]\nmetric = "macs"\nallow = 0.02\n'  # type: ignore[index]
    assert [each.word for each in compared(*sides).changes] == ["allowed"]
    assert [each.word for each in compared(*sides, [Threshold(metric="macs", allow=0.0)]).changes] == ["worse"]


def test_equal_figures_are_counted_and_what_is_not_compared_is_told(tmp_path: Path) -> None:
    more = {**COUNTED, KEY._replace(size="48x48"): {"macs": 1.0, "parameters": 2.0}}
    plain = Side(told="costs.txt", exact=more)
    found = compared(plain, Side(told="b", exact={**more, KEY: {"macs": 8.0, "new": 1.0}}))
    assert (found.equal, [each.word for each in found.changes], found.remarks) == (2, ["worse", "new"], ())
    raced = Side(told="run", exact=more, runs=[frames_of(tmp_path)])
    for sides in ((plain, raced), (raced, plain)):
        assert compared(*sides).remarks == ("costs.txt holds exact costs alone: scores and times are not compared.",)
