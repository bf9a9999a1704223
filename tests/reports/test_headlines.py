"""Headlines lead to their evidence, and tell of races, twins and claims where there are any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reports.findings import Finding
from reports.frames import Frames
from reports.page import page_content
from tests.reports import races, twins
from tests.stores import EDSR, NLSN

Make = Callable[..., Frames]


def said(frames: Frames) -> tuple[Finding, ...]:
    found: tuple[Finding, ...] = page_content(frames)["findings"]
    return found


def test_each_of_a_whole_run_leads_to_its_section(frames: Make) -> None:
    assert [finding.anchor for finding in said(frames())] == ["q0", "c0", "c0"]


def test_what_was_not_measured_leads_nowhere(frames: Make) -> None:
    assert [finding.anchor for finding in said(frames(unfinished=100))] == ["", "", ""]


def test_a_race_tells_who_is_fastest_beside_dense_attention(tmp_path: Path) -> None:
    *_, growth, race = said(races.frames_of(tmp_path))
    assert growth.anchor == race.anchor == "a0"
    assert race.text.startswith("In turn at 96×96 (inference, batch 1), NLSN takes 0.2")  # noqa: RUF001
    assert "95\u202f% interval 0.2" in race.text
    assert race.text.endswith("as long as NLN plain.")


def test_twins_tell_what_attention_helps_and_harms(tmp_path: Path) -> None:
    *_, harm = said(twins.frames_of(tmp_path))
    assert harm.anchor == "h0"
    assert harm.text.startswith("On Set5 ×2, attention of NLSN")  # noqa: RUF001
    assert "nearer to the original and moves" in harm.text
    assert harm.text.endswith("further away, beside EDSR.")


def test_a_race_of_networks_without_dense_attention_tells_nothing_of_it(frames: Make) -> None:
    assert len(said(frames(variants=(EDSR, NLSN)))) == 3
