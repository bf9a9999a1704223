from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

import methods
from harness.place import Place
from harness.plan import PlannedCell
from harness.records import Outcome, Status, Task
from harness.run import Run, prepare
from harness.store import Store
from tests.conftest import WriteGrid

ROOT = Path(__file__).resolve().parents[2]
SMALL = "[trunk]\nn_feats = 8\nn_resblocks = 1\n"
TINY = "tests.plugins:TINY"


class Silent:
    """A listener that keeps what it hears; `at` is called at every step of progress."""

    def __init__(self, at: Callable[[int, int], None] = lambda *_: None) -> None:
        self.heard: list[str] = []
        self.at = at

    def begin(self, run: Run) -> None:  # noqa: ARG002
        self.heard.append("begin")

    def started(self, cell: PlannedCell, task: Task) -> None:  # noqa: ARG002
        self.heard.append(f"start {task.kind}")

    def progress(self, cell: PlannedCell, task: Task, done: int, total: int) -> None:  # noqa: ARG002
        self.at(done, total)

    def ended(self, cell: PlannedCell, outcome: Outcome) -> None:  # noqa: ARG002
        self.heard.append(f"end {outcome.task.kind} {outcome.status}")


def go(path: Path, place: Place, *, retry: bool = False, listener: Silent | None = None) -> list[Outcome]:
    prepared = prepare(path, place, retry=retry)
    try:
        return prepared.proceed(prepared.begin(), listener or Silent())
    finally:
        prepared.store.close()


def attempts(store: Store) -> pd.DataFrame:
    return store.frame("SELECT * FROM attempt ORDER BY ended_at")


def statuses(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(outcome.task.kind, outcome.status.value) for outcome in outcomes]


def test_a_grid_becomes_records_of_every_kind(write_grid: WriteGrid, place: Place, store: Store) -> None:
    outcomes = go(write_grid("bicubic", "nlsn", tables="settings = { chunk_size = 8 }\n" + SMALL), place)
    assert statuses(outcomes) == [
        *[("evaluate", "done"), ("profile", "done"), ("profile", "done")],
        *[("train", "done"), ("evaluate", "done"), ("attention", "done"), ("attention", "done")],
        *[("profile", "done"), ("profile", "done")],
    ]
    frame = store.measurements()
    assert set(frame["metric"]) >= {"psnr_y", "ssim_y", "train_loss", "macs", "peak_bytes", "forward_s", "attention_s"}
    assert set(frame[frame["metric"] == "psnr_y"]["image"]) == {"chelsea", "coffee"}
    assert set(frame[frame["metric"] == "macs"]["size"]) == {"8x8", "12x16"}
    assert len(store.frame("SELECT * FROM artifact")) == 2 * 4 + 1


def test_the_same_grid_again_does_nothing(write_grid: WriteGrid, place: Place, store: Store) -> None:
    path = write_grid(TINY, "edsr", tables=SMALL)
    assert len(go(path, place)) == 8
    assert go(path, place) == []
    assert len(attempts(store)) == 8
    assert len(store.frame("SELECT * FROM run")) == 2


def test_a_wider_grid_does_only_what_is_new(write_grid: WriteGrid, place: Place) -> None:
    go(write_grid(TINY), place)
    wider = write_grid(TINY, evaluate='tiling = ["whole", "chop"]', sizes='["8x8", "12x16", "16x16"]')
    assert statuses(go(wider, place)) == [("evaluate", "done"), ("profile", "done")]


def test_weights_shared_by_two_cells_are_trained_once(write_grid: WriteGrid, place: Place, store: Store) -> None:
    path = write_grid("nln", tables='settings = { backend = ["plain", "fused"] }\n' + SMALL)
    outcomes = go(path, place)
    assert [kind for kind, _ in statuses(outcomes)].count("train") == 1
    frame = store.measurements(store.run_id())
    scores = frame[frame["metric"] == "psnr_y"].pivot_table(index="image", columns="label", values="value")
    assert scores["NLN plain"].to_numpy() == pytest.approx(scores["NLN fused"].to_numpy(), abs=1e-2)


@pytest.mark.fault(
    area="Files that are damaged",
    what="Trained weights are deleted",
    how="all of them, between two runs",
    kept="what is in the store stays; who still needs them has them trained again",
)
def test_weights_that_are_gone_are_trained_again_for_those_who_need_them(write_grid: WriteGrid, place: Place) -> None:
    go(write_grid(TINY), place)
    for file in (place.out / "cache" / "weights").iterdir():
        file.unlink()
    assert go(write_grid(TINY), place) == []
    wider = write_grid(TINY, evaluate='tiling = ["whole", "chop"]')
    assert statuses(go(wider, place)) == [("train", "done"), ("evaluate", "done")]


