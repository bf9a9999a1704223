"""The first study: its grids are those that ran, what is told of it is what its store gives, and it is small."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.grid import read_grid
from harness.store import Store
from reports.frames import load
from reports.table_files import choose
from reports.tables import Row

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "studies" / "equal-budget"
PLACES = re.compile(rb"/(home|root|tmp|work|Users)/")
RAN = ("quality.toml", "cost-attention.toml", "cost-networks.toml")
MAIN = "Set14 ×2, chop: attention beside none"  # noqa: RUF001 - as printed
KEYS = ("psnr_y", "difference", "interval", "verdict", "macs", "forward_s")


@pytest.fixture(scope="module")
def content() -> bytes:
    return gzip.decompress((STUDY / "store.sqlite.gz").read_bytes())


@pytest.fixture(scope="module")
def store(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    file = tmp_path_factory.mktemp("study") / "store.sqlite"
    file.write_bytes(content)
    opened = Store(str(file))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def rows(store: Store) -> dict[str, Row]:
    """Of the main table, by network."""
    run = store.frame("SELECT id FROM run WHERE grid_name = 'equal budget' ORDER BY started_at")["id"].iloc[-1]
    tables = [each.table for each in choose(load(store, run), ["twins"]).tables]
    (table,) = [table for table in tables if table.caption.startswith(MAIN)]
    return {row.head: row for row in table.rows}


def test_the_grids_are_those_that_ran_from_commits(store: Store) -> None:
    runs = store.frame("SELECT grid, dirty FROM run")
    assert {(STUDY / name).read_text(encoding="utf-8") for name in RAN} <= set(runs["grid"])
    assert not runs["dirty"].any()


def test_the_grid_for_a_gpu_asks_the_same_of_larger_networks() -> None:
    ours, larger = read_grid(STUDY / "quality.toml"), read_grid(STUDY / "gpu.toml")
    assert [(m.name, m.label) for m in ours.methods] == [(m.name, m.label) for m in larger.methods]
    assert (ours.scale, ours.seeds, ours.evaluate.data) == (larger.scale, larger.seeds, larger.evaluate.data)


@pytest.mark.parametrize("page", [ROOT / "README.md", STUDY / "README.md"], ids=lambda page: page.parent.name)
def test_the_main_table_is_that_of_the_store(rows: dict[str, Row], page: Path) -> None:
    block = page.read_text(encoding="utf-8").partition("<!-- results of the study -->")[2].strip().partition("\n\n")[0]
    printed = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]
    assert len(printed) > 8
    for head, *cells in printed:
        assert cells == [rows[head].entries[key].text for key in KEYS], head


def test_it_is_small_and_names_no_place_of_its_machine(content: bytes) -> None:
    assert sum(file.stat().st_size for file in STUDY.iterdir()) < 12e6
    assert (STUDY / "store.sqlite.gz").stat().st_size < 10e6
    assert not PLACES.search(content)
    for file in STUDY.glob("*.[hmt]*"):
        assert not PLACES.search(file.read_bytes()), file.name
