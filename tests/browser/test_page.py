"""The page as Chromium shows it: alone, quiet, within the width of a phone, readable by day and by night."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.records import Status
from reports.page import write_report
from tests.stores import SETS, Plan, make_store

Open = Callable[..., Any]
AA_TEXT, AA_GRAPHICS = 4.5, 3.0

COLOURS = """(selector) => [...document.querySelectorAll(selector)].filter((e) =>
  e.checkVisibility()).map((element) => {
  const style = getComputedStyle(element);
  let under = element;
  while (under && getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)") under = under.parentElement;
  const over = element.closest("svg") ? style.fill : style.color;
  return [over, getComputedStyle(under ?? document.body).backgroundColor, element.textContent.trim().slice(0, 30)];
})"""

SERIES = """() => [...document.querySelectorAll("svg use, svg path")].flatMap((e) => {
  const style = getComputedStyle(e);
  return /series/.test(e.getAttribute("style") ?? "") ? [style.fill, style.stroke] : [];
}).filter((colour) => colour.startsWith("rgb("))"""


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    fails = {("NLN", "profile", "192x192"): (Status.OUT_OF_MEMORY, "needs 5.4 GB, 4 GB are free")}
    plan = Plan(sets=SETS, seeds=(0, 1), scales=(2, 4), fails=fails, unfinished=3)
    return write_report(*make_store(folder / "store.db", plan), folder / "report.html").path


@pytest.fixture
def opened(chromium: Any, report: Path) -> Iterator[Open]:
    """Opens the page; the returned page carries what it asked for and what it complained about."""
    contexts = []

    def open_page(width: int = 1600, scheme: str = "light", *, scripts: bool = True) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts
        )
        contexts.append(context)
        page = context.new_page()
        page.requests, page.complaints = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(report.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


def luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_wcag_does() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21.0)
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.01)


def test_nothing_but_the_page_is_asked_for(opened: Open, report: Path) -> None:
    page = opened()
    page.mouse.wheel(0, 20000)
    page.wait_for_timeout(200)
    assert [url for url in page.requests if not url.startswith("data:")] == [report.as_uri()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_console_stays_empty(opened: Open, scheme: str) -> None:
    assert opened(scheme=scheme).complaints == []


@pytest.mark.parametrize("width", [320, 400, 800, 1600])
def test_the_document_never_scrolls_sideways(opened: Open, width: int) -> None:
    page = opened(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_picture_loads_and_has_words_and_its_own_sides(opened: Open) -> None:
    pictures = opened().evaluate("""() => Promise.all([...document.images].map((image) => {
      image.loading = "eager";
      return image.decode().then(() => [image.naturalWidth, image.naturalHeight, image.getAttribute("width"),
                                        image.getAttribute("height"), image.alt]);
    }))""")
    assert len(pictures) == 4 * (7 + 5 + 6)
    assert all(words and [wide, high] == [int(width), int(height)] for wide, high, width, height, words in pictures)


def test_low_resolution_crops_are_enlarged_without_smoothing(opened: Open) -> None:
    page = opened()
    assert page.evaluate("getComputedStyle(document.querySelector('img.pixelated')).imageRendering") == "pixelated"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_page(opened: Open, scheme: str) -> None:
    page = opened(scheme=scheme)
    found = page.evaluate(
        COLOURS, "p, li, dt, dd, th, td, caption, a, figcaption, summary, code, h1, h2, .note, .unit, svg text"
    )
    assert len(found) > 300
    weak = [(text, over, under) for over, under, text in found if contrast(over, under) < AA_TEXT]
    assert weak == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_and_markers_stand_out_from_the_page(opened: Open, scheme: str) -> None:
    page = opened(scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    series = set(page.evaluate(SERIES)) - {ground}
    assert len(series) >= 4
    assert [colour for colour in series if contrast(colour, ground) < AA_GRAPHICS] == []


def test_day_and_night_differ(opened: Open) -> None:
    grounds = [
        opened(scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert luminance(grounds[0]) > 0.8
    assert luminance(grounds[1]) < 0.1


def test_labels_in_figures_do_not_overlap(opened: Open) -> None:
    overlaps = opened().evaluate("""() => [...document.querySelectorAll("figure > svg")].flatMap((svg) => {
      const boxes = [...svg.querySelectorAll("text")].map((t) => [t.textContent, t.getBoundingClientRect()]);
      return boxes.flatMap(([a, p], i) => boxes.slice(0, i).filter(([, q]) =>
        p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 2 && q.top < p.bottom - 2
      ).map(([b]) => [a, b]));
    })""")
    assert overlaps == []


def test_text_in_figures_stays_inside_them(opened: Open) -> None:
    cut = opened(400).evaluate("""() => [...document.querySelectorAll("figure > svg")].flatMap((svg) => {
      const frame = svg.getBoundingClientRect();
      return [...svg.querySelectorAll("text")].filter((t) => {
        const box = t.getBoundingClientRect();
        return box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
      }).map((t) => t.textContent);
    })""")
    assert cut == []


def test_the_keyboard_reaches_the_content_and_sorts_a_column(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    head = page.locator("table.sortable th button", has_text="Forward").first
    table = page.locator("table.sortable", has_text="Forward").first

    def values() -> list[float]:
        return table.evaluate("(t) => [...t.tBodies[0].rows].map((r) => Number(r.cells[3].dataset.value ?? 'NaN'))")

    head.focus()
    page.keyboard.press("Enter")
    ascending = values()
    assert ascending[:4] == sorted(ascending[:4])
    assert ascending[4] != ascending[4]
    page.keyboard.press("Enter")
    assert values()[:4] == sorted(ascending[:4], reverse=True)
    assert table.locator("th[aria-sort=descending]").count() == 1


def test_the_page_is_complete_without_scripts(opened: Open) -> None:
    page = opened(scripts=False)
    assert page.locator("table").count() > 10
    assert page.locator("th button").count() == 0
    assert page.locator("figure > svg").count() >= 15


def test_a_long_table_shows_only_rows_with_the_words_asked_for(opened: Open) -> None:
    page = opened()
    field = page.locator(".filter input").first
    table = page.locator(".filter + .scroll table").first
    rows, shown = "(t) => t.tBodies[0].rows.length", "(t) => [...t.tBodies[0].rows].filter((r) => r.checkVisibility())"
    whole = table.evaluate(rows)
    assert whole > 8
    field.fill("nlsn")
    texts = table.evaluate(f"(t) => ({shown})(t).map((r) => r.textContent)")
    assert 0 < len(texts) < whole
    assert all("nlsn" in text.lower() for text in texts)
    field.fill("")
    assert len(table.evaluate(f"(t) => ({shown})(t).map((r) => r.textContent)")) == whole


@pytest.mark.parametrize("link", ["a.records", "[data-value]"])
def test_names_and_figures_lead_to_their_attempts(opened: Open, link: str) -> None:
    page = opened()
    first = page.locator("tr.led").first
    target = page.locator(first.locator("a.records").get_attribute("href"))
    assert not target.is_visible()
    first.locator(link).first.click()
    assert target.is_visible()
    assert target.locator("tbody tr").count() > 0


def test_without_scripts_names_lead_to_their_attempts(opened: Open) -> None:
    page = opened(scripts=False)
    link = page.locator("a.records").first
    link.click()
    assert page.locator(link.get_attribute("href")).is_visible()
    assert page.locator("tr.led [data-value]").first.evaluate("(e) => getComputedStyle(e).cursor") != "pointer"


def test_a_figure_that_is_being_copied_leads_nowhere(opened: Open) -> None:
    page = opened()
    page.locator("tr.led > [data-value]").first.dblclick()
    assert page.evaluate("getSelection().toString()") != ""


def test_every_section_is_where_its_link_leads(opened: Open) -> None:
    page = opened(400)
    for link in page.locator("nav a").all():
        link.evaluate("(e) => e.click()")
        page.wait_for_timeout(100)
        assert abs(page.locator(link.get_attribute("href")).evaluate("(e) => e.getBoundingClientRect().top")) < 2


def test_findings_lead_to_what_they_rest_on(opened: Open) -> None:
    page = opened()
    anchors = page.evaluate("[...document.querySelectorAll('.findings a')].map((a) => a.getAttribute('href'))")
    assert anchors == ["#q0", "#c0", "#c0"]
    assert all(page.locator(anchor).count() == 1 for anchor in anchors)


def test_a_print_holds_whole_tables_and_nothing_to_press(opened: Open) -> None:
    page = opened(800)
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.locator(".filter:visible").count() == 0
    clipped = page.evaluate("[...document.querySelectorAll('.scroll')].map((e) => getComputedStyle(e).overflowX)")
    assert set(clipped) == {"visible"}
    assert luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) > 0.99
    assert len(page.pdf()) > 10_000
