"""Processes that are killed: nothing is lost, nothing is done twice, and the end is that of an undisturbed run."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch

from harness.place import Place
from harness.records import Task
from tests.conftest import WriteGrid
from tests.faults.runs import SMALL, EveryStep, Hand, attempts, ends, frame, go, values, weights

KILLS = 20
TASKS = 'tasks = ["train", "evaluate"]'


class Killer:
    """Kills the worker of a training after a random number of its checkpoints and a random moment more."""

    def __init__(self, checkpoints: Path, seed: int) -> None:
        self.checkpoints, self.random = checkpoints, random.Random(seed)  # noqa: S311 - no secret
        self.steps: list[int] = []

    def at_start(self, task: Task) -> None:
        if task.kind == "train":
            threading.Thread(target=self._kill, args=(self.checkpoints / f"{task.key}.pt",)).start()

    def _kill(self, file: Path) -> None:
        (worker,) = multiprocessing.active_children()
        more, moment_s = self.random.randrange(4), self.random.uniform(0.0, 0.02)
        seen = _written(file)
        while more and worker.is_alive():
            time.sleep(0.0005)
            now = _written(file)
            more, seen = more - (now != seen), now
        time.sleep(moment_s)
        worker.kill()

    def look(self, file: Path) -> None:
        """Note at which step the training now stands."""
        self.steps.append(torch.load(file, weights_only=True)["step"] if file.exists() else 0)


def _written(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


@pytest.mark.fault(
    area="Training",
    what="A training is killed (SIGKILL) at 20 random points",
    how="the process is killed after a random number of checkpoints and a random moment, also while one is written",
    kept="every step up to the last checkpoint; the final weights, curve and scores equal an undisturbed run's bit for "
    "bit, and the store holds the outcome once, beside a row for each kill",
)
def test_a_training_killed_at_twenty_random_points_ends_as_if_undisturbed(
    write_grid: WriteGrid, place: Place, tmp_path: Path
) -> None:
    path = write_grid("nlsn", top=TASKS, tables=SMALL, steps=150, budget="ema_decay = 0.9")
    checkpoints = place.cache.folder / "checkpoints"
    killer = Killer(checkpoints, seed=7)
    for _ in range(KILLS):
        assert ends(go(path, place, Hand(at_start=killer.at_start), EveryStep(place)))[0] == ("train", "error")
        killer.look(next(iter(checkpoints.glob("*.pt")), Path("none")))
    assert killer.steps == sorted(killer.steps), "no step that was saved is lost"
    assert len(set(killer.steps)) > KILLS // 4, "the points differ"
    assert ends(go(path, place, engine=EveryStep(place))) == [("train", "done"), ("evaluate", "done")]
    assert list(checkpoints.iterdir()) == [], "neither the checkpoint nor what the killed have left of others"

    undisturbed = Place.of(tmp_path / "undisturbed", device="cpu", threads=2)
    go(path, undisturbed)
    ours, theirs = weights(place), weights(undisturbed)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for metric in ("train_loss", "learning_rate", "psnr_y"):
        assert values(place, metric) == values(undisturbed, metric), metric
    rows = attempts(place).query("kind == 'train'")
    assert list(rows["status"]) == ["error"] * KILLS + ["done"]
    assert all("ended by SIGKILL" in reason for reason in rows["reason"][:-1])


@pytest.mark.fault(
    area="Processes",
    what="A worker is killed (SIGKILL) from outside while it trains",
    how="os.kill on the process of a cell; another cell waits",
    kept="a row with the reason; the other cells go on; the next run goes on from the checkpoint",
)
def test_a_worker_killed_from_outside_is_a_row_and_the_next_run_makes_up_for_it(
    write_grid: WriteGrid, place: Place
) -> None:
    path = write_grid("tests.plugins:SLOW", "tests.plugins:TINY", top=TASKS, steps=20)

    def kill_the_first(task: Task) -> None:
        if task.kind == "train" and not killed:
            (worker,) = multiprocessing.active_children()
            killed.append(task.key)
            os.kill(worker.pid or 0, signal.SIGKILL)

    killed: list[str] = []
    first = go(path, place, Hand(at_start=kill_the_first))
    assert ends(first) == [("train", "error"), ("evaluate", "skipped"), ("train", "done"), ("evaluate", "done")]
    assert "the process was ended by SIGKILL" in str(first[0].reason)
    assert ends(go(path, place)) == [("train", "done"), ("evaluate", "done")]
    assert go(path, place) == []


@pytest.mark.fault(
    area="Processes",
    what="The process that starts workers is killed (SIGKILL)",
    how="os.kill on the fork server between two cells",
    kept="everything: the next worker starts a new one",
)
def test_a_fork_server_that_was_killed_is_started_anew(write_grid: WriteGrid, place: Place) -> None:
    path = write_grid("tests.plugins:TINY", "bicubic", top=TASKS)

    def kill_the_server(task: Task) -> None:
        if task.kind == "train":
            server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
            os.kill(server, signal.SIGKILL)
            os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)
            killed.append(server)

    killed: list[int] = []
    go(path, place, Hand(at_start=kill_the_server))
    assert len(killed) == 1
    assert all(status == "done" for _, status in ends(go(path, place)))
    assert set(frame(place, "SELECT task_key FROM attempt WHERE status = 'done'")["task_key"]) == set(
        frame(place, "SELECT task_key FROM wanted")["task_key"]
    )
