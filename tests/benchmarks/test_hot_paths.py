"""Benchmarks of the attentions and of the paths that the harness takes most.

`pytest tests/benchmarks --benchmark-enable` times them. In a plain test run each is called once and its result checked.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pytest_benchmark.fixture import BenchmarkFixture

import datasets
import methods
from datasets.cache import DecodedSet, decoded
from datasets.patches import Batch, PatchSource
from datasets.sets import Pair, read_image
from harness.metrics import psnr, scores, ssim
from harness.records import Outcome, Record, Status, Task
from harness.store import Store, Wanted
from reports.page import write_report
from tests.stores import make_store

LARGE = (1356, 2040, 3)
"""An image of DIV2K."""
PATCH = 48


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, LARGE, dtype=np.uint8)


@pytest.mark.parametrize(("name", "settings"), [("nla", {}), ("nla", {"backend": "fused"}), ("nlsa", {})], ids=str)
def test_attention_forward(benchmark: BenchmarkFixture, name: str, settings: dict[str, str]) -> None:
    module = methods.build_attention(name, 64, **settings).eval()
    x = torch.rand(1, 64, 48, 48)
    with torch.inference_mode():
        y = benchmark(module, x)
    assert y.shape == x.shape


resizings = pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 2, 3], ids="x{:.2f}".format)


@resizings
def test_imresize(benchmark: BenchmarkFixture, image: np.ndarray, scale: float) -> None:
    benchmark.group = f"imresize x{scale:.2f}"
    assert benchmark(datasets.imresize, image, scale).shape == (round(1356 * scale), round(2040 * scale), 3)


@resizings
def test_imresize_of_pillow(benchmark: BenchmarkFixture, image: np.ndarray, scale: float) -> None:
    """Beside `test_imresize`, which should not take longer than twice this."""
    benchmark.group = f"imresize x{scale:.2f}"
    size = (round(2040 * scale), round(1356 * scale))
    assert benchmark(Pillow.fromarray(image).resize, size, Pillow.Resampling.BICUBIC).size == size


def test_metrics(benchmark: BenchmarkFixture, image: np.ndarray) -> None:
    noisy = np.bitwise_xor(image, 1)
    assert benchmark(lambda: (psnr(noisy, image, crop=2), ssim(noisy, image, crop=2)))[0] > 40


def test_scores(benchmark: BenchmarkFixture, image: np.ndarray) -> None:
    assert benchmark(scores, np.bitwise_xor(image, 1), image, crop=2).psnr_y > 40


class DecodedAtEachUse:
    """The pairs of a set as PNG files, decoded whenever one is asked for: what patches cost without the cache."""

    def __init__(self, images: DecodedSet, folder: Path) -> None:
        self.files = []
        for pair in images.pairs:
            files = [folder / f"{pair.name}-{size}.png" for size in ("hr", "lr")]
            for file, image in zip(files, (pair.hr, pair.lr), strict=True):
                Pillow.fromarray(image).save(file)
            self.files.append((pair.name, *files))

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Pair]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Pair:
        name, hr, lr = self.files[index]
        return Pair(name, read_image(hr), read_image(lr))


@pytest.fixture(scope="module", params=[2, 3, 4], ids="x{}".format)
def cached(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DecodedSet:
    return decoded(datasets.load("builtin-train", request.param), tmp_path_factory.mktemp("cache"))


def time_patches(benchmark: BenchmarkFixture, images: DecodedSet) -> Batch:
    """Time batches, each of another step so that none is found in the processor's cache; the first is returned."""
    source = PatchSource(images=images, patch=PATCH, batch=16, seed=0)
    steps = itertools.count()
    benchmark.group = f"patches x{images.scale}"
    benchmark(lambda: source.at(next(steps)))
    if benchmark.stats:
        benchmark.extra_info["pairs_per_s"] = round(source.batch / benchmark.stats["median"])
    return source.at(0)


def test_patch_loading(benchmark: BenchmarkFixture, cached: DecodedSet) -> None:
    batch = time_patches(benchmark, cached)
    assert batch.lr.shape == (16, PATCH, PATCH, 3)
    assert batch.hr.shape == (16, cached.scale * PATCH, cached.scale * PATCH, 3)


def test_patch_loading_by_decoding(benchmark: BenchmarkFixture, cached: DecodedSet, tmp_path: Path) -> None:
    """Beside `test_patch_loading`: the same patches, each from two PNG files that are decoded for it."""
    on_disk = dataclasses.replace(cached, pairs=DecodedAtEachUse(cached, tmp_path))
    batch = time_patches(benchmark, on_disk)
    expected = PatchSource(images=cached, patch=PATCH, batch=16, seed=0).at(0)
    np.testing.assert_array_equal(batch.lr, expected.lr)
    np.testing.assert_array_equal(batch.hr, expected.hr)


def test_store_writes(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.sqlite"))
    task = Task(kind="profile", key="k", spec={})
    run = {"grid_name": "g", "grid": "", "command": "", "commit_id": "", "dirty": 0, "versions": "{}"}
    run_id = store.begin_run(run, {}, [Wanted(cell="c", cell_spec={}, label="l", task=task)])
    records = tuple(Record(metric="forward_s", value=float(i), repeat=i) for i in range(1000))
    outcome = Outcome(task=task, status=Status.DONE, seconds=1.0, records=records)
    benchmark(store.write, run_id, outcome)
    assert store.frame("SELECT COUNT(*) AS n FROM record")["n"][0] >= len(records)
    store.close()


def test_report(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    store, run_id = make_store(tmp_path / "store.sqlite")
    summary = benchmark(write_report, store, run_id, tmp_path / "page.html")
    assert summary.path.stat().st_size > 0
    store.close()
