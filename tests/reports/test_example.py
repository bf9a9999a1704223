"""The example study in the documentation: its page is what its store gives; it is small and names no place."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.store import Store
from reports.figure_files import write_figures
from reports.frames import load
from reports.page import write_report
from reports.table_files import choose

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "example"
PAGE, STORE = EXAMPLE / "report.html", EXAMPLE / "store.sqlite"
PLACES = re.compile(rb"/(home|root|tmp|work|Users)/")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A copy: opening a store may bring its tables up to date."""
    copy = shutil.copy(STORE, tmp_path_factory.mktemp("example"))
    opened = Store(str(copy))
    yield opened
    opened.close()


def outline(page: str) -> list[str]:
    """Headings, captions and findings."""
    parts = re.findall(
        r"<h[1-3][^>]*>.*?</h[1-3]>|<caption.*?</caption>|<li>[^<]*<a href=\"#\w+\">Evidence", page, re.DOTALL
    )
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", part)).split()) for part in parts]


def test_the_page_is_what_the_store_gives(store: Store, tmp_path: Path) -> None:
    fresh = write_report(store, None, tmp_path / "report.html").path
    shown = outline(PAGE.read_text(encoding="utf-8"))
    assert shown == outline(fresh.read_text(encoding="utf-8"))
    assert len(shown) > 60


def test_the_grid_beside_it_is_the_one_that_ran(store: Store) -> None:
    runs = store.frame("SELECT grid_name, grid, dirty FROM run ORDER BY started_at").to_dict("records")
    own = [run for run in runs if run["grid_name"] == "example"]
    assert own[-1]["grid"] == (EXAMPLE / "grid.toml").read_text(encoding="utf-8")
    assert not any(run["dirty"] for run in runs), "what ran is in a commit"


def test_every_part_of_a_page_is_in_it() -> None:
    headings = " ".join(outline(PAGE.read_text(encoding="utf-8")))
    for part in ("ablation of NLSN", "pairs", "helps and harms", "Local exponents", "Claims", "Crops"):
        assert part in headings or part in PAGE.read_text(encoding="utf-8"), part


def test_its_tables_and_figures_can_be_written(store: Store, tmp_path: Path) -> None:
    assert {"quality", "ablation", "cost", "race", "claims"} <= {each.name for each in choose(load(store)).tables}
    write_figures(load(store), str(tmp_path / "{name}.svg"))
    assert len(list(tmp_path.glob("*.svg"))) > 10


def test_it_is_small_and_names_no_place_of_its_machine() -> None:
    assert sum(file.stat().st_size for file in EXAMPLE.iterdir()) < 12e6
    for file in EXAMPLE.iterdir():
        assert not PLACES.search(file.read_bytes()), file.name


def test_the_results_in_the_readme_are_those_of_the_example(store: Store) -> None:
    text = (EXAMPLE.parents[1] / "README.md").read_text(encoding="utf-8")
    block = text.partition("<!-- results of the example -->")[2].strip().partition("\n\n")[0]
    printed = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]
    (quality,) = choose(load(store), ["quality"]).tables
    keys = ("psnr_y", "interval", "macs", "forward_s")
    assert printed == [[row.head, *(row.entries[key].text for key in keys)] for row in quality.table.rows]
