"""Slurm jobs as submitit starts them on this machine: what they record is what the local engine records."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.engines import slurm
from harness.engines.choice import chosen
from harness.engines.local import LocalEngine
from harness.engines.slurm import Served, SlurmEngine
from harness.engines.slurm_cluster import Slurm
from harness.errors import UserError
from harness.place import Place
from harness.plan import PlannedCell
from harness.records import Status, Task
from harness.run import Run
from tests.conftest import WriteGrid
from tests.engines import Hearer, figures, go

SLOW, TINY = "tests.plugins:SLOW", "tests.plugins:TINY"
POLL_S = 0.1


@pytest.fixture(scope="module")
def asked_once(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The machine as a job describes it."""
    out = tmp_path_factory.mktemp("slurm")
    return Slurm({"cluster": "local"}).place(out, None, "cpu", 1)


@pytest.fixture
def there(asked_once: Place, tmp_path: Path) -> Place:
    out = tmp_path / "there"
    return dataclasses.replace(asked_once, out=out, store=str(out / "store.sqlite"))


def quick(run: Run) -> SlurmEngine:
    return SlurmEngine(Slurm({"cluster": "local"}), run.place, run.grid.limits.task_s, POLL_S)


def local(run: Run) -> LocalEngine:
    return LocalEngine(run.place.logs, run.grid.limits.task_s, ("cpu",))


@pytest.mark.fault(
    area="Cluster",
    what="a Slurm job killed, another preempted, while both train",
    how="SIGKILL to the process of one job, SIGTERM to that of the other, as submitit's local executor runs them",
    kept="the killed training is a row with its reason; the preempted one is submitted again, from its checkpoint",
)
def test_a_killed_job_is_a_row_and_a_preempted_one_goes_on(write_grid: WriteGrid, there: Place, tmp_path: Path) -> None:
    path = write_grid(SLOW, top="seeds = [0, 1]", sizes='["8x8"]', steps=60)
    steps: dict[str, list[int]] = {}

    def strike(cell: PlannedCell, task: Task, done: int) -> None:
        if task.kind == "train" and cell.key not in steps:
            os.kill(_process(there, cell.key), signal.SIGTERM if steps else signal.SIGKILL)
            steps[cell.key] = []
        elif task.kind == "train":
            steps[cell.key].append(done)

    outcomes = go(path, there, quick, Hearer(strike))
    lost = [outcome for outcome in outcomes if outcome.status is not Status.DONE]
    assert [(o.task.kind, o.status) for o in lost] == [("train", Status.ERROR), ("evaluate", Status.SKIPPED)]
    assert str(lost[0].reason).startswith("the Slurm job ended as ")
    undisturbed = figures(go(path, Place.of(tmp_path / "here", device="cpu", threads=1), local))
    done = {key: found for key, found in figures(outcomes).items() if found[0] is Status.DONE}
    assert len(done) == 3, "both share one profile"
    assert all(undisturbed[key] == found for key, found in done.items())
    _, preempted = steps.values()
    assert preempted[0] > 1, "the training went on from its checkpoint"
    assert not list(there.out.glob("slurm/*/*.spool"))


def test_an_interruption_saves_the_training_of_a_job(write_grid: WriteGrid, there: Place) -> None:
    def interrupt(_: PlannedCell, task: Task, done: int) -> None:
        if task.kind == "train" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(write_grid(SLOW, sizes='["8x8"]', steps=2000), there, quick, Hearer(interrupt))
    (state,) = (there.out / "cache" / "checkpoints").iterdir()
    before = state.stat().st_mtime_ns
    (told,) = there.out.glob("slurm/*/*.spool")
    assert b"\n" in told.read_bytes()
    assert state.stat().st_mtime_ns == before, "its process has ended"


COMMANDS = {
    "srun": "exit 0",
    "sbatch": 'cat "$1" >> $TOLD; echo Submitted batch job $JOB',
    "sacct": 'echo "JobID|State|NodeList"; echo "$JOB|$STATE|n1"',
    "scancel": "exit 0",
}
"""A Slurm whose jobs all end in one state before they begin."""