def test_weights_from_a_file_are_scored_without_training(write_grid: WriteGrid, place: Place, store: Store) -> None:
    go(write_grid(TINY), place)
    (weights,) = (place.out / "cache" / "weights").iterdir()
    outcomes = go(write_grid(TINY, tables=f'weights = "{weights}"'), place)
    assert statuses(outcomes) == [("evaluate", "done")]
    scores = store.measurements()
    psnr = scores[scores["metric"] == "psnr_y"].sort_values(["task_key", "image"])
    first, second = (group["value"].to_numpy() for _, group in psnr.groupby("task_key"))
    assert first == pytest.approx(second, abs=0)


@pytest.mark.fault(
    area="Methods that misbehave",
    what="A method raises an exception",
    how="in every forward",
    kept="rows `error` with its first line; what needs its weights is skipped; other cells go on",
)
@pytest.mark.fault(
    area="Methods that misbehave",
    what="A method returns NaN",
    how="in every forward",
    kept="a row `diverged` with the step, and the last good weights; other cells go on",
)
@pytest.mark.fault(
    area="Methods that misbehave",
    what="A method returns another shape",
    how="one column is missing, in inference only",
    kept="a row `error` with both shapes; its other tasks go on",
)
@pytest.mark.fault(
    area="Methods that misbehave",
    what="A method prints megabytes",
    how="100 kB in every forward, in training and timing",
    kept="everything; what it prints goes to the cell's log",
)
@pytest.mark.fault(
    area="Memory",
    what="A GPU has no more memory",
    how="PyTorch's own exception for it, raised by a forward on large inputs",
    kept="a row `out_of_memory`; larger sizes are not tried, smaller ones are measured",
)
@pytest.mark.fault(
    area="Processes",
    what="A method kills its process (SIGKILL)",
    how="in a forward on large inputs",
    kept="a row with the signal's name; its remaining tasks go on in a new process",
)
@pytest.mark.parametrize(
    ("method", "ends", "reason"),
    [
        ("RAISES", ["error", "skipped", "error", "error"], "RuntimeError: as it was told to"),
        ("NOT_A_NUMBER", ["diverged", "skipped", "done", "done"], "the loss is not finite, first seen at step 1"),
        ("WRONG_SHAPE", ["done", "error", "error", "error"], "the network returned (1, 3, "),
        ("ONE_CHANNEL", ["error", "skipped", "error", "error"], "the network returned ("),
        ("A_TUPLE", ["error", "skipped", "error", "error"], "the network returned tuple, expected ("),
        ("OUT_OF_MEMORY", ["done", "out_of_memory", "done", "out_of_memory", "skipped"], "out of memory"),
        ("DIES", ["done", "error", "done", "error", "error"], "the process was ended by SIGKILL; see "),
        ("CHATTERS", ["done", "done", "done", "done"], None),
    ],
)
def test_a_failing_method_is_rows_with_reasons_and_the_rest_goes_on(
    write_grid: WriteGrid, place: Place, store: Store, method: str, ends: list[str], reason: str | None
) -> None:
    sizes = '["8x8", "24x24", "32x32"]' if len(ends) == 5 else '["8x8", "12x16"]'
    outcomes = go(write_grid(f"tests.plugins:{method}", TINY, sizes=sizes), place)
    own, others = outcomes[: len(ends)], outcomes[len(ends) :]
    assert [outcome.status.value for outcome in own] == ends
    assert all(outcome.status is Status.DONE for outcome in others)
    assert len(others) == len(ends)
    failed = [outcome for outcome in own if outcome.status not in {Status.DONE, Status.SKIPPED}]
    assert all(outcome.reason and reason in outcome.reason for outcome in failed if reason)
    assert bool(failed) == (reason is not None)
    rows = attempts(store)
    assert list(rows["status"][: len(ends)]) == ends
    assert rows[rows["status"] != "done"]["reason"].notna().all()


