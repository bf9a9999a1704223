"""Benchmarks of the page of a run of ten thousand records, part by part.

`pytest tests/benchmarks --benchmark-enable` times them. In a plain test run each is called once and its result checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.store import Store
from reports.frames import Frames, load
from reports.page import page_content, rendered, write_report
from tests.stores import BICUBIC, EDSR, FUSED, NLN, Plan, Variant, make_store

RECORDS, CELLS = 10_000, 60
SETS = {
    "pier": tuple(f"view {i:02d}" for i in range(12)),
    "tiles": tuple(f"tile {i}" for i in range(5)),
    "alley": tuple(f"yard {i}" for i in range(4)),
}


def variants() -> list[Variant]:
    """Two networks without attention, dense attention twice, and sixteen settings of hashing, three seeds of each."""
    hashed = [
        Variant(
            label=f"NLSN {rounds} x {chunk}",
            method="nlsn",
            psnr=29.3 + 0.05 * rounds - 0.001 * chunk,
            wobble=0.1 * rounds - 0.2,
            exponent=1.0,
            factor=2e-6 * rounds,
            settings={"n_hashes": rounds, "chunk_size": chunk},
        )
        for rounds in (1, 2, 4, 8)
        for chunk in (36, 72, 144, 288)
    ]
    return [BICUBIC, EDSR, NLN, FUSED, *hashed]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Several sets, curves of training, and profiles at four sizes of sixty cells."""
    plan = Plan(variants=variants(), seeds=(0, 1, 2), sets=SETS, steps=20)
    made, _ = make_store(tmp_path_factory.mktemp("many") / "store.sqlite", plan)
    yield made
    made.close()


@pytest.fixture(scope="module")
def frames(store: Store) -> Frames:
    return load(store)


def test_load(benchmark: BenchmarkFixture, store: Store) -> None:
    found = benchmark(load, store)
    assert len(found.records) >= RECORDS
    assert found.tasks["cell_id"].nunique() == CELLS


def test_content(benchmark: BenchmarkFixture, frames: Frames) -> None:
    """What tables and figures for papers wait for as well."""
    content = benchmark(page_content, frames)
    assert len(content["quality"]) == len(SETS)


def test_rendering(benchmark: BenchmarkFixture, frames: Frames) -> None:
    content = page_content(frames) | {"crops": [], "left_out": 0, "sources": "data:", "gain": 1}
    assert "</html>" in benchmark(rendered, "page.html", content)


def test_page(benchmark: BenchmarkFixture, store: Store, tmp_path: Path) -> None:
    """All of it, from the store to the file; an interpreter's start with its imports is not in it."""
    summary = benchmark(write_report, store, None, tmp_path / "page.html")
    assert len(summary.findings) > 1