@pytest.mark.parametrize(
    ("state", "status", "reason", "jobs"),
    [
        ("OUT_OF_MEMORY", Status.OUT_OF_MEMORY, "the Slurm job ended as OUT_OF_MEMORY; see ", 1),
        ("TIMEOUT", Status.TIMEOUT, "the Slurm job ended as TIMEOUT; see ", 1),
        ("CANCELLED by 0", Status.ERROR, "the Slurm job ended as CANCELLED; see ", 1),
        ("NODE_FAIL", Status.ERROR, "the Slurm job was lost, 2 times: Slurm says NODE_FAIL", 2),
    ],
)
def test_what_slurm_says_of_a_job_is_its_end(
    write_grid: WriteGrid,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    status: Status,
    reason: str,
    jobs: int,
) -> None:
    for name, words in COMMANDS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{words}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    told = tmp_path / "told"
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "STATE": state, "TOLD": str(told)}
    # submitit remembers how a job ended by its number.
    for name, value in (variables | {"JOB": str(len(state))}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(slurm, "STATES_S", 0.0)
    place = Place.elsewhere(tmp_path / "there", None, "cpu", 2, {"cpu": "of a node"})
    options = Slurm({"partition": "gpu", "setup": "module load x"}, retries=1)
    path = write_grid(TINY, top='tasks = ["profile"]', sizes='["8x8"]')
    (outcome,) = go(path, place, lambda run: SlurmEngine(options, run.place, 10.0, 0.01))
    assert outcome.status is status
    assert str(outcome.reason).startswith(reason)
    asked = told.read_text(encoding="utf-8")
    assert asked.count("#SBATCH --partition=gpu\n") == asked.count("#SBATCH --exclusive\n") == jobs
    assert asked.count("\nmodule load x\n") == jobs


def test_options_become_those_of_submitit(tmp_path: Path) -> None:
    found = Slurm({"cluster": "local", "timeout_min": "60", "partition": "gpu", "gres": "gpu:a100:1", "setup": "ml x"})
    assert found.options == {
        "timeout_min": 60,
        "slurm_partition": "gpu",
        "slurm_gres": "gpu:a100:1",
        "slurm_setup": ["ml x"],
    }
    place = Place.elsewhere(tmp_path, None, "cuda", 4, {})
    executor = found.executor(tmp_path / "jobs", place, alone=True)
    assert executor.parameters["timeout_min"] == 60


@pytest.mark.parametrize(
    ("options", "device", "threads", "message"),
    [
        ({}, "cuda:1", 4, "Slurm gives each cell a GPU of its own"),
        ({}, "cpu", None, "how many CPU threads has a cell on a node"),
    ],
)
def test_what_a_job_cannot_have_is_told(
    tmp_path: Path, options: dict[str, str], device: str, threads: int | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Slurm({"cluster": "local", **options}).place(tmp_path, None, device, threads)


def test_a_machine_without_slurm_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="Slurm cannot be asked"):
        chosen("slurm").place(tmp_path, None, "cpu", 1)


def _process(place: Place, cell: str) -> int:
    """The process of the Slurm job that carries out `cell`: it was started with what submitit wrote for it."""
    import pickle

    for each in Path("/proc").iterdir():
        try:
            words = (each / "cmdline").read_text(encoding="utf-8").split("\0") if each.name.isdecimal() else []
            environment = (each / "environ").read_text(encoding="utf-8") if "submitit.core._submit" in words else ""
        except OSError:
            continue
        named = dict(line.partition("=")[::2] for line in environment.split("\0"))
        if "SUBMITIT_LOCAL_JOB_ID" in named and str(place.out) in " ".join(words):
            (file,) = place.out.glob(f"slurm/*/{named['SUBMITIT_LOCAL_JOB_ID']}_submitted.pkl")
            served: Any = pickle.loads(file.read_bytes()).function  # noqa: S301
            assert isinstance(served, Served)
            if served.errand.job.cell.key == cell:
                return int(each.name)
    raise AssertionError(json.dumps(cell))
