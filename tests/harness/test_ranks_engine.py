"""The command line under `torchrun`: the same records as by one process, whatever happens to a process on the way."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from harness.engines import Engine
from harness.engines.board import Board
from harness.engines.ranks import follow, leading
from harness.errors import UserError
from harness.isolate import Report, Worker
from harness.place import Place
from harness.ranks import Rank
from harness.run import prepare
from harness.store import Store
from harness.worker import Event, Job
from tests.conftest import WriteGrid
from tests.harness.test_run import TINY, Silent, attempts, go
from tests.plugins import Plugin

ROOT = Path(__file__).resolve().parents[2]
MARKS = "NLBENCH_TEST_MARKS"
"""In the environment: a folder where processes that train leave word, and find what is asked of them."""
MARKED, LAST = 5, 8
TASKS = 'tasks = ["train", "evaluate"]'
KEY = ["task_key", "metric", "image", "step"]


class Marking(Plugin):
    """Leaves word at its fifth training step; with the word "die" there, the process of rank 1 dies at its eighth."""

    def __init__(self) -> None:
        super().__init__("marking", self._act)
        self.steps = 0

    def _act(self, y: Tensor) -> Tensor:
        if MARKS in os.environ and y.requires_grad and type(y) is Tensor and y.device.type == "cpu":
            time.sleep(0.02)
            self.steps += 1
            folder, rank = Path(os.environ[MARKS]), os.environ["RANK"]
            if self.steps == MARKED:
                (folder / rank).touch()
            if self.steps == LAST and rank == "1" and (folder / "die").exists():
                os.kill(os.getpid(), signal.SIGKILL)
        return y


MARKING = Marking()
METHOD = "tests.harness.test_ranks_engine:MARKING"


class Often:
    """An engine whose trainings save their state after every step."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Event]]:
        return self.engine.run(dataclasses.replace(job, checkpoint_s=0.0) for job in jobs)


def first_of_two() -> Rank:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return Rank(rank=0, count=2, local=0, local_count=2, host="localhost", port=port, hosting=True)


