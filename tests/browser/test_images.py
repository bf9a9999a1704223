"""Pictures as Chromium shows them: crops beside their box, two images on each other, without scripts a plain list."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from reports.frames import load
from reports.images import GAIN
from reports.page import write_page
from tests.reports.scenes import larger, rebuilt, truth
from tests.stores import Plan, make_store

Open = Callable[..., Any]


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same run as one file and as a folder."""
    folder = tmp_path_factory.mktemp("images")
    with larger():
        frames = load(make_store(folder / "store.db", Plan(sizes=()))[0])
    one, beside = folder / "report.html", folder / "a folder" / "index.html"
    return {"one": write_page(frames, one).path, "folder": write_page(frames, beside, beside=True).path}


@pytest.fixture
def opened(chromium: Any, pages: dict[str, Path]) -> Iterator[Open]:
    contexts = []

    def open_page(which: str = "one", width: int = 1600, *, scripts: bool = True) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 900}, java_script_enabled=scripts)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(pages[which].as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


def views_of(page: Any) -> Any:
    views = page.locator("details.views")
    views.locator("summary").press("Enter")  # a click could miss it while tables above are laid out
    views.locator(".stage").wait_for()
    return views


def shown(views: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The stage pixel by pixel, moved to where no fraction of a pixel blurs it."""
    views.get_by_role("combobox", name="Enlarged", exact=True).select_option("1 times")
    stage = views.locator(".stage")
    stage.locator("img").last.evaluate("(image) => image.decode()")
    stage.evaluate("(s) => Object.assign(s.style, { position: 'fixed', inset: '0 auto auto 0', zIndex: 1 })")
    picture = Pillow.open(io.BytesIO(stage.screenshot()))
    stage.evaluate("(s) => Object.assign(s.style, { position: '', inset: '', zIndex: '' })")
    return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("which", ["one", "folder"])
def test_pictures_load_in_one_file_and_beside_it_and_nobody_complains(opened: Open, which: str) -> None:
    page = opened(which)
    views_of(page)
    page.locator("details.errors summary").click()
    widths = page.evaluate("""() => Promise.all([...document.images].filter((i) => i.checkVisibility()).map((image) => {
      image.loading = "eager";
      return image.decode().then(() => image.naturalWidth);
    }))""")
    assert len(widths) > 10
    assert all(widths)
    assert page.complaints == []


@pytest.mark.parametrize("width", [320, 400, 1600])
def test_full_size_never_makes_the_document_wider(opened: Open, width: int) -> None:
    page = opened(width=width)
    views_of(page).get_by_role("combobox", name="Enlarged", exact=True).select_option("4 times")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_whole_image_stands_beside_its_crops_or_above_them(opened: Open) -> None:
    places = """() => [...document.querySelectorAll(".scene.boxed > .strip")].map((strip) => {
      const box = strip.getBoundingClientRect();
      return [box.left, box.right, box.top, box.bottom];
    })"""
    whole, crops = opened(width=1600).evaluate(places)
    assert whole[1] < crops[0]
    assert whole[2] == pytest.approx(crops[2], abs=1)
    whole, crops = opened(width=400).evaluate(places)
    assert whole[3] < crops[2]


def test_the_keyboard_switches_between_methods(opened: Open) -> None:
    page = opened()
    views = views_of(page)
    views.get_by_role("radio", name="First alone").check()
    views.get_by_role("combobox", name="First", exact=True).focus()
    seen = []
    for _ in range(5):
        seen.append(views.locator("[role=status]").inner_text().partition(",")[0])
        page.keyboard.press("ArrowUp")
    assert seen == ["NLSN", "NLN fused", "NLN", "EDSR", "Bicubic"]
    np.testing.assert_array_equal(shown(views), truth())


def test_a_line_parts_two_images_and_moves(opened: Open) -> None:
    page = opened()
    views = views_of(page)
    views.get_by_role("combobox", name="First", exact=True).select_option("EDSR")
    views.get_by_role("combobox", name="Second", exact=True).select_option("NLN")
    line = views.get_by_role("slider", name="Line")
    line.focus()
    for share, key in ((0.5, None), (1.0, "End"), (0.0, "Home")):
        if key:
            page.keyboard.press(key)
        at = round(share * 192)
        found = shown(views)
        np.testing.assert_array_equal(found[:, : max(0, at - 4)], rebuilt("EDSR")[:, : max(0, at - 4)])
        np.testing.assert_array_equal(found[:, at + 4 :], rebuilt("NLN")[:, at + 4 :])


def test_a_difference_is_as_bright_as_it_says(opened: Open) -> None:
    views = views_of(opened())
    views.get_by_role("combobox", name="First", exact=True).select_option("EDSR")
    views.get_by_role("combobox", name="Second", exact=True).select_option("NLN")
    views.get_by_role("radio", name="Difference").check()
    distance = np.abs(rebuilt("EDSR").astype(int) - rebuilt("NLN"))
    expected = (GAIN * distance).clip(0, 255)
    np.testing.assert_allclose(shown(views).astype(int), expected, atol=1)
    assert expected.max() == 255
    assert f"{GAIN} times as bright" in views.locator("[role=status]").inner_text()


def test_what_a_way_of_showing_does_not_need_is_hidden(opened: Open) -> None:
    views = views_of(opened())
    seen = {}
    for mode in ("First alone", "Both, at a line", "Difference"):
        views.get_by_role("radio", name=mode).check()
        second, line = (
            views.get_by_role("combobox", name="Second", exact=True),
            views.get_by_role("slider", name="Line"),
        )
        seen[mode] = [second.is_visible(), line.is_visible()]
    assert seen == {"First alone": [False, False], "Both, at a line": [True, True], "Difference": [True, False]}


def test_without_scripts_all_images_stand_in_a_list(opened: Open) -> None:
    page = opened(scripts=False)
    page.locator("details.views summary").press("Enter")  # as in views_of
    page.locator("details.views figure img").last.wait_for()
    assert page.locator("details.views figure img:visible").count() == 6
    assert page.locator("details.views select").count() == 0
