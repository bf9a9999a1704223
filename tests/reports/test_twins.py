"""Attention beside none: planned comparisons, in a family of their own, with what they cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest

from reports import headlines, twins
from reports.cost import costs
from reports.frames import Frames
from reports.pairs import Pairs, compared
from reports.quality import Quality, qualities
from reports.tables import Table
from tests.stores import BICUBIC, EDSR, MANY, NLN, NLSN

SEEDS = (0, 1, 2)


@pytest.fixture
def scored(frames: Callable[..., Frames], monkeypatch: pytest.MonkeyPatch) -> tuple[Frames, Quality]:
    """Twelve images, three trainings; a twin for both attentions, a control for the twin."""
    named = {NLSN.label: EDSR.label, EDSR.label: EDSR.label, NLN.label: EDSR.label, "gone": EDSR.label}
    monkeypatch.setattr(twins, "twin_labels", lambda *_: named)
    found = frames(variants=(BICUBIC, EDSR, NLN, NLSN), sets=MANY, seeds=SEEDS)
    (quality,) = qualities(found)
    return found, quality


def table_of(frames: Frames, quality: Quality) -> Table:
    (pairs,) = twins.compared_with_twins(frames, [quality])
    table = twins.twins_table(quality, pairs, costs(frames))
    assert table is not None
    return table


def test_every_network_stands_beside_its_twin_and_no_control(scored: tuple[Frames, Quality]) -> None:
    rows = {row.head: row.entries for row in table_of(*scored).rows}
    assert list(rows) == [NLN.label, NLSN.label], "in the order of the grid"
    assert {entries["twin"].text for entries in rows.values()} == {EDSR.label}
    expected = scored[1].score(NLN.label, "psnr_y") - scored[1].score(EDSR.label, "psnr_y")
    assert rows[NLN.label]["difference"].value == pytest.approx(expected)
    assert rows[NLN.label]["record"].text == "12/0/0"


def test_the_family_is_of_these_comparisons_alone(scored: tuple[Frames, Quality]) -> None:
    frames, quality = scored
    (planned,), (all_pairs,) = twins.compared_with_twins(frames, [quality]), compared([quality])
    assert (planned.family, all_pairs.family) == (2, 3)
    by_pair = {(each.first, each.second): each for each in all_pairs.comparisons}
    for each in planned.comparisons:
        other = by_pair.get((each.first, each.second)) or by_pair[each.second, each.first]
        assert each.p == pytest.approx(other.p)
        assert each.holm is not None
        assert other.holm is not None
        assert each.holm <= other.holm
    assert "over 2 comparisons: every network of this page beside its twin" in " ".join(table_of(*scored).notes)


def test_costs_are_multiples_of_the_twins(scored: tuple[Frames, Quality]) -> None:
    frames, quality = scored
    (cost,) = costs(frames)
    (row,) = [row for row in table_of(frames, quality).rows if row.head == NLN.label]
    own, twin = (cost.value(label, "192x192", "forward_s") for label in (NLN.label, EDSR.label))
    assert own is not None
    assert twin is not None
    assert row.entries["forward_s"].value == pytest.approx(own / twin)
    assert "Costs at 192" in " ".join(table_of(frames, quality).notes)


def test_where_nothing_has_a_twin_there_is_no_table(
    scored: tuple[Frames, Quality], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, quality = scored
    monkeypatch.setattr(twins, "twin_labels", lambda *_: {})
    (pairs,) = twins.compared_with_twins(frames, [quality])
    assert twins.twins_table(quality, pairs, costs(frames)) is None


def finding_of(quality: Quality, pairs: Pairs) -> str:
    (found,) = headlines._twins([(quality, dataclasses.replace(pairs, comparisons=())), (quality, pairs)])
    assert found.anchor == "q1"
    return found.text


def test_the_summary_tells_who_is_better_than_without_attention(scored: tuple[Frames, Quality]) -> None:
    (pairs,) = twins.compared_with_twins(scored[0], [scored[1]])
    assert [pair.verdict for pair in pairs.comparisons] == ["better", "noise"]
    assert finding_of(scored[1], pairs).startswith(
        "On pier ×2, of 2 networks with attention NLN is better and none is worse than the twin "  # noqa: RUF001
        "without, 1 not told from it or undecided; differences lie between +0."
    )
    first, other = pairs.comparisons
    unknown = dataclasses.replace(pairs, comparisons=(first, dataclasses.replace(other, difference=math.nan)))
    assert "nan" not in finding_of(scored[1], unknown)
    undecided = [dataclasses.replace(pair, holm=None, reason="too few") for pair in pairs.comparisons]
    told = finding_of(scored[1], dataclasses.replace(pairs, comparisons=tuple(undecided), own=0))
    assert told == "On pier ×2, whether attention helps is undecided: too few."  # noqa: RUF001
