from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.colors import get_named_colors_mapping
from matplotlib.figure import Figure as Canvas
from PIL import Image

from harness.errors import UserError
from harness.store import Store
from reports.cost import costs
from reports.figure_files import SCALE, inches_of, kind_of, listed, write_figures
from reports.figures import legend, legend_columns, training_figures
from reports.frames import Frames, load
from reports.names import cost_name, growth_name, quality_name, slug
from reports.page import page_content
from reports.palette import LIGHT, looks
from reports.quality import qualities
from reports.svg import INK, PRINTED, Figure, drawing, drawn_for, finished, points, printed, series_colour
from tests.reports.races import frames_of
from tests.stores import NLN, NLSN, Plan, make_store

Make = Callable[..., Frames]
PLAN = Plan(variants=(NLN, NLSN), sizes=("24x24", "48x48"), tilings=("whole", "chop"))
NAMES = [
    *(f"quality-pier-x2{tiling}-{what}" for tiling in ("", "-chop") for what in ("time", "macs")),
    *(f"growth-{what}-x2" for what in ("time", "macs", "memory")),
    "training-x2",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened, _ = make_store(tmp_path_factory.mktemp("figures") / "store.sqlite", PLAN)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def written(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all figures as PDF at the width of a column, and the sentences on them."""
    folder = tmp_path_factory.mktemp("written")
    told = write_figures(load(store), f"{folder}/{{name}}.pdf")
    (folder / "told.txt").write_text("\n".join(told), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def drawn(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One figure in each other kind, at the width of a page."""
    folder = tmp_path_factory.mktemp("drawn")
    files = {kind: folder / f"growth.{kind}" for kind in ("svg", "png")}
    for file in files.values():
        write_figures(load(store), str(file), ["growth-macs-x2"], "text")
    return files


def on_paper(width: float, draw: Callable[[Canvas], None]) -> None:
    """Let `draw` see a finished canvas on paper of `width` inches."""
    with drawn_for(printed(width, SCALE, lambda canvas, _: draw(canvas))), drawing(3.0) as canvas:
        canvas.subplots()
        finished(canvas, "x", name="x", caption="", alt="")


def test_every_figure_of_the_page_is_written_under_a_name_that_tells_what_it_shows(store: Store, written: Path) -> None:
    on_page = sorted(figure.name for figure in figures_of(page_content(load(store))))
    assert on_page == sorted(name for name, _ in listed(load(store)))
    assert on_page == sorted(file.stem for file in written.glob("*.pdf"))
    assert set(NAMES) <= set(on_page)


def figures_of(content: object) -> Iterator[Figure]:
    if isinstance(content, Figure):
        yield content
    elif isinstance(content, dict):
        yield from figures_of(list(content.values()))
    elif isinstance(content, list):
        for each in content:
            yield from figures_of(each)


def test_pdf_has_the_width_of_a_column_and_embeds_truetype(written: Path) -> None:
    for file in written.glob("*.pdf"):
        content = file.read_bytes()
        box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", content)
        assert box is not None
        assert float(box[1]) == pytest.approx(3.33 * 72)
        assert 60 < float(box[2]) < 300
        assert b"/FontFile2" in content
        assert b"/Type3" not in content


def test_pdf_is_drawn_in_the_colours_of_a_light_page_at_8_points(written: Path) -> None:
    content = (written / "training-x2.pdf").read_bytes()
    streams = [_inflated(each) for each in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)]
    text = b"\n".join(streams).decode("latin-1")
    told = re.findall(r"([\d.]+)\s([\d.]+)\s([\d.]+)\s(?:RG|rg)\b", text)
    found = {tuple(round(255 * float(part)) for part in each) for each in told}
    series = {tuple(bytes.fromhex(colour[1:])) for colour in LIGHT}
    grey = {tuple(bytes.fromhex(colour[1:])) for colour in PRINTED.values()}
    assert len(found & series) == 2
    assert found - series - grey <= {(0, 0, 0), (255, 255, 255)}
    assert "8 Tf" in text


def _inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


def test_a_file_says_what_it_shows_and_where_that_is_from(written: Path, drawn: dict[str, Path]) -> None:
    assert b"nlbench: synthetic, run " in (written / "training-x2.pdf").read_bytes()
    texts = "".join(ET.parse(drawn["svg"]).getroot().itertext())  # noqa: S314 - written right here
    with Image.open(drawn["png"]) as image:
        told = image.info
    for part in ("MACs in attention over n", "nlbench: synthetic, run "):
        assert part in texts
        assert part in told["Title"] + told["Description"]


def test_svg_is_a_file_of_its_own_with_text_in_named_fonts(drawn: dict[str, Path]) -> None:
    root = ET.parse(drawn["svg"]).getroot()  # noqa: S314 - written right here
    assert float(str(root.get("width")).removesuffix("pt")) == pytest.approx(6.9 * 72)
    source = drawn["svg"].read_text(encoding="utf-8")
    assert "n = h · w of the input" in source
    assert "'DejaVu Sans', Verdana, sans-serif" in source
    assert "var(" not in source
    assert LIGHT[0] in source


def test_png_is_fine_enough_for_print_on_white(drawn: dict[str, Path]) -> None:
    with Image.open(drawn["png"]) as image:
        assert image.size[0] == round(6.9 * 600)
        assert image.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)


