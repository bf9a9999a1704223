import dataclasses
import io
import re
from collections.abc import Callable

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure as Canvas

from reports.cost import costs
from reports.crossover_table import crossings, references
from reports.figures import front, legend, quality_figures, tick_places, training_figures
from reports.frames import Frames
from reports.growth_figures import growth_figures
from reports.labels import ROOM, place_names, squeezed
from reports.palette import DARK, LIGHT, MARKERS, looks
from reports.quality import qualities
from reports.scaling import growths
from reports.svg import Figure, drawing, inlined
from tests.stores import NLN, NLSN, Variant

Make = Callable[..., Frames]


@pytest.fixture
def figures(frames: Make) -> list[Figure]:
    loaded = frames()
    look, profiled = looks(loaded.labels), costs(loaded)
    grown = growths(profiled[0])
    found = {backend: crossings(grown, label) for backend, label in references(loaded, profiled[0]).items()}
    return [
        *quality_figures(qualities(loaded)[0], profiled, look, "q0"),
        *growth_figures(profiled[0], grown, found, look, "c0"),
        *training_figures(loaded, look, "t"),
    ]


def test_all_figures_are_there_with_words_for_them(figures: list[Figure]) -> None:
    assert len(figures) == 2 + 3 + 1
    assert all(figure.alt and figure.caption for figure in figures)


def test_identifiers_are_unique_over_all_figures(figures: list[Figure]) -> None:
    found = re.findall(r'\sid="([^"]*)"', "".join(figure.svg for figure in figures))
    assert len(found) > 50
    assert len(found) == len(set(found))


def test_every_reference_has_its_target(figures: list[Figure]) -> None:
    for figure in figures:
        targets = set(re.findall(r'\sid="([^"]*)"', figure.svg))
        assert set(re.findall(r'(?:href="|url\()#([^")]*)', figure.svg)) <= targets


def test_colours_follow_the_page_and_text_stays_text(figures: list[Figure]) -> None:
    for figure in figures:
        assert not re.search(r"#(5e|1d1d)[0-9a-f]+", figure.svg)
        assert "var(--ink)" in figure.svg
        assert "var(--series-" in figure.svg
        assert "<text" in figure.svg
        assert "<style" not in figure.svg
        assert "<metadata" not in figure.svg


def test_a_figure_is_the_same_twice(frames: Make) -> None:
    loaded = frames()
    look = looks(loaded.labels)
    assert training_figures(loaded, look, "t") == training_figures(loaded, look, "t")


def test_drawing_leaves_no_style_behind(frames: Make) -> None:
    before = dict(mpl.rcParams)
    training = frames()
    training_figures(training, looks(training.labels), "t")
    assert dict(mpl.rcParams) == before


def test_the_legend_names_the_fitted_exponents(figures: list[Figure]) -> None:
    assert "NLSN: n^1.00" in figures[3].svg


def test_crossings_are_marked_in_time_only_where_they_are(figures: list[Figure]) -> None:
    time, macs = figures[2], figures[3]
    assert "NLSN is cheaper than plain dense attention from n = 15" in time.alt
    assert "NLSN is cheaper than fused dense attention from n = " in time.alt
    assert "ring, computed plainly; diamond, fused" in time.caption
    assert "cheaper" not in macs.alt + macs.caption


def test_a_crowd_has_neither_bars_nor_marks(frames: Make) -> None:
    crowd = [dataclasses.replace(NLSN, label=f"M{i}", factor=6e-6 + 1e-7 * i) for i in range(9)]
    loaded = frames(variants=(NLN, *crowd))
    (cost,) = costs(loaded)
    grown = growths(cost)
    found = {"plain": crossings(grown, "NLN")}
    time = growth_figures(cost, grown, found, looks(loaded.labels), "c")[0]
    assert "cheaper" not in time.alt + time.caption
    assert "bars" not in time.caption
    assert len(found["plain"]) == 27


@pytest.mark.parametrize("length", [3, 18, 19, 44, 90])
def test_a_legend_stays_inside_its_figure(length: int) -> None:
    words = "LCoAN with n_hashes 4 and chunk_size 96: n^1.02 (?) or the like, and much more to say about it"
    entries = {str(i): f"{i} {words}"[:length] for i in range(6)}
    with drawing(5.0) as canvas:
        legend(canvas, entries, looks(list(entries)))
        canvas.canvas.draw()
        (drawn,) = canvas.legends
        assert all(text.get_window_extent().x1 <= canvas.bbox.x1 for text in drawn.get_texts())
        assert all(text.get_text().endswith("…") == (length > 44) for text in drawn.get_texts())


def crowd_of(count: int) -> tuple[Variant, ...]:
    """Networks of which each is better, dearer and trained to a lower loss than those before."""
    return tuple(
        dataclasses.replace(NLSN, label=f"M{i}", psnr=29 + i / 10, factor=6e-6 + 1e-7 * i, wobble=0.0)
        for i in range(count)
    )


