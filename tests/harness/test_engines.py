from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

import methods
import run_all
from harness import place as places
from harness.engines import baggage, local, node, spool
from harness.engines.attempt import Attempt
from harness.engines.choice import chosen
from harness.engines.local import LocalEngine
from harness.errors import UserError
from harness.place import Place
from harness.plan import PlannedCell
from harness.records import Status, Task
from harness.run import Run, prepare
from harness.worker import Job, Progress, Started
from tests.conftest import WriteGrid
from tests.engines import Hearer, figures, go

TINY, SLOW, DIES = "tests.plugins:TINY", "tests.plugins:SLOW", "tests.plugins:DIES"
SMALL = "[trunk]\nn_feats = 8\nn_resblocks = 1\n"


def two_at_once(run: Run) -> LocalEngine:
    return LocalEngine(run.place.logs, run.grid.limits.task_s, ("cpu", "cpu"))


def one_by_one(run: Run) -> LocalEngine:
    return LocalEngine(run.place.logs, run.grid.limits.task_s, ("cpu",))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Place:
    return Place.of(tmp_path / "elsewhere", device="cpu", threads=2)


def test_two_cells_of_a_device_go_on_at_once_with_the_figures_of_one_and_are_timed_alone(
    write_grid: WriteGrid, place: Place, elsewhere: Place
) -> None:
    path = write_grid(SLOW, top="seeds = [0, 1]", sizes='["8x8", "16x16"]', steps=20)
    hearer = Hearer()
    where = chosen("local", options=["cells=2"])
    both = go(path, place, lambda run: where.engine(run.place, run.grid.limits), hearer)
    assert hearer.heard[:2] == ["start Slow train", "start Slow train"]
    assert hearer.heard[-4:] == ["start Slow profile", "end Slow profile"] * 2  # once for both seeds
    assert len(both) == len(hearer.heard) // 2
    assert {outcome.status for outcome in both} == {Status.DONE}
    assert figures(both) == figures(go(path, elsewhere, one_by_one))


def test_what_another_cell_trains_is_waited_for(write_grid: WriteGrid, place: Place) -> None:
    path = write_grid("nln", tables='settings = { backend = ["plain", "fused"] }\n' + SMALL, sizes='["8x8"]', steps=20)
    hearer = Hearer()
    outcomes = go(path, place, two_at_once, hearer)
    assert {outcome.status for outcome in outcomes} == {Status.DONE}
    waited = hearer.heard.index("start NLN fused evaluate")
    assert hearer.heard.index("end NLN plain train") < waited
    assert hearer.heard.index("start NLN fused profile") < waited


def test_counts_go_on_beside_each_other_and_nothing_that_is_timed(write_grid: WriteGrid, place: Place) -> None:
    counted = '[count]\nmeasure = true\nsizes = ["8x8", "16x16"]\n'
    hearer = Hearer()
    grid = write_grid("nln", tables=SMALL + counted, top='tasks = ["count"]')
    found = go(grid, place, lambda run: run._on_this_machine(), hearer)
    assert {outcome.status for outcome in found} == {Status.DONE}
    assert [line.split()[0] for line in hearer.heard[:2]] == ["start", "start"]
    timed = prepare(write_grid("nln", tables=SMALL + counted, top='tasks = ["count", "profile"]'), place)
    assert len(timed.place.devices) == 1
    assert isinstance(engine := timed._on_this_machine(), LocalEngine)
    assert engine.devices == timed.place.devices


def test_a_death_on_one_device_leaves_the_other_alone(write_grid: WriteGrid, place: Place) -> None:
    outcomes = go(write_grid(DIES, TINY, SLOW, sizes='["8x8"]', steps=10), place, two_at_once)
    failed = [outcome for outcome in outcomes if outcome.status is not Status.DONE]
    assert len(outcomes) == 9
    assert [(outcome.task.kind, outcome.status) for outcome in failed] == [("evaluate", Status.ERROR)]
    assert "SIGKILL" in str(failed[0].reason)


@pytest.mark.fault(
    area="Processes",
    what="Ctrl-C while two devices train",
    how="KeyboardInterrupt in the driver once both have begun",
    kept="both trainings' checkpoints; the next run goes on from them and ends as one that was never disturbed",
)
def test_an_interruption_saves_every_training_under_way(write_grid: WriteGrid, place: Place, elsewhere: Place) -> None:
    path = write_grid(SLOW, top="seeds = [0, 1]", sizes='["8x8"]', steps=40)
    under_way = set()

    def interrupt(cell: PlannedCell, task: Task, done: int) -> None:
        if task.kind == "train" and done < 40:
            under_way.add(cell.key)
        if len(under_way) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(path, place, two_at_once, Hearer(interrupt))
    assert len(list((place.out / "cache" / "checkpoints").iterdir())) == 2
    assert figures(go(path, place, two_at_once)) == figures(go(path, elsewhere, one_by_one))


