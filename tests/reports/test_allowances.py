"""What a grid allows is not worse; what fits no threshold is judged as ever."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import UserError
from harness.grid_tables import Threshold
from reports.allowances import allowed, thresholds
from reports.baseline import Key
from reports.compare import exact_changes

KEY = Key('nlsn {"n_hashes":1}', "network x2 inference fp32 batch 1", "48x48")
LOST = exact_changes({KEY: {"macs": 100.0}}, {KEY: {"macs": 104.0}})


def word(*asked: dict[str, Any]) -> str:
    (found,) = allowed(LOST, [Threshold(**each) for each in asked])
    return found.word


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        ({"metric": "macs", "allow": 0.05}, "allowed"),
        ({"metric": "macs", "allow": 0.03}, "worse"),
        ({"metric": "peak_bytes", "allow": 0.05}, "worse"),
        ({"metric": "macs", "allow": 0.05, "method": "nlsn"}, "allowed"),
        ({"metric": "macs", "allow": 0.05, "method": "enlcn"}, "worse"),
        ({"metric": "macs", "allow": 0.05, "scale": 2}, "allowed"),
        ({"metric": "macs", "allow": 0.05, "scale": 3}, "worse"),
        ({"metric": "macs", "allow": 0.05, "at": ("48x48",)}, "allowed"),
        ({"metric": "macs", "allow": 0.05, "at": ("24x24",)}, "worse"),
    ],
)
def test_a_threshold_is_for_what_it_names(threshold: dict[str, Any], expected: str) -> None:
    assert word(threshold) == expected


def test_the_last_that_fits_counts() -> None:
    wide, narrow = {"metric": "macs", "allow": 0.05}, {"metric": "macs", "allow": 0.01, "method": "nlsn"}
    assert (word(wide, narrow), word(narrow, wide)) == ("worse", "allowed")


def test_the_threshold_is_told_beside_the_figure() -> None:
    (found,) = allowed(LOST, [Threshold(metric="macs", allow=0.05)])
    assert found.floor == "0.05 allowed"


def test_what_is_gone_or_better_is_not_a_matter_of_thresholds() -> None:
    found = [*exact_changes({KEY: {"macs": 1.0}}, {}), *exact_changes({KEY: {"macs": 2.0}}, {KEY: {"macs": 1.0}})]
    assert [each.word for each in allowed(found, [Threshold(metric="macs", allow=9.0)])] == ["gone", "better"]


def test_thresholds_are_read_from_the_text_of_a_grid() -> None:
    text = 'name = "g"\n[[thresholds]]\nmetric = "psnr_y"\nallow = 0.02\nat = "Set5"\n'
    assert thresholds(text) == (Threshold(metric="psnr_y", allow=0.02, at=("Set5",)),)
    assert thresholds('name = "g"') == ()
    with pytest.raises(UserError, match=r"thresholds: allow: .*not -1"):
        thresholds('[[thresholds]]\nmetric = "macs"\nallow = -1\n')


@pytest.mark.parametrize(("after", "allow"), [(105.0, 0.05), (110.0, 0.1), (120.0, 0.2), (101.0, 0.01)])
def test_as_much_as_is_allowed_is_allowed_however_it_is_rounded(after: float, allow: float) -> None:
    lost = exact_changes({KEY: {"macs": 100.0}}, {KEY: {"macs": after}})
    (found,) = allowed(lost, [Threshold(metric="macs", allow=allow)])
    assert found.word == "allowed"
