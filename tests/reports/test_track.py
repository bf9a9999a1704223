"""Steps are found where figures change, told by how much, and drawn; what could not be counted is told."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from harness.history import Commit
from reports.baseline import Key, written
from reports.palette import LIGHT
from reports.track import Series, Step, Track, as_json, figures_of, relative, remarks, table, track
from reports.track_figures import track_figures
from reports.track_page import write_track

WAY = "attention inference fp32 batch 1"
MACS = Series("nln {}", WAY, "macs")
SIZES = ("2x2", "4x4", "8x8")
Costs = Mapping[Key, Mapping[str, float]]


def costs(macs: float, subject: str = "nln {}", sizes: Sequence[str] = SIZES, **more: float) -> Costs:
    """Of one method, the same at every size."""
    return {Key(subject, WAY, size): {"macs": macs, **more} for size in sizes}


def tracked(*answers: Costs | str, bisect: bool = False, sources: str = "") -> tuple[Track, list[int]]:
    """A history of which each commit has one of `answers`; and the places of those that were counted, in order.

    Commits of equal letters in `sources` have equal sources.
    """
    letters = sources or [str(place) for place in range(len(answers))]
    commits = [
        Commit(id=f"{place:x}" * 40, subject=f"subject {place}", day="2025-01-31", sources=letter)
        for place, letter in enumerate(letters)
    ]
    asked: list[int] = []

    def count(commit: Commit) -> Costs | str:
        asked.append(commits.index(commit))
        return answers[asked[-1]]

    return track(commits, count, bisect=bisect), asked


def places(steps: Sequence[Step]) -> list[str]:
    return [step.place for step in steps]


def test_a_step_is_found_at_its_commit_with_its_range() -> None:
    changed = {key: {"macs": 100.0 + 10 * i} for i, key in enumerate(costs(0))}
    found, _ = tracked(costs(100), costs(100), changed, changed)
    (step,) = found.steps
    assert (step.place, step.series, step.after.short) == ("2222222", MACS, "1111111")
    assert step.told == "+10.0\u202f% to +20.0\u202f% at 2 sizes"
    assert [d.key.size for d in step.changed] == ["4x4", "8x8"]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (costs(8), costs(9), "+12.5\u202f% at 3 sizes"),
        (costs(2), costs(1, sizes=("2x2",)), "−50.0\u202f% at 1 size; gone at 2 sizes"),  # noqa: RUF001 - as printed
        (costs(2, sizes=("2x2",)), costs(2), "new at 2 sizes"),
        (costs(0), costs(2), "from nothing at 3 sizes"),
        (costs(1e9), costs(1e9 + 1), "+0.000000100\u202f% at 3 sizes"),
        (costs(8), costs(20), "+150\u202f% at 3 sizes"),
    ],
)
def test_how_much_a_series_changed_is_told(before: Costs, after: Costs, told: str) -> None:
    found, _ = tracked(before, after)
    assert [step.told for step in found.steps] == [told]


def test_series_are_told_apart_by_method_way_and_quantity() -> None:
    before = {**costs(1, peak_bytes=5.0), **costs(3, "enlcn {}")}
    found, _ = tracked(before, {**costs(2, peak_bytes=6.0), **costs(3, "enlcn {}")})
    assert found.changed == (MACS, MACS._replace(quantity="peak_bytes"))
    assert len(found.followed) == 3
    assert found.summary == "2 commits: 2 counted. 2 of 3 series changed, at 1 commit."


def test_settings_are_told_in_words() -> None:
    series = Series('a.b:METHOD {"n_feats":8,"trunk":"group"}', WAY, "macs")
    assert (series.method, series.settings) == ("a.b:METHOD", ("n_feats 8", "trunk group"))
    assert series.named == "a.b:METHOD n_feats 8, trunk group"
    assert MACS.named == "nln"


def test_commits_of_equal_sources_are_counted_once() -> None:
    found, asked = tracked(costs(1), costs(9), "bad", costs(9), costs(9), sources="aabab")
    assert asked == [0, 2]
    assert [state.word for state in found.states] == [
        "counted",
        "same sources",
        "uncounted",
        "same sources",
        "uncounted",
    ]
    assert found.states[3].twin == found.states[0].commit
    assert found.steps == ()


def test_a_step_over_commits_that_could_not_be_counted_lies_between() -> None:
    found, _ = tracked("bad", costs(1), "bad", "bad", costs(2), "bad")
    assert places(found.steps) == ["between 1111111 and 4444444"]
    assert found.steps[0].between == 2
    assert "4 could not be counted" in found.summary


def test_nothing_that_could_be_counted_is_no_step() -> None:
    for bisect in (False, True):
        found, _ = tracked("bad", "worse", bisect=bisect)
        assert (found.steps, found.followed) == ((), ())


def test_bisecting_finds_the_same_steps_by_fewer_counts() -> None:
    answers = [costs(1 + (place >= 3) + (place >= 11)) for place in range(16)]
    whole, _ = tracked(*answers)
    found, asked = tracked(*answers, bisect=True)
    assert places(found.steps) == places(whole.steps) == ["3333333", "b" * 7]
    assert asked[:2] == [0, 15]
    assert len(asked) == len(set(asked)) < 12
    words = [state.word for state in found.states]
    assert f"{words.count('counted')} counted, {words.count('passed over')} passed over" in found.summary
    assert words.count("counted") == len(asked)


def test_bisecting_looks_nowhere_where_both_ends_are_equal_and_says_so() -> None:
    found, asked = tracked(costs(1), costs(2), costs(1), bisect=True)
    assert (asked, found.steps) == ([0, 2], ())
    assert "a change that was undone in between is not seen" in found.summary
    assert "undone" not in tracked(costs(1), costs(2))[0].summary


def test_bisecting_goes_around_commits_that_cannot_be_counted() -> None:
    answers: list[Costs | str] = ["bad", costs(1), costs(1), "bad", "bad", costs(2), costs(2), costs(2), "bad"]
    found, asked = tracked(*answers, bisect=True)
    assert places(found.steps) == ["between 2222222 and 5555555"]
    assert asked[:4] == [0, 1, 8, 7]


def test_relative_cost_is_the_geometric_mean_over_sizes_that_both_have() -> None:
    first = {Key("nln {}", WAY, "2x2"): {"macs": 10.0}, Key("nln {}", WAY, "4x4"): {"macs": 100.0}}
    other = {Key("nln {}", WAY, "2x2"): {"macs": 20.0}, Key("nln {}", WAY, "4x4"): {"macs": 800.0}}
    found, _ = tracked(costs(5, "enlcn {}"), first, "bad", other, costs(7.0, sizes=("8x8",)))
    assert relative(found, MACS) == pytest.approx({1: 1.0, 3: math.sqrt(2 * 8)})


def test_relative_cost_leaves_out_sizes_that_cost_nothing() -> None:
    found, _ = tracked({**costs(0), **costs(2, sizes=("2x2",))}, costs(4))
    assert relative(found, MACS) == pytest.approx({0: 1.0, 1: 2.0})
    assert relative(tracked(costs(0), costs(4))[0], MACS) == {}
    assert track_figures(tracked(costs(0), costs(4))[0]) == []


def test_programs_read_every_commit_and_every_figure_that_changed() -> None:
    found, _ = tracked(costs(1), costs(1), "bad", costs(2, sizes=("2x2",)), sources="aabc")
    told = json.loads(as_json(found, "torch 2"))
    assert (told["made_with"], told["bisected"], told["summary"]) == ("torch 2", False, found.summary)
    states = [(row["state"], row["reason"], row["same_as"]) for row in told["commits"]]
    same = ("same sources", "", "0" * 40)
    assert states == [("counted", "", None), same, ("uncounted", "bad", None), ("counted", "", None)]
    assert [len(row["steps"]) for row in told["commits"]] == [0, 0, 0, 1]
    (step,) = told["commits"][3]["steps"]
    assert (step["after"], step["commits_between"], step["quantity"]) == ("1" * 40, 1, "macs")
    assert step["figures"][0] == {"size": "2x2", "before": 1.0, "after": 2.0}
    assert step["figures"][1] == {"size": "4x4", "before": 1.0, "after": None}


def test_what_could_not_be_counted_or_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("in another form")
    reason = figures_of(tmp_path / "old.txt")
    assert isinstance(reason, str)
    found, _ = tracked(costs(1), reason, reason, sources="abb")
    assert remarks(found) == [f"{i * 7} could not be counted: {reason}" for i in "12"]
    assert "is no baseline" in reason
    (tmp_path / "new.txt").write_text(written(costs(1), "torch 2"))
    assert figures_of(tmp_path / "new.txt") == costs(1)


def test_the_table_has_a_row_for_all_quantities_that_changed_alike() -> None:
    found, _ = tracked(costs(1, peak_bytes=5.0, parameters=1.0), costs(2, peak_bytes=10.0, parameters=1.5), costs(3))
    cells = [list(column.cells) for column in table(found).columns]
    assert cells[0] == ["1" * 7] * 2 + ["2" * 7] * 2
    assert cells[3] == ["macs, peak bytes", "parameters", "macs", "peak bytes, parameters"]
    assert cells[4][2:] == ["+50.0\u202f% at 3 sizes", "gone at 3 sizes"]


def test_lines_that_coincide_are_one_and_the_smallest_are_told_in_words() -> None:
    def every(factor: float) -> Costs:
        found: dict[Key, Mapping[str, float]] = dict(costs(5, "still {}"))
        for i in range(len(LIGHT) + 2):
            for subject in (f"m{i} {{}}", f'm{i} {{"n_feats":8}}'):
                found |= costs(100 * factor ** (i + 1), subject)
        return found

    (figure,) = track_figures(tracked(every(1.0), every(1.0), every(1.01))[0])
    assert figure.svg.count("(2 series)") >= len(LIGHT)
    assert "Not drawn: 4 series that moved less, by a factor of 1.02 at most." in figure.caption
    assert "still" not in figure.alt
    assert f"m9 (2 series) {1.01**10:.2f} times" in figure.alt
    assert "Change from the first" in figure.svg


def test_wide_changes_are_drawn_on_a_logarithmic_axis() -> None:
    (figure,) = track_figures(tracked(costs(1), costs(10))[0])
    assert "Multiple of the first" in figure.svg
    assert figure.alt == "macs over commits, last against first: nln 10.0 times"


def test_lines_are_named_by_what_tells_them_apart() -> None:
    def both(one: float, other: float) -> Costs:
        way = "network x2 inference fp32 batch 1"
        return {Key("nln {}", WAY, "2x2"): {"macs": one}, Key("nln {}", way, "2x2"): {"macs": other}}

    (figure,) = track_figures(tracked(both(1, 1), both(2, 3))[0])
    assert figure.alt.endswith("nln, network x2 3.00 times; nln, attention 2.00 times")


def test_the_page_tells_states_steps_and_what_changed(tmp_path: Path) -> None:
    found, _ = tracked(costs(8), "No such <command>", costs(9), costs(9), costs(9), sources="abcdc")
    page = write_track(found, "torch 2.99", tmp_path / "new")
    text = page.read_text(encoding="utf-8")
    for told in (
        "counted with torch 2.99",
        "uncounted: No such &lt;command&gt;",
        "same sources as 2222222",
        "between 0000000 and 2222222",
        "1 series: macs",
        "+12.5\u202f% at 3 sizes",
        "so it may have been any of them",
        "subject 3",
        'aria-label="macs over commits',
    ):
        assert told in text, told
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"track.html", "track.json"}


@pytest.mark.parametrize("answers", [["bad"], [costs(1)], [costs(1), "bad", costs(1)], [costs(1), {}]])
def test_a_page_without_a_course_is_a_page(tmp_path: Path, answers: list[Costs | str]) -> None:
    found, _ = tracked(*answers)
    text = write_track(found, "torch 2", tmp_path).read_text(encoding="utf-8")
    assert ("<figure>" in text, 'href="#course"' in text) == (False, False)
    assert ('href="#steps"' in text) == bool(found.steps)
