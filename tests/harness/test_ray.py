"""A Ray cluster of two nodes on this machine: what it records is what the local engine records, through its faults."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.engines.local import LocalEngine
from harness.engines.ray import RayEngine, Told
from harness.engines.ray_cluster import QUIET, Cluster
from harness.engines.ray_node import Arrived, folder
from harness.errors import UserError
from harness.place import Place
from harness.plan import PlannedCell
from harness.records import Status, Task
from harness.run import Run
from harness.worker import Event, Job
from tests.conftest import WriteGrid
from tests.engines import Hearer, figures, go

SLOW, TINY = "tests.plugins:SLOW", "tests.plugins:TINY"
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    """Two nodes of a Ray cluster, one cell on each at a time."""
    os.environ.update(QUIET)
    import ray
    from ray.cluster_utils import Cluster as Nodes

    nodes = Nodes(initialize_head=True, head_node_args=NODE)
    nodes.add_node(**NODE)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(scope="module")
def cluster(two_nodes: Any) -> Cluster:
    return Cluster(two_nodes.address)


@pytest.fixture(scope="module")
def asked_once(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return cluster.place(tmp_path_factory.mktemp("ray"), None, "auto", None)


@pytest.fixture
def there(asked_once: Place, tmp_path: Path) -> Place:
    out = tmp_path / "there"
    return dataclasses.replace(asked_once, out=out, store=str(out / "store.sqlite"))


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place.of(tmp_path / "here", device="cpu", threads=1)


def local(run: Run) -> LocalEngine:
    return LocalEngine(run.place.logs, run.grid.limits.task_s, ("cpu",))


class Blind(RayEngine):
    """Its nodes do not see the folders of the driver."""

    def _show(self) -> None:
        pass


class Careful(RayEngine):
    """Trainings of its cells save their state often."""

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Event]]:
        return super().run(dataclasses.replace(job, checkpoint_s=0.1) for job in jobs)


def test_what_cannot_be_had_is_told(cluster: Cluster, tmp_path: Path) -> None:
    for device, threads, message in (
        ("cuda", None, "no node of this Ray cluster has a GPU"),
        ("cuda:1", None, "--device cuda:1: a cluster gives each cell a GPU of its own"),
        ("cpu", 9, "--threads 9: a cell of this Ray cluster can have 1 at most"),
    ):
        with pytest.raises(UserError, match=message):
            cluster.place(tmp_path, None, device, threads)
    with pytest.raises(UserError, match="start the run on a machine of the cluster"):
        Cluster("ray://head:10001")


def test_nodes_that_see_no_folder_give_the_records_of_the_local_engine(
    write_grid: WriteGrid, cluster: Cluster, there: Place, here: Place
) -> None:
    path = write_grid(TINY, sizes='["8x8"]')
    engines: list[Blind] = []

    def blind(run: Run) -> Blind:
        engines.append(Blind(cluster, run.place, run.grid.limits.task_s))
        return engines[0]

    outcomes = go(path, there, blind)
    assert {outcome.status for outcome in outcomes} == {Status.DONE}
    assert figures(outcomes) == figures(go(path, here, local))
    (trained,) = (there.out / "cache" / "weights").iterdir()
    (ours,) = (here.out / "cache" / "weights").iterdir()
    assert trained.name == ours.name
    assert not (there.out / "cache" / "images").exists(), "the nodes decoded images in folders of their own"
    assert not folder(engines[0].word).exists()


@pytest.mark.fault(
    area="Cluster",
    what="a Ray worker killed, and a node lost, while both train",
    how="the node removed from a cluster of two, then SIGKILL to the Ray process on the other",
    kept="the killed training is a row with its reason; the lost node's goes on on the other from its checkpoint",
)
def test_a_killed_process_is_a_row_and_a_lost_node_s_cell_goes_on_elsewhere(
    write_grid: WriteGrid, two_nodes: Any, cluster: Cluster, there: Place, here: Place
) -> None:
    path = write_grid(SLOW, top="seeds = [0, 1]", sizes='["8x8"]', steps=30)
    steps: dict[str, list[int]] = {}
    at: dict[str, Arrived] = {}
    struck: dict[str, str] = {}
    (second,) = two_nodes.worker_nodes

    class Noted(Careful):
        def _heard(self, cell: Any, told: Told) -> Iterator[Event]:
            if isinstance(told, Arrived):
                at[cell.job.cell.key] = told
            return super()._heard(cell, told)

    def strike(cell: PlannedCell, task: Task, done: int) -> None:
        if task.kind != "train":
            return
        steps.setdefault(cell.key, []).append(done)
        if not there.cache.checkpoint(task.key).is_file() or cell.key in struck.values():
            return
        if at[cell.key].node == second.node_id:
            struck["lost"] = cell.key
            steps[cell.key].append(0)
            two_nodes.remove_node(second)
        elif "killed" not in struck:
            struck["killed"] = cell.key
            os.kill(at[cell.key].process, signal.SIGKILL)

    outcomes = go(path, there, lambda run: Noted(cluster, run.place, run.grid.limits.task_s), Hearer(strike))
    killed = [outcome for outcome in outcomes if outcome.status is not Status.DONE]
    assert [(outcome.task.kind, outcome.status) for outcome in killed] == [
        ("train", Status.ERROR),
        ("evaluate", Status.SKIPPED),
    ]
    assert str(killed[0].reason).startswith("process ")
    assert at[struck["killed"]].node != second.node_id
    undisturbed = figures(go(path, here, local))
    done = {key: found for key, found in figures(outcomes).items() if found[0] is Status.DONE}
    assert len(done) == 3, "both share one profile"
    assert all(undisturbed[key] == found for key, found in done.items())
    lost = steps[struck["lost"]]
    after = lost[lost.index(0) + 1 :]
    assert after[:1] != [1], "the training went on from its checkpoint, which may be of its last step"


def test_an_interruption_saves_the_training_on_its_node(write_grid: WriteGrid, cluster: Cluster, there: Place) -> None:
    def interrupt(_: PlannedCell, task: Task, done: int) -> None:
        if task.kind == "train" and done > 2:
            raise KeyboardInterrupt

    path = write_grid(SLOW, sizes='["8x8"]', steps=500)
    with pytest.raises(KeyboardInterrupt):
        go(path, there, lambda run: RayEngine(cluster, run.place, run.grid.limits.task_s), Hearer(interrupt))
    assert len(list((there.out / "cache" / "checkpoints").iterdir())) == 1
