from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.records import Outcome, Status
from harness.store import Store
from reports.frames import NOT_RUN, Frames, load, positions
from tests.stores import EDSR, Ask, Plan, add_run, asked, make_store, outcome_of

Make = Callable[..., Frames]


@pytest.fixture
def plan() -> Plan:
    return Plan(variants=(EDSR,), sizes=("24x24",))


def failed(ask: Ask, reason: str = "out of luck") -> Outcome:
    return Outcome(task=ask.task, status=Status.ERROR, seconds=0.1, reason=reason)


def test_every_wanted_task_is_one_row_and_done(frames: Make) -> None:
    tasks = frames().tasks
    assert len(tasks) == len(list(asked(Plan())))
    assert set(tasks["status"]) == {"done"}
    assert tasks["position"].is_monotonic_increasing


def test_a_done_attempt_wins_over_a_later_failed_one(tmp_path: Path, plan: Plan) -> None:
    store, run_id = make_store(tmp_path / "s.db", plan)
    store.write(run_id, failed(next(iter(asked(plan)))))
    assert set(load(store, run_id).tasks["status"]) == {"done"}


def test_a_done_attempt_wins_over_an_older_failed_one_and_the_latest_done_one_counts(
    tmp_path: Path, plan: Plan
) -> None:
    store = Store(str(tmp_path / "s.db"))
    run_id = add_run(store, plan, answer=False)
    for ask in asked(plan):
        store.write(run_id, failed(ask))
        store.write(run_id, outcome_of(ask, plan))
        last = store.write(run_id, outcome_of(ask, plan))
    tasks = load(store, run_id).tasks
    assert set(tasks["status"]) == {"done"}
    assert tasks["attempt_id"].iloc[-1] == last


def test_of_failed_attempts_the_latest_counts(tmp_path: Path, plan: Plan) -> None:
    store = Store(str(tmp_path / "s.db"))
    run_id = add_run(store, plan, answer=False)
    ask = next(iter(asked(plan)))
    store.write(run_id, failed(ask, "first"))
    store.write(run_id, failed(ask, "second"))
    tasks = load(store, run_id).tasks
    assert tasks["reason"].iloc[0] == "second"
    assert list(tasks["status"]) == ["error", NOT_RUN, NOT_RUN]


def test_tasks_of_an_earlier_run_answer_those_of_a_later_one(tmp_path: Path, plan: Plan) -> None:
    store, first = make_store(tmp_path / "s.db", plan)
    second = add_run(store, plan, machine={"cpu": "another"}, answer=False)
    tasks = load(store).tasks
    assert load(store).run["id"] == second
    assert set(tasks["source_run"]) == {first}
    assert set(tasks["status"]) == {"done"}


def test_a_run_that_asked_for_nothing_has_empty_frames(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "s.db"))
    add_run(store, Plan(variants=()))
    frames = load(store)
    assert frames.tasks.empty
    assert frames.records.empty
    assert frames.labels == ()


def test_a_store_without_runs_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run yet"):
        load(Store(str(tmp_path / "s.db")))


def test_an_unknown_run_names_the_known_ones(tmp_path: Path, plan: Plan) -> None:
    store, run_id = make_store(tmp_path / "s.db", plan)
    with pytest.raises(UserError, match=f"no run begins with 'x'.*{run_id[:8]}"):
        load(store, "x")


def test_positions_are_height_times_width() -> None:
    assert positions("96x128") == 96 * 128
    assert positions("hostile") == 0


def test_figures_alone_come_without_pictures(tmp_path: Path) -> None:
    store, run_id = make_store(tmp_path / "s.db", Plan())
    whole, plain = load(store, run_id), load(store, run_id, pictures=False)
    assert len(whole.artifacts) > 0
    assert plain.artifacts.empty
    assert list(plain.artifacts.columns) == list(whole.artifacts.columns)
    assert plain.records.equals(whole.records)