def test_a_process_that_ends_in_silence_is_a_row(write_grid: WriteGrid, place: Place) -> None:
    path = write_grid(SLOW, sizes='["8x8"]', steps=200)
    ended: list[int] = []

    def end(*_: Any) -> None:
        if not ended:
            ended.extend(pid for pid in _children() if _log_of(pid).parent == place.logs.absolute())
            for pid in ended:
                os.kill(pid, signal.SIGTERM)

    train, evaluate, profile = go(path, place, one_by_one, Hearer(end))
    assert len(ended) == 1
    assert train.status is Status.ERROR
    assert str(train.reason).startswith("the process ended before its work was done; see ")
    assert (evaluate.status, profile.status) == (Status.SKIPPED, Status.DONE)


def _children() -> list[int]:
    """Every process whose output goes to a file."""
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal() and _log_of(int(each.name))]


def _log_of(pid: int) -> Path:
    try:
        return Path(f"/proc/{pid}/fd/1").readlink()
    except OSError:
        return Path()


def test_a_process_that_dies_with_nothing_left_to_do_is_no_failure(write_grid: WriteGrid, place: Place) -> None:
    run = prepare(write_grid(TINY), place, dry=True)
    attempt = Attempt(run._job(run.cells[0], run.cells[0].tasks[:1]), 10.0)
    first = attempt.failure(Status.ERROR, "gone")
    assert first is not None
    assert attempt.known == {first.task.key: "error"}
    assert attempt.remaining.tasks == ()
    assert attempt.failure(Status.ERROR, "gone") is None
    run.store.close()


def test_a_job_knows_what_its_tasks_need_and_nothing_of_others(write_grid: WriteGrid, place: Place) -> None:
    run = prepare(write_grid(TINY, "edsr", tables=SMALL), place, dry=True)
    run.settled.update({task.key: "done" for cell in run.cells for task in cell.tasks})
    assert set(run._job(run.cells[0], ()).known) == {task.key for task in run.cells[0].tasks}
    run.store.close()


def test_all_gpus_like_the_first_are_taken_and_others_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_gpu_names", lambda: ["A100", "T4", "A100"])
    cuda = dataclasses.replace(place, device="cuda")
    assert cuda.devices == ("cuda:0", "cuda:2")
    assert cuda.left_out == {"cuda:1": "T4"}
    assert dataclasses.replace(place, device="cuda:1").devices == ("cuda:1",)
    assert place.devices == ("cpu",)
    far = dataclasses.replace(cuda, node={"gpu": "A100"})
    assert (far.devices, far.left_out, far.machine) == (("cuda",), {}, {"gpu": "A100"})


@pytest.mark.parametrize(
    ("shown", "device", "seen"),
    [(None, "cuda:1", "1"), ("4,GPU-7a", "cuda:1", "GPU-7a"), (None, "cuda", None)],
)
def test_a_process_sees_the_gpu_of_its_cell_alone(
    write_grid: WriteGrid,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    shown: str | None,
    device: str,
    seen: str | None,
) -> None:
    run = prepare(write_grid(TINY), place, dry=True)
    job = dataclasses.replace(run._job(run.cells[0], ()), device="cuda")
    run.store.close()
    monkeypatch.setenv(local.VISIBLE, "") if shown is None else monkeypatch.setenv(local.VISIBLE, shown)
    told: list[tuple[Job, str | None]] = []
    monkeypatch.setattr(local, "run_cell", lambda job, _: told.append((job, os.environ.get(local.VISIBLE) or None)))
    local.run_on((job, device), lambda _: None)
    assert told == [(job, seen)]


