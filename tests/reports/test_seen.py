"""Figures are drawn for who looks at them, once, and for nobody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reports.frames import load
from reports.page import page_content, rendered
from reports.seen import Ordered, when_seen
from reports.svg import Figure, drawn_for, printed
from tests.pages import ROOT
from tests.stores import make_store

DRAWN = Figure(name="a", caption="b", alt="c", svg="<svg/>")


@pytest.fixture
def drawings() -> list[str]:
    return []


def test_a_figure_is_drawn_at_the_first_look_and_once(drawings: list[str]) -> None:
    @when_seen
    def draw(what: str, *, how: str) -> Figure:
        drawings.append(f"{what} {how}")
        return DRAWN

    figure = draw("lines", how="dotted")
    assert drawings == []
    assert (figure.name, figure.caption, figure.alt, figure.svg) == ("a", "b", "c", "<svg/>")
    assert isinstance(figure, Figure)
    assert drawings == ["lines dotted"]


def test_what_goes_wrong_in_drawing_is_told_at_each_look() -> None:
    @when_seen
    def draw() -> Figure:
        raise ZeroDivisionError

    figure = draw()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            _ = figure.svg


def test_for_paper_it_is_drawn_at_once(drawings: list[str]) -> None:
    @when_seen
    def draw() -> Figure:
        drawings.append("drawn")
        return DRAWN

    with drawn_for(printed(4.0, 1.0, lambda *_: None)):
        draw()
    assert drawings == ["drawn"]


def test_a_copy_asks_for_nothing_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="_repr_html_"):
        Ordered(lambda: DRAWN)._repr_html_  # noqa: B018


def test_tables_of_a_run_load_no_drawing_library(tmp_path: Path) -> None:
    make_store(tmp_path / "store.sqlite")[0].close()
    code = (
        "import sys, pathlib; from reports.frames import load; from harness.store import Store\n"
        "from reports.table_files import choose\n"
        f"tables = choose(load(Store({str(tmp_path / 'store.sqlite')!r}), None)).tables\n"
        "print(len(tables) > 5, [m for m in ('matplotlib', 'seaborn', 'scipy.stats') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("True []\n", "", 0)


def test_a_page_shows_them(tmp_path: Path) -> None:
    content = page_content(load(make_store(tmp_path / "store.sqlite")[0]))
    figures = [figure for part in content["quality"] for figure in part["figures"]]
    assert figures
    assert all(type(figure) is Ordered for figure in figures)
    page = rendered("page.html", content | {"crops": [], "left_out": 0, "sources": "data:", "gain": 1})
    assert all(figure.svg in page for figure in figures)