def test_of_a_crowd_the_best_are_named_and_the_others_grey(frames: Make) -> None:
    loaded = frames(variants=crowd_of(16))
    look, profiled = looks(loaded.labels), costs(loaded)
    trade = quality_figures(qualities(loaded)[0], profiled, look, "q")[0]
    assert re.findall(r">(M\d+)</text>", trade.svg) == [f"M{i}" for i in range(15, 5, -1)]
    assert ">6 others, in grey</text>" in trade.svg
    assert trade.alt.endswith("; 6 others, in grey")
    assert "Of 16, 10 are named: the best." in trade.caption
    time = growth_figures(profiled[0], growths(profiled[0]), {}, look, "c")[0]
    assert re.findall(r">(M\d+): n", time.svg) == [*(f"M{i}" for i in range(10)), "M15"]
    assert ">5 others, in grey</text>" in time.svg
    time = growth_figures(profiled[0], growths(profiled[0]), {}, look, "c", frozenset({"M12"}))[0]
    assert re.findall(r">(M\d+): n", time.svg) == [*(f"M{i}" for i in range(10)), "M12", "M15"]
    assert "Of 16, 12 are named: the cheapest at the largest n, the dearest, and dense attention." in time.caption
    (training,) = training_figures(loaded, look, "t")
    assert re.findall(r">(M\d+)</text>", training.svg) == [f"M{i}" for i in range(15, 5, -1)]
    assert "as recorded" not in training.caption


def test_twelve_are_no_crowd(frames: Make) -> None:
    loaded = frames(variants=crowd_of(12))
    look, profiled = looks(loaded.labels), costs(loaded)
    trade = quality_figures(qualities(loaded)[0], profiled, look, "q")[0]
    growth = growth_figures(profiled[0], growths(profiled[0]), {}, look, "c")[0]
    for figure in (trade, growth, *training_figures(loaded, look, "t")):
        assert "grey" not in figure.svg + figure.alt
        assert "named" not in figure.caption


@pytest.mark.parametrize(
    ("label", "longest", "fits"),
    [
        ("NLSN", 20, "NLSN"),
        ("NLN chunk_size 488 n_hashes 1", 20, "NLN chu… 488 n_ha… 1"),
        ("x" * 30, 10, "x" * 9 + "…"),
        ("1234567890123", 10, "123…890123"),
    ],
)
def test_names_are_cut_but_no_number_in_them(label: str, longest: int, fits: str) -> None:
    assert squeezed(label, longest) == fits
    assert len(fits) <= longest


def test_names_keep_apart() -> None:
    with drawing(3.0) as canvas:
        axes = canvas.subplots()
        axes.set(xlim=(0, 1), ylim=(0, 1))
        place_names(axes, {f"method {i}": (0.3 + 0.02 * i, 0.4 + 0.06 * (i % 3)) for i in range(9)})
        boxes = [text.get_window_extent().padded(ROOM / 2) for text in axes.texts]
        assert len(boxes) >= 3
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_colour_and_marker_tell_72_methods_apart() -> None:
    look = looks([str(i) for i in range(72)])
    assert len(set(look.values())) == 72
    assert len(LIGHT) == len(DARK) != len(MARKERS)


def test_names_cover_neither_points_nor_each_other() -> None:
    with drawing(3.0) as canvas:
        axes = canvas.subplots()
        axes.set(xlim=(0, 1), ylim=(0, 1))
        points = {f"method {i}": (0.5 + 0.01 * i, 0.5) for i in range(5)}
        left = place_names(axes, points)
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) + len(left) == 5
        assert len(boxes) >= 3
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_crowd_goes_to_the_legend() -> None:
    with drawing(3.0) as canvas:
        axes = canvas.subplots()
        points = {str(i): (float(i), float(i)) for i in range(40)}
        assert place_names(axes, points) == list(points)


@pytest.mark.parametrize("label", ["$x^2$ \\frac{", "_hidden", "日本語", "<script>alert(1)</script>", "a & b"])
def test_hostile_names_are_text(label: str) -> None:
    with drawing(3.0) as canvas:
        axes = canvas.subplots()
        axes.set_title(label)
        svg = inlined(canvas, "x", label)
    assert "<script" not in svg
    assert svg.count("<svg") == 1


@pytest.mark.parametrize(("low", "high"), [(1.0, 1000.0), (0.9, 1.1), (2.1, 9.0), (1e-9, 1e9), (33.3, 33.4)])
def test_ticks_are_few_and_lie_inside(low: float, high: float) -> None:
    places = tick_places(low, high)
    assert 2 <= len(places) <= 7
    assert all(0.98 * low <= place <= 1.02 * high for place in places)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ({"a": (1.0, 30.0), "b": (2.0, 31.0), "c": (3.0, 30.5), "d": (4.0, 32.0)}, ["a", "b", "d"]),
        ({"a": (1.0, 30.0), "b": (1.0, 31.0), "c": (2.0, 31.0)}, ["b"]),
        ({"a": (5.0, 30.0)}, ["a"]),
        ({}, []),
    ],
)
def test_the_front_is_what_no_other_beats_in_both(places: dict[str, tuple[float, float]], expected: list[str]) -> None:
    assert front(places) == expected


def test_a_figure_is_laid_out_as_matplotlib_saves_it() -> None:
    """The slow twin: `savefig` draws everything once for the layout and once more for the file."""
    texts = []
    for written in (_saved, lambda canvas: inlined(canvas, "f", "words")):
        with drawing(3.0) as canvas:
            axes = canvas.subplots()
            axes.plot([1, 2, 3], [10.0, 1000.0, 20.0], label="a line")
            axes.set(xlabel="n", ylabel="Time [ms]", title="Growth", yscale="log")
            canvas.legend(loc="outside lower left")
            texts.append(re.findall(r'transform="[^"]*"|<path d="[^"]*"', written(canvas)))
    assert texts[0] == texts[1]
    assert len(texts[0]) > 10


def _saved(canvas: Canvas) -> str:
    stream = io.StringIO()
    canvas.savefig(stream, format="svg")
    return re.sub(r"<metadata>.*?</metadata>", "", stream.getvalue(), flags=re.DOTALL)
