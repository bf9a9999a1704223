"""Benchmarks of what the harness adds to the work of the networks: starting, planning, a cell, the store, scoring.

`pytest tests/benchmarks --benchmark-enable` times them; the column to look at is told by each test. In a plain test run
each is called once, on less, and its result checked.
"""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pytest_benchmark.fixture import BenchmarkFixture

import datasets
import methods
from datasets.resize import Image, imresize
from datasets.sets import ImageSet, Pair
from harness import pictures
from harness.answers import answer
from harness.evaluate import evaluate
from harness.isolate import start_server
from harness.metrics import scores
from harness.place import Place
from harness.progress import Quiet
from harness.records import Outcome, Record, Status, Task
from harness.run import prepare
from harness.store import Store, Wanted
from tests.conftest import WriteGrid

ROOT = Path(__file__).parents[2]
URBAN = (768, 1020)
"""Height and width of an image of Urban100, whole at scales 2, 3 and 4."""
HOW = {"tiling": "whole", "precision": "fp32", "self_ensemble": False, "hash_seed": 0, "perceptual": [], "at": {}}
SMALL = {"n_feats": 16, "n_resblocks": 2}
CELLS, FEW_CELLS = 1000, 20
scales = pytest.mark.parametrize("scale", [2, 3, 4], ids="x{}".format)