@pytest.mark.fault(
    area="Methods that misbehave",
    what="A fast implementation computes something else",
    how="fused attention that gives one hundredth more",
    kept="a row `error` that says where it differs; it is neither trained, nor scored, nor timed",
)
def test_fused_attention_that_gives_something_else_never_runs(write_grid: WriteGrid, place: Place) -> None:
    outcomes = go(write_grid("tests.plugins:DISAGREES", sizes='["8x8", "12x16"]'), place)
    ends = {
        kind: {o.status.value for o in outcomes if o.task.kind == kind} for kind in ("train", "evaluate", "profile")
    }
    assert ends == {"train": {"error"}, "evaluate": {"skipped"}, "profile": {"error"}}
    failed = [outcome for outcome in outcomes if outcome.status is Status.ERROR]
    assert all("fused attention differs from the same written out by" in str(outcome.reason) for outcome in failed)


def test_sizes_above_one_that_ran_out_of_memory_are_implied_not_launched(write_grid: WriteGrid, place: Place) -> None:
    outcomes = go(write_grid("tests.plugins:OUT_OF_MEMORY", sizes='["8x8", "24x24", "32x32"]'), place)
    assert outcomes[-1].reason == "implied: out of memory at 24x24"


@pytest.mark.fault(
    area="Methods that misbehave",
    what="A method hangs",
    how="it sleeps in a forward; the limit of a task is 12 s",
    kept="a row `timeout`; its remaining tasks go on in a new process",
)
def test_a_task_past_its_time_is_a_row_and_the_rest_goes_on(write_grid: WriteGrid, place: Place, store: Store) -> None:
    path = write_grid("tests.plugins:HANGS", TINY, tables="[limits]\ntask_s = 12")
    ends = [outcome.status.value for outcome in go(path, place)]
    assert ends == ["done", "timeout", "done", "done", "done", "done", "done", "done"]
    assert "not done after 12 s" in set(attempts(store)["reason"])


def test_what_failed_for_good_is_left_alone_unless_asked_and_the_rest_is_tried_again(
    write_grid: WriteGrid, place: Place
) -> None:
    path = write_grid("tests.plugins:OUT_OF_MEMORY", "tests.plugins:DIES", sizes='["8x8"]')
    assert [o.status.value for o in go(path, place)] == [
        "done",
        "out_of_memory",
        "done",
        "done",
        "error",
        "done",
    ]
    assert [o.status.value for o in go(path, place)] == ["error"]
    assert [o.status.value for o in go(path, place, retry=True)] == ["out_of_memory", "error"]


def test_the_last_good_weights_of_a_divergence_are_kept(write_grid: WriteGrid, place: Place) -> None:
    go(write_grid("tests.plugins:NOT_A_NUMBER", sizes='["8x8"]'), place)
    (file,) = (place.out / "cache" / "weights").iterdir()
    assert file.name.endswith(".last-good.safetensors")
    assert set(load_file(file)) == {"conv.weight", "conv.bias"}


@pytest.mark.fault(
    area="Training",
    what="A training is interrupted (Ctrl-C)",
    how="KeyboardInterrupt in the driver at a step",
    kept="a checkpoint of that step; the curve and the scores equal an undisturbed run's bit for bit",
)
def test_an_interruption_leaves_a_checkpoint_and_the_next_run_ends_as_if_undisturbed(
    write_grid: WriteGrid, place: Place, store: Store, tmp_path: Path
) -> None:
    path = write_grid("nlsn", tables="settings = { chunk_size = 8 }\n" + SMALL, steps=40)

    def interrupt(done: int, total: int) -> None:
        if total == 40 and done < total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(path, place, listener=Silent(interrupt))
    assert attempts(store).empty
    assert len(list((place.out / "cache" / "checkpoints").iterdir())) == 1
    go(path, place)
    assert list(attempts(store)["status"]) == ["done"] * 6
    assert list((place.out / "cache" / "checkpoints").iterdir()) == []

    elsewhere = Place.of(tmp_path / "undisturbed", device="cpu", threads=2)
    undisturbed = Store(elsewhere.store)
    go(path, elsewhere)
    for metric in ("train_loss", "psnr_y"):
        ours, theirs = (
            s.frame("SELECT value FROM record WHERE metric = :m ORDER BY position", m=metric)["value"]
            for s in (store, undisturbed)
        )
        assert list(ours) == list(theirs), metric


