"""The same seed on the same machine gives the same weights and scores: in another process and folder, in another order
of cells, and after being interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from harness.isolate import start_server
from harness.place import Place
from harness.store import Store
from tests.harness.test_run import ROOT, Silent, go

SMALL = "n_feats = 8, n_resblocks = 1"
METHODS = {
    "nlsn": f'name = "nlsn"\nsettings = {{ {SMALL}, chunk_size = 8 }}',
    "lcoan": f'name = "lcoan"\nsettings = {{ {SMALL}, n_resgroups = 2, chunk_size = 8, n_clusters = 8 }}',
    "dtfn": f'name = "dtfn"\nsettings = {{ {SMALL}, n_resgroups = 2, chunk_size = 8, backend = "fused" }}',
}
"""Random hyperplanes, k-means with a shared affinity, and deformable values beside fused attention."""
STEPS = 5
GRID = """
name = "again"
tasks = ["train", "evaluate"]
seeds = {seeds}
[train]
data = "{images}"
steps = {steps}
batch = 2
patch = 8
[evaluate]
data = "{images}"
crops = 1
"""
RUN = """
import sys
from pathlib import Path
from harness.isolate import start_server
from harness.place import Place
from tests.harness.test_run import go
if __name__ == "__main__":
    start_server()
    go(Path(sys.argv[1]), Place.of(Path(sys.argv[2]), device="cpu", threads=2))
"""
WEIGHTS = """
SELECT DISTINCT cell.spec ->> 'method' AS method, cell.spec ->> 'seed' AS seed, protocol.spec ->> 'weights' AS weights
FROM attempt JOIN protocol ON protocol.id = attempt.protocol_id JOIN wanted ON wanted.task_key = attempt.task_key
JOIN cell ON cell.id = wanted.cell_id WHERE attempt.kind = 'evaluate' ORDER BY 1, 2
"""
FIGURES = """
SELECT attempt.task_key, record.metric, record.image, record.step, record.value FROM record
JOIN attempt ON attempt.id = record.attempt_id WHERE record.metric NOT IN ('step_s', 'first_step_s')
ORDER BY attempt.task_key, record.position
"""
PICTURES = """
SELECT attempt.task_key, artifact.image, artifact.name, artifact.blob_id FROM artifact
JOIN attempt ON attempt.id = artifact.attempt_id ORDER BY 1, artifact.position
"""


class Study:
    """A grid of all methods in a folder of its own, and what came of it."""

    def __init__(self, folder: Path, images: Path, methods: list[str], seeds: list[int]) -> None:
        self.grid, self.out = folder / "grid.toml", folder / "out"
        rows = "".join(f"[[methods]]\n{METHODS[name]}\n" for name in methods)
        self.grid.write_text(GRID.format(images=images, steps=STEPS, seeds=seeds) + rows, encoding="utf-8")

    @property
    def place(self) -> Place:
        return Place.of(self.out, device="cpu", threads=2)

    def frame(self, query: str) -> pd.DataFrame:
        store = Store(self.place.store)
        try:
            return store.frame(query)
        finally:
            store.close()

    def weights(self, seed: int = 0) -> dict[str, str]:
        """The hash of each network's weights."""
        found = self.frame(WEIGHTS)
        own = found[found["seed"].astype(int) == seed]
        return dict(zip(own["method"], own["weights"], strict=True))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, image_folder: Path) -> Study:
    """Done in workers of this process."""
    study = Study(tmp_path_factory.mktemp("first"), image_folder, list(METHODS), [0])
    start_server()
    go(study.grid, study.place)
    return study


def psnrs(study: Study) -> set[float]:
    found = study.frame(FIGURES)
    return set(found[found["metric"] == "psnr_y"]["value"])


def assert_equal(one: Study, other: Study) -> None:
    assert one.weights() == other.weights()
    assert set(one.weights()) == set(METHODS)
    for query in (FIGURES, PICTURES):
        pd.testing.assert_frame_equal(one.frame(query), other.frame(query), check_exact=True)


def test_another_process_folder_and_order_give_the_same(first: Study, tmp_path: Path, image_folder: Path) -> None:
    second = Study(tmp_path, image_folder, list(reversed(METHODS)), [0])
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    words = [sys.executable, "-c", RUN, str(second.grid), str(second.out)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_equal(first, second)


@pytest.mark.fault(
    area="Reproducibility",
    what="a run is interrupted in the middle of every training",
    how="Ctrl-C after some steps of each network, then the same command again, until all is done",
    kept="weights, curves, scores and pictures equal those of an undisturbed run to the last bit",
)
def test_an_interrupted_run_gives_the_same(first: Study, tmp_path: Path, image_folder: Path) -> None:
    third = Study(tmp_path, image_folder, list(METHODS), [0])
    interruptions = 0

    def interrupt(done: int, total: int) -> None:
        if total == STEPS and done < total:
            raise KeyboardInterrupt

    for _ in METHODS:
        try:
            go(third.grid, third.place, listener=Silent(interrupt))
        except KeyboardInterrupt:
            interruptions += 1
            assert len(list((third.out / "cache" / "checkpoints").iterdir())) == 1
    go(third.grid, third.place)
    assert interruptions == len(METHODS)
    assert_equal(first, third)


def test_another_seed_gives_other_weights(first: Study, tmp_path: Path, image_folder: Path) -> None:
    other = Study(tmp_path, image_folder, ["nlsn"], [1])
    go(other.grid, other.place)
    assert other.weights(seed=1)["nlsn"] != first.weights()["nlsn"]
    assert psnrs(other).isdisjoint(psnrs(first))