def test_help(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "starting"
    command = [sys.executable, "run_all.py", "--help"]
    assert benchmark(subprocess.run, command, cwd=ROOT, capture_output=True, check=True).stdout


class Unheard(Quiet):
    """A listener to whom nothing is told, so that nothing is estimated."""

    def __init__(self) -> None:
        """Nothing to print to."""

    def begin(self, *_: object) -> None:
        """Nothing."""

    ended = begin


def test_cell(benchmark: BenchmarkFixture, write_grid: WriteGrid, tmp_path: Path) -> None:
    """A trivial cell, process and store included; `overhead_s` is what lies beyond the seconds of its tasks."""
    benchmark.group = "a cell"
    grid, numbers, overheads = write_grid("edsr", tables="settings = { n_feats = 4, n_resblocks = 1 }"), [], []
    start_server()
    folders = itertools.count()

    def cell() -> list[Outcome]:
        run = prepare(grid, Place.of(tmp_path / str(next(folders)), device="cpu", threads=2))
        run_id, started = run.begin(), time.perf_counter()
        outcomes = run.proceed(run_id, Unheard())
        overheads.append(time.perf_counter() - started - sum(outcome.seconds for outcome in outcomes))
        numbers.append(len(run.store.measurements(run_id)))
        run.store.close()
        return outcomes

    outcomes = benchmark(cell)
    benchmark.extra_info["overhead_s"] = round(sorted(overheads)[len(overheads) // 2], 3)
    assert {outcome.status for outcome in outcomes} == {Status.DONE}
    assert set(numbers) == {sum(len(outcome.records) for outcome in outcomes)}


def test_planning(benchmark: BenchmarkFixture, write_grid: WriteGrid, place: Place) -> None:
    """A thousand cells: two networks, of which one has attention, with many seeds each."""
    benchmark.group = "planning"
    seeds = list(range((CELLS if benchmark.enabled else FEW_CELLS) // 2))
    grid = write_grid("edsr", "nlsn", top=f"seeds = {seeds}", tables="[trunk]\nn_feats = 8\nn_resblocks = 2")
    run = benchmark.pedantic(prepare, (grid, place), {"dry": True}, rounds=3 if benchmark.enabled else 1)
    assert len({cell.key for cell in run.cells}) == 2 * len(seeds)


@pytest.mark.parametrize("count", [10, 100, 1000])
def test_store_writes(benchmark: BenchmarkFixture, tmp_path: Path, count: int) -> None:
    """Attempts of so many records; `records_per_s` is to be 20,000 or more."""
    benchmark.group = "store, writing"
    store, run_id, outcome = _store_and_outcome(tmp_path, count)
    benchmark(store.write, run_id, outcome)
    _note_rate(benchmark, count)
    assert len(store.measurements(run_id)) % count == 0
    store.close()


def test_store_reads(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    benchmark.group = "store, reading"
    store, run_id, outcome = _store_and_outcome(tmp_path, 1000)
    attempts = 20 if benchmark.enabled else 1
    for _ in range(attempts):
        store.write(run_id, outcome)
    frame = benchmark(store.measurements, run_id)
    _note_rate(benchmark, 1000 * attempts)
    assert list(frame["value"][:1000]) == [record.value for record in outcome.records]
    store.close()


def _store_and_outcome(folder: Path, count: int) -> tuple[Store, str, Outcome]:
    store, task = Store(str(folder / "store.sqlite")), Task(kind="evaluate", key="k", spec={})
    run = {"grid_name": "g", "grid": "", "command": "", "commit_id": "", "dirty": 0, "versions": "{}"}
    run_id = store.begin_run(run, {}, [Wanted(cell="c", cell_spec={}, label="l", task=task)])
    records = tuple(Record(metric="psnr_y", value=i / 7, dataset="d", image=f"{i:04}") for i in range(count))
    return store, run_id, Outcome(task=task, status=Status.DONE, seconds=1.0, records=records)


def _note_rate(benchmark: BenchmarkFixture, count: int) -> None:
    if benchmark.stats:
        benchmark.extra_info["records_per_s"] = round(count / benchmark.stats["median"])


@pytest.fixture(scope="module")
def photograph() -> Image:
    """Urban100's size, of what a photograph and its mirror images show."""
    image, (height, width) = next(iter(datasets.load("builtin-test", 1))).hr, URBAN
    rows, columns = (max(0, side - have) for side, have in zip(URBAN, image.shape, strict=False))
    return np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="symmetric")[:height, :width]


@pytest.fixture(scope="module")
def folder(photograph: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("urban")
    for number in range(3):
        Pillow.fromarray(np.roll(photograph, 97 * number, axis=1)).save(made / f"{number}.png")
    return made


def pair_of(folder: Path, scale: int) -> tuple[Pair, Image]:
    """An image, and its bicubic enlargement in a network's stead."""
    pair = next(iter(datasets.load(str(folder), scale)))
    return pair, imresize(pair.lr, scale)


@scales
def test_forward(benchmark: BenchmarkFixture, folder: Path, scale: int) -> None:
    """A small network, beside which all else of the group is to be short."""
    benchmark.group = f"evaluation x{scale}"
    pair, _ = pair_of(folder, scale)
    network = methods.build_network("edsr", scale, **SMALL)
    assert benchmark(answer, network, pair, scale, HOW, "cpu").shape == pair.hr.shape


@scales
def test_decoding_and_shrinking(benchmark: BenchmarkFixture, folder: Path, scale: int) -> None:
    benchmark.group = f"evaluation x{scale}"
    images = datasets.load(str(folder), scale)
    assert benchmark(images.pair, images.files[0]).hr.shape == (*URBAN, 3)


@scales
def test_scores(benchmark: BenchmarkFixture, folder: Path, scale: int) -> None:
    benchmark.group = f"evaluation x{scale}"
    pair, sr = pair_of(folder, scale)
    assert 15 < benchmark(scores, sr, pair.hr, crop=scale).psnr_y < 60


@scales
def test_keeping(benchmark: BenchmarkFixture, folder: Path, scale: int) -> None:
    """Of the few images that the page shows."""
    benchmark.group = f"evaluation x{scale}"
    pair, sr = pair_of(folder, scale)
    kept = {artifact.name: artifact.content for artifact in benchmark(pictures.kept, pair, sr, "urban", scale)}
    top, left = (scale * corner for corner in json.loads(kept["place"])["corner"])
    part = np.asarray(Pillow.open(io.BytesIO(kept["sr"])))
    np.testing.assert_array_equal(part, sr[top:, left:][: part.shape[0], : part.shape[1]])


class Waits(torch.nn.Module):
    """A network that takes its time elsewhere, as one on a GPU does: the processor is free meanwhile."""

    def __init__(self, scale: int, seconds: float) -> None:
        super().__init__()
        self.scale, self.seconds = scale, seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return torch.nn.functional.interpolate(x, scale_factor=self.scale)


@scales
def test_evaluation_beside_a_busy_gpu(benchmark: BenchmarkFixture, folder: Path, scale: int) -> None:
    """Three images, none kept, by a network of a fifth of a second: more than 0.6 s is what the harness adds."""
    benchmark.group = "evaluation beside a GPU"
    images: ImageSet = datasets.load(str(folder), scale)
    network = Waits(scale, 0.2 if benchmark.enabled else 0.0)
    records, artifacts = benchmark(evaluate, network, images, {**HOW, "crops": 0}, "cpu", lambda *_: None)
    assert [record.image for record in records if record.metric == "ssim_y"] == ["0", "1", "2"]
    assert artifacts == ()
