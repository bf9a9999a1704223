"""Runs copied to a store of their own: whole, without pictures, with all that they depend on and nothing else."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import run_all
from harness import plan
from harness.copies import copy_runs
from harness.errors import UserError
from harness.isolate import start_server
from harness.place import Place
from harness.recorded import trainings
from harness.records import Outcome, Status, Task
from harness.store import Store, Wanted
from reports.frames import load
from tests.conftest import WriteGrid
from tests.faults.runs import TINY, ends, go
from tests.harness.test_store import url  # noqa: F401 - a fixture
from tests.stores import BICUBIC, MACHINE, NLSN, RUN, Plan, add_run, make_store, make_task

PLAN = Plan(variants=(BICUBIC, NLSN), sizes=("24x24", "48x48"))
ANOTHER = Plan(variants=(BICUBIC, NLSN), sizes=("24x24",), scales=(3,))
VERDICT = {"claim_id": "c", "claim": "{}", "word": "supported", "found": "{}", "reason": ""}


@pytest.fixture
def source(url: str) -> Iterator[Store]:  # noqa: F811
    opened = Store(url)
    yield opened
    opened.close()


def ids(store: Store, table: str) -> set[str]:
    return set(store.frame(f"SELECT id FROM {table}")["id"])  # noqa: S608 - our own names


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(["attempt_id", "position"], ignore_index=True)


def test_a_run_is_copied_with_what_earlier_ones_did_for_it_and_nothing_else(source: Store, tmp_path: Path) -> None:
    earlier = add_run(source, PLAN)
    add_run(source, ANOTHER, MACHINE | {"cpu": "Another CPU"})
    asked = add_run(source, PLAN, answer=False)
    source.add_verdicts(asked, [VERDICT | {"attempts": "[]"}])
    file = tmp_path / "new" / "small.sqlite"
    copied = copy_runs(source, file, [asked])
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    content, small = file.read_bytes(), Store(str(file))
    found = small.measurements(asked)
    pd.testing.assert_frame_equal(in_order(found), in_order(source.measurements(asked)), check_dtype=False)
    assert (copied.runs, copied.others, copied.records) == (1, 1, len(small.measurements()))
    assert copied.attempts == len(ids(small, "attempt")) < len(ids(source, "attempt"))
    assert ids(small, "run") == {earlier, asked}
    assert len(ids(small, "machine")) == 1 < len(ids(source, "machine"))
    assert small.frame("SELECT * FROM artifact").empty
    assert small.frame("SELECT * FROM blob").empty
    assert len(source.frame("SELECT * FROM artifact")) > 0
    assert list(small.frame("SELECT run_id FROM verdict")["run_id"]) == [asked]
    told, was = (load(each, asked, pictures=False).tasks for each in (small, source))
    pd.testing.assert_frame_equal(told, was, check_dtype=False)
    small.close()
    assert file.read_bytes() == content, "a file in version control stays as it is when it is read"
    copy_runs(source, tmp_path / "again.sqlite", [asked])
    assert (tmp_path / "again.sqlite").read_bytes() == content, "the same content gives the same file"


def test_attempts_that_verdicts_rest_on_come_along_and_runs_that_are_named_do_whole(tmp_path: Path) -> None:
    source, first = make_store(tmp_path / "store.sqlite", PLAN)
    second = add_run(source, ANOTHER)
    (ground,) = source.frame(
        "SELECT id FROM attempt WHERE run_id = :run AND kind = 'evaluate' LIMIT 1", run=first
    )["id"]  # fmt: skip
    source.add_verdicts(second, [VERDICT | {"attempts": json.dumps([ground])}])
    for name, asked in (("second", [second]), ("both", [first, second])):
        copy_runs(source, tmp_path / name, asked)
    small, both = Store(str(tmp_path / "second")), Store(str(tmp_path / "both"))
    own = set(source.frame("SELECT id FROM attempt WHERE run_id = :run", run=second)["id"])
    assert ids(small, "attempt") == own | {ground}
    assert len(small.frame("SELECT * FROM wanted WHERE run_id = :run", run=first)) == 1
    for table in ("attempt", "run", "cell", "protocol", "machine"):
        assert ids(both, table) == ids(source, table)
    assert len(both.measurements()) == len(source.measurements())
    for each in (source, small, both):
        each.close()


def test_trainings_that_made_the_weights_come_along_though_the_run_did_not_ask_for_them(tmp_path: Path) -> None:
    source = Store(str(tmp_path / "store.sqlite"))
    own, twin, third = (make_task("train", {"seed": seed}) for seed in range(3))
    harm = make_task("harm", {"weights": own.key, "twin": {"weights": twin.key}})
    trained = {task.key: answered(source, task) for task in (own, twin, third)}
    asked = answered(source, harm)
    copy_runs(source, tmp_path / "small.sqlite", [asked])
    small = Store(str(tmp_path / "small.sqlite"))
    assert ids(small, "run") == {asked, trained[own.key], trained[twin.key]}
    assert set(trainings(small)) == {own.key, twin.key}
    for each in (source, small):
        each.close()


def answered(store: Store, task: Task) -> str:
    """A run that asked for `task` alone, and did it."""
    run_id = store.begin_run(RUN, MACHINE, [Wanted(cell=task.key, cell_spec={}, label="l", task=task)])
    store.write(run_id, Outcome(task=task, status=Status.DONE, seconds=1.0))
    return run_id


def test_what_stands_there_is_left_alone_and_nothing_is_left_of_what_finds_no_room(tmp_path: Path) -> None:
    source, run_id = make_store(tmp_path / "store.sqlite")
    before = sorted(each.name for each in tmp_path.iterdir())
    with pytest.raises(UserError, match=r"store\.sqlite exists: name a file that does not"):
        copy_runs(source, tmp_path / "store.sqlite", [run_id])
    with pytest.raises(UserError, match=r"cannot write .*small\.sqlite: "):
        copy_runs(source, tmp_path / "store.sqlite" / "small.sqlite", [run_id])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**17, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write the store .*small\.sqlite: .*run the same command again"):
            copy_runs(source, tmp_path / "small.sqlite", [run_id])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(each.name for each in tmp_path.iterdir()) == before
    copy_runs(source, tmp_path / "small.sqlite", [run_id])
    source.close()


def test_from_an_exported_run_alone_its_page_is_written_and_its_score_replayed(
    write_grid: WriteGrid, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_server()
    assert ends(go(write_grid(TINY, top='tasks = ["train"]'), place)) == [("train", "done")]
    go(write_grid(TINY, top='tasks = ["train", "profile"]', sizes='["8x8"]'), place)
    assert ends(go(write_grid(TINY, top='tasks = ["train", "evaluate"]'), place)) == [("evaluate", "done")]
    file = tmp_path / "elsewhere" / "small.sqlite"

    def call(*words: str) -> str:
        done = CliRunner().invoke(run_all.app, [*words, "--store", str(file if words[0] != "export" else place.store)])
        assert done.exit_code == 0, done.output
        return " ".join(done.output.split())

    newest = Store(place.store).run_id()
    told = call("export", str(file), "--run", newest[:12])
    assert "1 run, 2 attempts" in told
    assert "made by other runs: 1" in told
    shutil.rmtree(place.out)
    monkeypatch.chdir(file.parent)
    plan.image_set.cache_clear()
    small = Store(str(file))
    kinds = small.frame("SELECT id, kind FROM attempt").set_index("kind")["id"]
    small.close()
    assert set(kinds.index) == {"train", "evaluate"}, "nobody asked for the profile"
    call("report", "--page", "page.html")
    assert "psnr" in Path("page.html").read_text(encoding="utf-8").lower()
    assert "equal" in call("replay", kinds["evaluate"])
    plan.image_set.cache_clear()