def test_the_same_figure_has_the_same_bytes(store: Store, written: Path, tmp_path: Path) -> None:
    (told,) = write_figures(load(store), str(tmp_path / "again.pdf"), ["growth-time-x2"])
    assert told == f"growth-time-x2 written to {tmp_path / 'again.pdf'}"
    assert (tmp_path / "again.pdf").read_bytes() == (written / "growth-time-x2.pdf").read_bytes()


def test_powers_are_raised(drawn: dict[str, Path]) -> None:
    source = drawn["svg"].read_text(encoding="utf-8")
    assert "n^" not in re.sub("<!--.*?-->", "", source)
    assert re.search(
        r'>NLSN: n<tspan dy="-0.5em" font-size="70%">1.00</tspan><tspan dy="0.35em"/> \(\?\)</text>', source
    )


def test_the_page_is_drawn_the_same_before_and_after_paper(frames: Make) -> None:
    loaded = frames()
    look, before = looks(loaded.labels), dict(mpl.rcParams)
    page = training_figures(loaded, look, "t")
    kept: list[Figure] = []
    with drawn_for(printed(3.33, SCALE, lambda _, figure: kept.append(figure))):
        on_paper_too = training_figures(loaded, look, "t")
    assert kept == on_paper_too
    assert [(each.name, each.caption, each.alt) for each in kept] == [(p.name, p.caption, p.alt) for p in page]
    assert not any(each.svg for each in kept)
    assert training_figures(loaded, look, "t") == page
    assert 'viewBox="0 0 316.8 ' in page[0].svg
    assert "var(--series-" in page[0].svg
    assert dict(mpl.rcParams) == before
    assert not {INK, series_colour(0)} & set(get_named_colors_mapping())


def test_a_failure_on_paper_leaves_the_page_alone() -> None:
    def fail(_canvas: Canvas) -> None:
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        on_paper(3.33, fail)
    assert points(10.0) == 10.0
    assert INK not in get_named_colors_mapping()


def test_sizes_shrink_on_paper_and_wide_figures_are_higher() -> None:
    seen: dict[float, tuple[float, float, float]] = {}
    for width in (3.33, 6.9):
        on_paper(width, lambda canvas, width=width: seen.update({width: _sizes(canvas)}))
    assert seen[3.33] == pytest.approx((3.33, 3.0 * SCALE, 8.0))
    assert seen[6.9][0] == pytest.approx(6.9)
    assert 3.0 * SCALE < seen[6.9][1] < 2 * 3.0 * SCALE
    assert seen[6.9][2] == pytest.approx(8.0)
    assert points(7.0) == 7.0


def _sizes(canvas: Canvas) -> tuple[float, float, float]:
    return (*canvas.get_size_inches(), canvas.axes[0].xaxis.label.get_size())


@pytest.mark.parametrize("width", [3.25, 3.33, 6.9, 12.0])
@pytest.mark.parametrize("length", [3, 18, 19, 44, 90])
def test_a_legend_stays_inside_its_figure_on_paper(width: float, length: int) -> None:
    words = "LCoAN with n_hashes 4 and chunk_size 96: n^1.02 (?) or the like, and much more to say about it"
    entries = {str(i): f"{i} {words}"[:length] for i in range(6)}
    with drawn_for(printed(width, SCALE, lambda *_: None)), drawing(5.0) as canvas:
        canvas.subplots()
        legend(canvas, entries, looks(list(entries)))
        canvas.canvas.draw()
        (box,) = canvas.legends
        assert all(text.get_window_extent().x1 <= canvas.bbox.x1 for text in box.get_texts())
        assert (legend_columns(entries.values()) > 2) == ((width > 6 and length < 19) or width == 12.0)


