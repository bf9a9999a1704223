"""Baselines are read as they were written, and every difference is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from reports.baseline import FIRST, Key, figures, read, written
from reports.compare import Difference, differences
from tests.reports.counted import SIZES, counted_frames
from tests.reports.test_verdicts import LINEAR, QUADRATIC

KEY = Key('nlsn {"n_hashes":1}', "attention inference fp32 batch 1", "48x48")


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    changed = {"b": {"n_hashes": 1, "trunk": "group"}}
    way = {"scope": "network", "scale": 3, "mode": "training"}
    found = figures([counted_frames(tmp_path, {"a": LINEAR, "b": QUADRATIC}, changed=changed, way=way)])
    assert len(found) == 2 * len(SIZES)
    file = tmp_path / "baseline.txt"
    file.write_text(text := written(found, "torch 2.13.0"), encoding="utf-8")
    assert read(file) == {key: {"macs": round(values["macs"])} for key, values in found.items()}
    assert text.startswith(
        f"{FIRST}, counted with torch 2.13.0\na {{}} | network x3 training fp32 batch 1 | 24x24 | macs 4032\n"
    )
    assert written(dict(reversed(found.items())), "torch 2.13.0") == text, "the order is that of what they are of"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no baseline: one begins with"),
        ("# something else\n", "is no baseline"),
        (f"{FIRST}\nnlsn | here | macs 1\n", r"line 2: not a line of a baseline"),
        (f"{FIRST}\na | b | 2x2 | macs 1\na | b | 2x2 | macs one\n", "line 3"),
        (f"{FIRST}\na | b | 2x2 | macs\n", "line 2"),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "baseline.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        read(file)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        read(tmp_path / "absent.txt")


@pytest.mark.parametrize(
    ("before", "after", "change", "share"),
    [
        ({"macs": 100.0}, {"macs": 101.0}, "worse", "worse, +1.00%"),
        ({"macs": 100.0}, {"macs": 99.0}, "better", "better, -1.00%"),
        ({"macs": 100.0}, {}, "gone", "gone"),
        ({}, {"macs": 100.0}, "new", "new"),
    ],
)
def test_a_difference_is_worse_better_gone_or_new(
    before: dict[str, float], after: dict[str, float], change: str, share: str
) -> None:
    (found,) = differences({KEY: before}, {KEY: after})
    assert found == Difference(key=KEY, quantity="macs", before=before.get("macs"), after=after.get("macs"))
    assert (found.change, found.share) == (change, share)


def test_what_is_equal_is_no_difference() -> None:
    figures_ = {KEY: {"macs": 100.0, "parameters": 3.0}}
    assert differences(figures_, figures_) == []


@pytest.mark.parametrize(("way", "scale"), [("network x4 training fp32 batch 1", 4), (KEY.way, 0)])
def test_a_key_knows_the_scale_of_its_network(way: str, scale: int) -> None:
    assert KEY._replace(way=way).scale == scale
