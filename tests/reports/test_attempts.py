"""Rows point at the attempts that their figures rest on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.store import Store
from reports.attempts import KINDS, groups, linked
from reports.check import check, keep
from reports.frames import Frames, load
from reports.page import page_content, write_page
from reports.tables import DASH, Table
from reports.verdicts import Verdict
from tests.reports.counted import SIZES, counted_run
from tests.reports.races import frames_of
from tests.reports.test_verdicts import LINEAR, claim
from tests.stores import SETS

Make = Callable[..., Frames]


def tables(part: object) -> list[Table]:
    if isinstance(part, Table):
        return [part]
    parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
    return [table for each in parts for table in tables(each)]


def test_a_group_for_each_label_and_kind_holds_its_attempts(frames: Make) -> None:
    run = frames(sets=SETS, seeds=(0, 1))
    found = groups(run)
    group = found["evaluate", "NLSN"]
    own = run.tasks[(run.tasks["kind"] == "evaluate") & (run.tasks["label"] == "NLSN")]
    assert {each["id"] for each in group.attempts} == set(own["attempt_id"])
    assert group.title == "evaluate: NLSN, 4 attempts"
    assert group.attempts[0]["place"] == "×2, seed 0, pier, whole, fp32, hash seed 0"  # noqa: RUF001
    anchors = [each.anchor for each in found.values()]
    assert len(set(anchors)) == len(anchors)


def test_every_row_of_scores_and_costs_leads_to_its_own_attempts(frames: Make) -> None:
    run = frames(sets=SETS)
    content, found = page_content(run), groups(run)
    for section in ("overview", "quality", "cost"):
        rows = [row for table in tables(content[section]) for row in table.rows if row.head in run.labels]
        assert rows, section
        for row in rows:
            assert row.records == found[KINDS[section], row.head].anchor or row.head == "Bicubic"


def test_a_pair_leads_to_its_first_network(frames: Make) -> None:
    run = frames(sets=SETS)
    found = groups(run)
    pairs = [table for table in tables(page_content(run)["quality"]) if table.head == "Pair"]
    assert pairs
    for row in (row for table in pairs for row in table.rows):
        first = row.head.split(f" {DASH} ")[0]
        assert row.records == found["evaluate", first].anchor


def test_what_was_never_tried_leads_nowhere(frames: Make) -> None:
    run = frames(unfinished=100)
    assert groups(run) == {}
    assert not any(row.records for table in tables(page_content(run)["quality"]) for row in table.rows)


def test_a_race_belongs_to_its_protocol(tmp_path: Path) -> None:
    run = frames_of(tmp_path)
    (group,) = groups(run).values()
    assert len(group.attempts) == 9
    rows = [row for table in tables(page_content(run)["race"]) for row in table.rows]
    assert {row.records for row in rows} <= {group.anchor, ""}
    assert any(row.records for row in rows)


@pytest.fixture
def checked(tmp_path: Path) -> tuple[Frames, list[Verdict]]:
    """A run that was checked, after a later run of another grid; the claims are of the earlier grid alone."""
    store = Store(str(tmp_path / "store.db"))
    counted_run(store, {"a": LINEAR}, grid="one")
    run = counted_run(store, {"b": LINEAR}, grid="two")
    verdicts = check(store, [claim(id="known"), claim(id="unknown", subject={"method": "c"})])
    keep(store, run, verdicts)
    frames = load(store, run)
    store.close()
    return frames, verdicts


def test_a_claim_leads_to_the_attempts_behind_it_of_whatever_run(checked: tuple[Frames, list[Verdict]]) -> None:
    frames, verdicts = checked
    content = page_content(frames)
    (group,) = content["evidence"]
    assert [each["id"] for each in group.attempts] == list(verdicts[0].attempts)
    assert group.attempts[0]["place"].startswith(f"count, {SIZES[0]}")
    assert group.attempts[0]["run"].endswith(" (one)")
    assert not {each["id"] for each in group.attempts} & set(frames.tasks["attempt_id"])
    assert {row.head: row.records for row in content["claims"][0].rows} == {"known": group.anchor, "unknown": ""}


def test_the_page_holds_what_a_claim_leads_to(checked: tuple[Frames, list[Verdict]], tmp_path: Path) -> None:
    page = write_page(checked[0], tmp_path / "page.html").path.read_text(encoding="utf-8")
    (anchor,) = re.findall(r'<a class="records" href="#(claim-[^"]+)">known</a>', page)
    behind = page.partition(f'<tbody id="{anchor}">')[2].partition("</tbody>")[0]
    assert all(attempt in behind for attempt in checked[1][0].attempts)


def test_only_the_newest_check_of_a_machine_carries_what_it_rests_on(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    for _ in range(2):
        run = counted_run(store, {"a": LINEAR})
        keep(store, run, check(store, [claim(id="known")]))
    verdicts = load(store, run).verdicts
    store.close()
    assert [len(each) for each in verdicts["evidence"]] == [0, len(claim(id="known").sizes)]


def test_what_is_no_table_stays_as_it_is() -> None:
    assert linked({"title": "a", "figures": [3]}, "evaluate", {}) == {"title": "a", "figures": [3]}