@contextlib.contextmanager
def follower(first: Rank, path: Path, place: Place, marks: Path) -> Iterator[subprocess.Popen[str]]:
    """Rank 1, which ends by itself when rank 0 has said so."""
    script = f"""
    from pathlib import Path
    from harness.engines.ranks import follow
    from harness.place import Place
    from harness.ranks import Rank
    if __name__ == "__main__":
        assert follow(Rank.of_environment(), Path({str(path)!r}), Place.of(Path({str(place.out)!r}), None, "cpu", 2))
    """
    of_rank = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    address = {"MASTER_ADDR": first.host, "MASTER_PORT": str(first.port)}
    environment = {**os.environ, **of_rank, **address, MARKS: str(marks), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def terminated(command: list[str], marks: Path) -> str:
    """What `command` prints; it is asked to stop once both ranks have left word."""
    environment = {**os.environ, MARKS: str(marks)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as runner:
        try:
            end = time.monotonic() + 120
            while not all((marks / rank).exists() for rank in "01") and time.monotonic() < end:
                time.sleep(0.05)
        finally:
            runner.terminate()
        return runner.communicate(timeout=120)[0]


def figures(store: Store) -> pd.Series:
    """What does not depend on the time that things took."""
    frame = store.measurements()
    frame = frame[frame["metric"].isin(["train_loss", "learning_rate", "psnr_y", "ssim_y"])]
    return frame.set_index(KEY)["value"].sort_index()


def same_as_alone(path: Path, store: Store, tmp_path: Path) -> None:
    """`path`, run by one process that nothing disturbs, gives what is in `store`."""
    elsewhere = Place.of(tmp_path / "undisturbed", device="cpu", threads=2)
    go(path, elsewhere)
    undisturbed = Store(elsewhere.store)
    pd.testing.assert_series_equal(figures(store), figures(undisturbed), rtol=1e-4)
    undisturbed.close()


@pytest.mark.fault(
    area="Training on several processes",
    what="the process of one rank is killed during a training",
    how="SIGKILL to the training process of rank 1 of two, at its eighth step",
    kept="the training's row says which rank was killed by what; both ranks go on with the next cell; "
    "the next run, of one process, trains on from the last state to what an undisturbed run gives",
)
def test_a_killed_rank_is_told_and_the_next_run_goes_on_from_the_checkpoint(
    write_grid: WriteGrid, place: Place, store: Store, tmp_path: Path
) -> None:
    path, first = write_grid(METHOD, TINY, top=TASKS, steps=12), first_of_two()
    (tmp_path / "die").touch()
    prepared = prepare(path, place)
    with follower(first, path, place, tmp_path) as other:
        with leading(first, prepared.cells, place, 120.0) as engine:
            outcomes = prepared.proceed(prepared.begin(), Silent(), Often(engine))
        output, _ = other.communicate(timeout=60)
        assert other.returncode == 0, output
    ends = [(outcome.task.kind, outcome.status.value) for outcome in outcomes]
    assert ends == [("train", "error"), ("evaluate", "skipped"), ("train", "done"), ("evaluate", "done")]
    cell = prepared.cells[0].key
    assert outcomes[0].reason == f"rank 1: the process was ended by SIGKILL; see {cell}.rank1.log"
    checkpoint = place.cache.checkpoint(outcomes[0].task.key)
    assert torch.load(checkpoint, weights_only=True)["step"] == LAST - 1
    assert [(o.task.kind, o.status.value) for o in go(path, place)] == [("train", "done"), ("evaluate", "done")]
    same_as_alone(path, store, tmp_path)


@pytest.mark.fault(
    area="Training on several processes",
    what="torchrun is asked to stop",
    how="SIGTERM to torchrun while its two processes train; then the same command again",
    kept="both stop after the same step, with its state; the same command goes on from there, and its records are "
    "those of a run without torchrun",
)
def test_the_command_under_torchrun_gives_the_same_records_also_when_it_was_interrupted(
    write_grid: WriteGrid, place: Place, store: Store, tmp_path: Path
) -> None:
    path = write_grid(METHOD, top=TASKS, steps=150)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["run_all.py", "run", str(path), "--out", str(place.out), "--device", "cpu", "--threads", "2"]
    output = terminated(command, tmp_path)
    assert "the same command goes on from here" in output
    assert attempts(store).empty
    kept = list((place.out / "cache" / "checkpoints").iterdir())
    assert [file.suffix for file in kept] == [".pt"], output
    assert MARKED <= torch.load(kept[0], weights_only=True)["step"] < 150

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    query = "SELECT protocol.spec FROM protocol JOIN attempt ON attempt.protocol_id = protocol.id WHERE kind = 'train'"
    (protocol,) = map(json.loads, store.frame(query)["spec"])
    assert (protocol["processes"], protocol["threads"]) == (2, 1)
    same_as_alone(path, store, tmp_path)


def test_a_batch_that_cannot_be_shared_evenly_is_refused_before_anything_runs(
    write_grid: WriteGrid, place: Place
) -> None:
    prepared = prepare(write_grid(TINY), place)
    three = dataclasses.replace(first_of_two(), count=3)
    told = "Tiny.*: 3 processes cannot share a batch of 2 evenly: their number can be 1, 2"
    with pytest.raises(UserError, match=told), leading(three, prepared.cells, place, 60.0):
        pytest.fail("something ran")


def test_a_rank_with_another_grid_code_or_data_says_so(write_grid: WriteGrid, place: Place) -> None:
    first = first_of_two()
    board = Board(first)
    path, other = write_grid(TINY), dataclasses.replace(first, rank=1, hosting=False)
    board.tell("announced 0", cell="of another grid", task="a training of it")
    board.tell("announced 1", end=1)
    assert follow(other, path, place)
    assert board.told("cause 0") == {
        "status": "error",
        "reason": "rank 1 plans no such training: its grid, code or data are not those of rank 0",
    }


def test_what_was_told_first_stays() -> None:
    board = Board(first_of_two())
    assert board.told("news") is None
    board.tell("news", step=1)
    board.tell("news", step=2)
    assert board.told("news") == board.awaited("news", 0.0) == {"step": 1}
    assert board.awaited("other news", 0.0) is None


@pytest.mark.fault(
    area="Training on several processes",
    what="rank 0 is killed",
    how="SIGKILL to the process that keeps what ranks tell each other, while another waits for its next training",
    kept="the other ends with a message",
)
def test_a_rank_whose_rank_0_is_killed_ends_with_a_message(tmp_path: Path) -> None:
    first = first_of_two()
    with Worker(_lead_nowhere, first, tmp_path / "log") as leader, ThreadPoolExecutor(1) as pool:
        assert next(leader.messages(lambda: 60.0)) == "here"
        other = dataclasses.replace(first, rank=1, hosting=False)
        waiting = pool.submit(Board(other).awaited, "announced 0", 60.0)
        leader.kill()
        with pytest.raises(UserError, match=f"rank 0 or torchrun has ended: nothing answers at localhost:{first.port}"):
            waiting.result()


def _lead_nowhere(rank: Rank, report: Report) -> None:
    board = Board(rank)
    report("here")
    board.awaited("nothing", 600.0)