@pytest.mark.fault(
    area="Processes",
    what="The driver is killed (SIGKILL)",
    how="the command line, at three moments of a run of three cells",
    kept="every outcome so far; the same command does the rest, each task once",
)
@pytest.mark.parametrize("delay_s", [0.0, 0.6, 1.5])
def test_a_driver_killed_at_any_moment_loses_no_cell_and_does_none_twice(
    write_grid: WriteGrid, place: Place, delay_s: float
) -> None:
    path = write_grid("tests.plugins:SLOW", TINY, "edsr", tables=SMALL, steps=60)
    command = [sys.executable, "run_all.py", "run", str(path), "--out", str(place.out), "--threads", "2"]
    driver = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert driver.stdout is not None
    driver.stdout.readline()
    time.sleep(delay_s)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert driver.returncode == -signal.SIGKILL
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    store = Store(place.store)
    rows = attempts(store)
    assert len(rows) == len(set(rows["task_key"])) == 3 * 4
    assert set(rows["status"]) == {"done"}
    wanted = store.frame("SELECT DISTINCT task_key FROM wanted")
    assert set(wanted["task_key"]) == set(rows["task_key"])
    store.close()


@pytest.mark.fault(
    area="Processes",
    what="Ctrl-C at the terminal, once or in a fury; SIGTERM, by which systems shut down",
    how="SIGINT to the driver and its workers, three times; SIGTERM to the driver",
    kept="every outcome so far, and a page of them; exit code 130",
)
@pytest.mark.parametrize(("kind", "times"), [(signal.SIGINT, 3), (signal.SIGTERM, 1)], ids=["Ctrl-C", "SIGTERM"])
def test_ctrl_c_leaves_a_usable_store_and_a_page(
    write_grid: WriteGrid, place: Place, kind: signal.Signals, times: int
) -> None:
    path = write_grid(TINY, "tests.plugins:SLOW", steps=400)
    command = [sys.executable, "run_all.py", "run", str(path), "--out", str(place.out)]
    # A shell starts what it sends to the background with SIGINT ignored, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    driver = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    signal.signal(signal.SIGINT, before)
    assert driver.stdout is not None
    lines = [driver.stdout.readline() for _ in range(5)]
    assert "tasks" in lines[0]
    time.sleep(0.5)
    for _ in range(times):
        os.killpg(driver.pid, kind) if kind == signal.SIGINT else driver.send_signal(kind)
        time.sleep(0.2)
    output, _ = driver.communicate(timeout=300)
    assert driver.returncode == 130, output
    assert "Traceback" not in output
    assert "goes on from here" in output
    assert (place.out / "report.html").stat().st_size > 1000
    store = Store(place.store)
    assert set(attempts(store)["status"]) == {"done"}
    assert not store.measurements(store.run_id()).empty
    store.close()


def test_what_a_method_lacks_on_this_machine_skips_its_tasks(write_grid: WriteGrid, place: Place) -> None:
    outcomes = go(write_grid("tests.plugins:UNAVAILABLE", sizes='"8x8"'), place)
    assert statuses(outcomes) == [("train", "skipped"), ("evaluate", "skipped"), ("profile", "skipped")]
    assert outcomes[0].reason == outcomes[2].reason == "the library of nobody is not installed"
    assert outcomes[1].reason == "its training ended as skipped"


def test_a_network_from_a_file_is_scored_and_profiled(write_grid: WriteGrid, place: Place, tmp_path: Path) -> None:
    file = tmp_path / "stored.safetensors"
    save_file(methods.build_network(TINY, 2).state_dict(), file)
    outcomes = go(write_grid("tests.plugins:STORED", tables=f'weights = "{file}"', sizes='"8x8"'), place)
    assert statuses(outcomes) == [("evaluate", "done"), ("profile", "done")]


def test_training_starts_from_given_weights_and_a_new_upsampler(
    write_grid: WriteGrid, place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "x2.safetensors"
    started = methods.build_network("edsr", 2, n_feats=8, n_resblocks=1).state_dict()
    save_file(started, file)
    tables = f'start = "{file}"\n' + SMALL
    path = write_grid("edsr", top="scale = 3", tables=tables, steps=1, budget="learning_rate = 1e-9", sizes='"8x8"')
    outcomes = go(path, place)
    assert statuses(outcomes) == [("train", "done"), ("evaluate", "done"), ("profile", "done")]
    weights = load_file(place.cache.weights(outcomes[0].task.key))
    assert weights["tail.0.0.weight"].shape[0] == 9 * 8
    assert (weights["body.0.body.0.weight"] - started["body.0.body.0.weight"]).abs().max() < 1e-7