@pytest.mark.parametrize(
    ("name", "address", "options", "message"),
    [
        ("lokal", None, [], "no engine 'lokal': did you mean 'local'"),
        ("local", "auto", [], "--address auto is the address of a Ray cluster: --engine ray goes with it"),
        ("local", None, ["cell=2"], "no engine option 'cell' of local: did you mean 'cells'"),
        ("local", None, ["cells=two"], "--engine-option cells=two: a whole number is wanted"),
        ("ray", None, [], "which Ray cluster"),
        ("ray", "127.0.0.1:1", [], "no Ray cluster at '127.0.0.1:1': "),
        ("ray", "auto", ["cell=2"], "no engine option 'cell' of ray: did you mean 'cells'"),
        ("ray", "auto", ["cells=0"], "--engine-option cells=0: a whole number is wanted"),
        ("ray", "auto", ["cells"], "--engine-option cells: name=value is wanted"),
        ("slurm", None, ["partion=gpu"], "no engine option 'partion' of slurm: did you mean 'partition'"),
        ("slurm", None, ["cluster=lokal"], "cluster='lokal': did you mean 'local'"),
    ],
)
def test_a_choice_that_cannot_be_is_told(name: str, address: str | None, options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?").replace("(", r"\(")):
        chosen(name, address, options)


def test_cells_of_this_machine_share_its_threads_unless_told_how_many(tmp_path: Path) -> None:
    where = chosen("local", options=["cells=2"])
    alone = Place.of(tmp_path, device="cpu")
    assert where.place(tmp_path, None, "cpu", None).threads == max(1, alone.threads // 2)
    assert where.place(tmp_path, None, "cpu", 3).threads == 3


def test_the_command_line_refuses_an_engine_that_does_not_exist(write_grid: WriteGrid, tmp_path: Path) -> None:
    words = ["run", str(write_grid(TINY)), "--out", str(tmp_path / "never"), "--engine", "nonsense"]
    done = CliRunner().invoke(run_all.app, words)
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == "no engine 'nonsense': Allowed: local, ray, slurm."
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(("engine", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_library_that_is_missing_is_named_with_its_extra(
    engine: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf"pip install -e '\.\[{engine}\]'"):
        chosen(engine, "auto" if engine == "ray" else None)


def test_times_are_not_taken_on_another_machine_than_the_run_s(write_grid: WriteGrid, place: Place) -> None:
    run = prepare(write_grid(TINY), place, dry=True)
    cell = run.cells[0]
    timed = tuple(task for task in cell.tasks if task.kind == "profile")
    job = run._job(cell, timed)
    run.store.close()
    asked = {**place.machine, "memory_bytes": place.machine["memory_bytes"] * 1.01, "cpu": "Another CPU"}
    errand = node.Errand(job=job, logs=place.logs, task_s=10.0, machine=asked)
    events = list(node.carried_out(errand))
    assert [type(event) for event in events[::2]] == [Started] * len(timed)
    reasons = {event.reason for event in events[1::2]}  # type: ignore[union-attr]
    (reason,) = reasons
    assert reason.startswith("this node is another machine than the one whose times are asked: cpu ")
    assert reason.endswith(", not Another CPU")


def test_a_node_that_sees_no_folder_finds_all_it_needs_under_its_own(
    write_grid: WriteGrid, place: Place, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NLBENCH_DATA", str(tmp_path / "sets"))
    monkeypatch.chdir(tmp_path)
    weights = Path("given.safetensors")
    save_file(methods.build_network("edsr", 2, n_feats=8, n_resblocks=1).state_dict(), weights)
    run = prepare(write_grid("edsr", tables=f'weights = "{weights}"\n' + SMALL, sizes='["8x8"]'), place, dry=True)
    job = baggage.absolute(run._job(run.cells[0], run.cells[0].tasks))
    run.store.close()
    needed = baggage.needed(job)
    images = sorted(image_folder.iterdir())
    assert {name: sorted(files) for name, files in needed.items()} == {
        str(tmp_path / weights): [tmp_path / weights],
        str(image_folder): images,
    }
    root = tmp_path / "node"
    for files in needed.values():
        baggage.unpack(baggage.packed(files), root)
    here = baggage.unpacked(node.Errand(job=job, logs=place.logs, task_s=1.0, machine={}), root)
    assert baggage.seen(baggage.needed(here.job))
    assert here.job.cell.weights == root / str(tmp_path / weights)[1:]
    assert Path(os.environ["NLBENCH_DATA"]) == root / str(tmp_path / "sets")[1:]
    assert here.job.data.keys() == job.data.keys()
    assert all(str(where).startswith(str(root)) for where in here.job.data.values())


@pytest.mark.fault(
    area="Cluster",
    what="a Slurm job killed while it tells something",
    how="half a line at the end of its file, then a job that goes on",
    kept="every whole line, from before and after",
)
def test_half_a_line_spoils_nothing(tmp_path: Path) -> None:
    file = tmp_path / "spool"
    reader = spool.Reader(file)
    assert reader.read() == []
    spool.Writer(file).write(Progress(1, 9))
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    assert reader.read() == []
    file.write_bytes(whole)
    assert reader.read() == [Progress(1, 9)]
    with file.open("ab") as stream:
        stream.write(whole[1:20])
    assert reader.read() == []
    spool.Writer(file).write(Progress(2, 9))
    assert reader.read() == [Progress(2, 9)]


def test_jobs_end_when_their_driver_says_so_or_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / name for name in ("own", "live", "gone")]
    for folder in folders:
        folder.mkdir()
    own, live, gone = map(spool.Watch, folders)
    assert own.over, "a driver that never showed itself is gone"
    for watch in (own, live, gone):
        watch.show()
    before = time.time() - 2 * spool.STALE_S
    os.utime(folders[2] / spool.ALIVE, (before, before))
    spool.end_abandoned(tmp_path, own)
    assert [watch.over for watch in (own, live, gone)] == [False, False, True]
    live.end()
    assert live.over
    monkeypatch.setattr(spool, "STALE_S", -1.0)
    assert own.over