def test_a_name_that_does_not_exist_is_told_with_the_nearest(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no figure 'growth-tme-x2' in run \w{8}: did you mean 'growth-time-x2'\?"):
        write_figures(load(store), str(tmp_path / "x.pdf"), ["training-x2", "growth-tme-x2"])
    assert not list(tmp_path.iterdir())


def test_several_figures_need_a_name_for_each_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"2 figures cannot share .*: write \{name\} into its name"):
        write_figures(load(store), str(tmp_path / "x.pdf"), ["training-x2", "growth-time-x2"])
    assert not list(tmp_path.iterdir())


def test_a_run_without_figures_says_so(tmp_path: Path) -> None:
    held, _ = make_store(tmp_path / "store.db", Plan(variants=()))
    with pytest.raises(UserError, match=r"no figures in run [0-9a-f]{8} yet"):
        write_figures(load(held), str(tmp_path / "{name}.pdf"))
    assert listed(load(held)) == []
    held.close()


def test_letters_that_the_font_lacks_are_told(tmp_path: Path) -> None:
    foreign = dataclasses.replace(NLSN, label="中 $x_1$")
    held, _ = make_store(tmp_path / "store.db", dataclasses.replace(PLAN, variants=(NLN, foreign)))
    for name, kind in (("training-x2", "pdf"), ("growth-macs-x2", "png")):
        (told,) = write_figures(load(held), str(tmp_path / f"x.{kind}"), [name])
        assert told.endswith("; letters that its font lacks: 中")
    held.close()


@pytest.mark.parametrize(
    ("file", "told"),
    [("a.eps", "Allowed: .pdf, .png, .svg"), ("a.pfd", "did you mean '.pdf'"), ("a", "by the name of a")],
)
def test_a_file_that_tells_no_kind_is_told(file: str, told: str) -> None:
    assert kind_of(Path("figure.PDF")) == "pdf"
    with pytest.raises(UserError, match=re.escape(told)):
        kind_of(Path(file))


@pytest.mark.parametrize(
    ("width", "told"), [("colum", "did you mean 'column'"), ("2", "3.25 to 12 inches"), ("nan", "3.25 to 12 inches")]
)
def test_a_width_is_a_word_or_a_number_within_reason(width: str, told: str) -> None:
    assert (inches_of("column"), inches_of("text"), inches_of("4.8")) == (3.33, 6.9, 4.8)
    with pytest.raises(UserError, match=re.escape(told)):
        inches_of(width)


def test_names_tell_what_is_not_usual(frames: Make, tmp_path: Path) -> None:
    quality, cost = qualities(frames())[0], costs(frames())[0]
    changed = dataclasses.replace(quality, dataset="Urban100", scale=4, variant=", self-ensemble", precision="bf16")
    assert quality_name(changed, "forward_s") == "quality-urban100-x4-self-ensemble-bf16-time"
    assert growth_name(cost, "attention_s") == "growth-time-x2"
    raced = dataclasses.replace(cost, scale=0, raced="training, batch 8", precision="bf16")
    assert cost_name("roofline", raced) == "roofline-attention-in-turn-training-batch-8-bf16"
    assert slug("Ångström ×2, n_hashes 4") == "angstrom-x2-n-hashes-4"  # noqa: RUF001 - the sign that is printed
    frames_of(tmp_path)
    held = Store(str(tmp_path / "store-0.db"))
    assert [name for name, _ in listed(load(held))][:1] == ["growth-time-attention-in-turn"]
    held.close()


def test_of_two_figures_of_one_name_the_later_gets_a_number(tmp_path: Path) -> None:
    other = dataclasses.replace(PLAN, sets={"pier": ("boat", "crane"), "Pier": ("boat", "crane")}, tilings=("whole",))
    held, _ = make_store(tmp_path / "store.db", other)
    names = [name for name, _ in listed(load(held))]
    assert {"quality-pier-x2-macs", "quality-pier-x2-macs-2"} < set(names)
    assert len(set(names)) == len(names)
    held.close()
