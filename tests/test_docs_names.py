"""What the documentation names exists: links, files, commands, keys, figures, sections, and numbers of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

import run_all
from harness import ceilings, grid_reference, inference, metrics, race
from harness.grid import Grid
from harness.grid_tables import TABLES
from harness.profile import clock, cost, kernels
from harness.records import METRICS
from reports import controls, crossover, regimes, scaling
from tests.pages import DOCS, FENCE, LINKED, ROOT

TEMPLATES = ROOT / "reports" / "templates"


def anchors(page: Path) -> set[str]:
    """Those that GitHub gives to headings."""
    heads = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            leads = (page.parent / path).resolve() if path else page
            assert leads.exists(), target
            assert not anchor or anchor in anchors(leads), target


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_pages_and_grids_that_are_named_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:docs|harness|tests|datasets|methods|reports)/[\w./-]+)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_is_listed_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in DOCS.glob("*.md") if f"](docs/{page.name})" not in readme] == []


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    known: Any = typer.main.get_command(run_all.app)
    assert [name for name in known.commands if not re.search(rf"`(python run_all\.py )?{name}\b", readme)] == []


def test_the_reference_of_grids_is_the_one_that_would_be_written() -> None:
    """If this fails, run `python -m harness.grid_reference`."""
    assert grid_reference.PAGE.read_text(encoding="utf-8") == grid_reference.page()


@pytest.mark.parametrize("table", [Grid, *TABLES.values()], ids=lambda table: table.__name__)
def test_every_key_of_a_grid_has_a_meaning(table: Any) -> None:
    keys = table.model_json_schema()["properties"]
    own = {name: key for name, key in keys.items() if table is not Grid or name not in TABLES}
    assert [name for name, key in own.items() if not key.get("description")] == []


def test_every_figure_of_the_store_is_described() -> None:
    told = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    assert [metric for metric in METRICS if f"`{metric}`" not in told] == []


def test_every_section_of_the_report_is_described() -> None:
    told = (DOCS / "reading-the-report.md").read_text(encoding="utf-8")
    included = re.findall(r'include "(\w+\.html)"', (TEMPLATES / "page.html").read_text(encoding="utf-8"))
    texts = [(TEMPLATES / name).read_text(encoding="utf-8") for name in included]
    heads = [head for text in texts for head in re.findall(r'<h2 id="\w+">(.*?)</h2>', text)]
    assert len(heads) > 8
    assert [head for head in heads if f"## {head}\n" not in told and f"**{head}**" not in told] == []


NUMBERS = {
    f"within {clock.TOLERANCE:.0%} of it": "protocols.md",
    f"({clock.RESAMPLES} resamples)": "protocols.md",
    f"or {clock.MAX_SAMPLES} samples ended it": "protocols.md",
    f"batches of {clock.BATCH}, and {clock.LEAST_JUDGED} are needed": "protocols.md",
    f"the median of {clock.CLOCK_SAMPLES} readings": "protocols.md",
    f"the median of {kernels.CALLS} calls": "protocols.md",
    f"up to {cost.MAX_TRACED_POSITIONS:,} positions": "protocols.md",
    f"more than {race.HEADROOM:.0%} of what is free": "protocols.md",
    f"the best of {ceilings.REPEATS}: a matrix product of side {ceilings.SIDE['cpu']:,}": "protocols.md",
    f"(GPU: {ceilings.SIDE['cuda']:,}), a copy of {ceilings.COPY_BYTES['cpu'] >> 20} MiB": "protocols.md",
    f"n spans less than {scaling.ENOUGH_SPAN:.0f} times": "protocols.md",
    f"the interval is wider than {scaling.WIDEST_INTERVAL}": "protocols.md",
    f"differ by more than {regimes.CHANGE} (counts)": "protocols.md",
    f"interval of the change is beyond {regimes.TIME_CHANGE} (times)": "protocols.md",
    f"up to {crossover.REACH:.0f} times the largest size": "protocols.md",
    f"widened by {controls.SLACK}, must hold 1": "protocols.md",
    f"must lie above {controls.LEAST_DENSE}": "protocols.md",
    f"window of {metrics.SSIM_SIDE}x{metrics.SSIM_SIDE} and sigma {metrics.SSIM_SIGMA}": "protocols.md",
    f"half the image and {inference.CHOP_OVERLAP} low-resolution pixels more": "comparing.md",
    "next multiple of {} rows and {} columns".format(*inference.CHOP_MULTIPLES): "comparing.md",
    f"again while one has {inference.CHOP_LIMIT:,} pixels or more": "comparing.md",
}


@pytest.mark.parametrize(("told", "page"), NUMBERS.items())
def test_numbers_of_protocols_are_those_of_the_code(told: str, page: str) -> None:
    text = re.sub(r"\s+", " ", (DOCS / page).read_text(encoding="utf-8"))
    assert told.replace("%", " %") in text
