"""Checks: verdicts kept, claims that fall, and what programs read of them."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from harness.store import Store
from reports.check import as_json, as_junit, check, keep
from reports.verdicts import Verdict
from tests.reports.counted import counted_run
from tests.reports.test_verdicts import LINEAR, QUADRATIC, claim

LINEAR_CLAIM = claim(id="linear")
KNOWN = claim(id="known", verdict="supported")
OTHER = claim(id="other", subject={"method": "b"})


def test_a_claim_falls_when_the_machine_supported_it_before(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    for law, word, fallen in (
        (LINEAR, "supported", []),
        (LINEAR, "supported", []),
        (QUADRATIC, "contradicted", ["linear"]),
    ):
        run = counted_run(store, {"a": law})
        (verdict,) = check(store, [LINEAR_CLAIM])
        assert verdict.word == word
        assert [v.claim.id for v in keep(store, run, [verdict])] == fallen
    kept = store.frame("SELECT * FROM verdict JOIN run ON run.id = verdict.run_id ORDER BY run.started_at")
    assert list(kept["word"]) == ["supported", "supported", "contradicted"]
    assert json.loads(kept["claim"][0])["id"] == "linear"
    assert len(json.loads(kept["attempts"][0])) == len(LINEAR_CLAIM.sizes)
    store.close()


def test_a_claim_falls_however_often_it_was_undecided_between(tmp_path: Path) -> None:
    store, fallen = Store(str(tmp_path / "store.db")), []
    for word in ("supported", "undecided", "contradicted"):
        verdict = Verdict(claim=LINEAR_CLAIM, word=word, found="")
        fallen.append([v.claim.id for v in keep(store, counted_run(store, {"a": LINEAR}), [verdict])])
    assert fallen == [[], [], ["linear"]]
    store.close()


def test_figures_of_several_grids_are_read_together_and_the_newest_of_each(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    counted_run(store, {"a": QUADRATIC}, grid="one")
    counted_run(store, {"b": LINEAR}, grid="two")
    counted_run(store, {"a": LINEAR}, grid="one")
    assert [verdict.word for verdict in check(store, [LINEAR_CLAIM, OTHER])] == ["supported", "supported"]
    store.close()


def test_programs_read_verdicts(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    run = counted_run(store, {"a": QUADRATIC})
    verdicts = check(store, [LINEAR_CLAIM, KNOWN, OTHER])
    fallen = keep(store, run, verdicts)
    rows = json.loads(as_json(verdicts))
    assert [(row["claim"]["id"], row["verdict"]) for row in rows] == [
        ("linear", "contradicted"),
        ("known", "contradicted"),
        ("other", "undecided"),
    ]
    suite = ET.fromstring(as_junit(verdicts, fallen))  # noqa: S314 - written right here
    assert suite.attrib == {"name": "claims", "tests": "3", "failures": "1", "skipped": "1"}
    told = {case.attrib["name"]: [child.tag for child in case] for case in suite}
    assert told == {"linear": [], "known": ["failure"], "other": ["skipped"]}
    failure = suite.find("testcase[@name='known']/failure")
    assert failure is not None
    assert (
        failure.attrib["message"]
        == "was supported, is contradicted: n^2.00, locally 2.00 to 2.00; asked for 0.9 to 1.1"
    )
    store.close()


def test_what_some_grids_alone_did_not_count_has_not_fallen(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    for partial in (False, True):
        run = counted_run(store, {"b": LINEAR})
        (verdict,) = check(store, [KNOWN])
        assert verdict.word == "undecided"
        assert keep(store, run, [verdict], partial=partial) == ([] if partial else [verdict])
    store.close()
