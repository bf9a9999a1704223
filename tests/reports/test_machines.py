"""Machines are told apart by plain names, and claims are those of each machine of the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.store import Store
from reports.check import keep
from reports.claims import Word, read_claims
from reports.frames import Frames, load
from reports.machines import claims_tables, machine_names
from reports.merged import merged
from reports.verdicts import Verdict
from tests.stores import EDSR, MACHINE, NLN, NLSN, Plan, Variant, add_run

OTHER = {**MACHINE, "cpu": "Other CPU"}
THREADS = {**MACHINE, "threads": 1}
NAMES = ("one", "two")
CLAIMS = read_claims()[:3]
IDS = [claim.id for claim in CLAIMS]


def frames_of(path: Path, machine: Mapping[str, Any], *words: Word, variant: Variant = NLN) -> Frames:
    """A run on `machine` with a check of a claim for each of `words`."""
    store = Store(str(path))
    run_id = add_run(store, Plan(variants=(variant,), sizes=("24x24",), crops=0), machine)
    verdicts = zip(CLAIMS, words, strict=False)
    keep(store, run_id, [Verdict(claim=claim, word=word, found=f"{word} figures") for claim, word in verdicts])
    frames = load(store, run_id)
    store.close()
    return frames


@pytest.fixture
def both(tmp_path: Path) -> Frames:
    here = frames_of(tmp_path / "a.db", MACHINE, "supported", "supported", "undecided")
    return merged([here, frames_of(tmp_path / "b.db", OTHER, "supported", "contradicted", "undecided")], NAMES)


def test_a_machine_is_its_processor(both: Frames) -> None:
    assert list(machine_names(both).values()) == ["Test CPU", "Other CPU"]


def test_machines_of_one_processor_are_told_apart_by_their_runs(tmp_path: Path) -> None:
    parts = [
        frames_of(tmp_path / f"{name}.db", machine) for name, machine in zip("ab", (MACHINE, THREADS), strict=True)
    ]
    assert list(machine_names(merged(parts, NAMES)).values()) == ["Test CPU (one)", "Test CPU (two)"]


def test_a_machine_of_no_run_of_the_page_is_told_by_its_id(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "s.db"))
    first = add_run(store, Plan(variants=(EDSR,), sizes=("24x24",)), THREADS)
    again = load(store, add_run(store, Plan(variants=(EDSR, NLSN), sizes=("24x24",)), MACHINE, answer=False))
    earlier = str(load(store, first).run["machine_id"])
    store.close()
    assert machine_names(again)[earlier] == f"Test CPU (machine {earlier[:6]})"


def test_claims_of_one_machine_stand_as_they_are(tmp_path: Path) -> None:
    (table,) = claims_tables(frames_of(tmp_path / "a.db", MACHINE, "supported", "contradicted")).values()
    assert table.caption == "2 claims: 1 supported, 1 contradicted, 0 undecided"
    assert claims_tables(frames_of(tmp_path / "b.db", MACHINE)) == {}


def test_of_a_further_machine_claims_stand_that_came_out_otherwise(both: Frames) -> None:
    assert list(claims_tables(both)) == [run["machine_id"] for run in both.run["runs"]]
    first, second = claims_tables(both).values()
    assert first.caption == "3 claims: 2 supported, 0 contradicted, 1 undecided, on Test CPU"
    assert {row.head for row in first.rows} == set(IDS)
    assert second.caption == "3 claims: 1 supported, 1 contradicted, 1 undecided, on Other CPU"
    assert [(row.head, row.entries["word"].text) for row in second.rows] == [(IDS[1], "contradicted")]
    assert second.notes == ("2 claims came out as on Test CPU; only the others are shown.",)


def test_claims_that_only_a_further_machine_checked_are_whole(tmp_path: Path) -> None:
    parts = [frames_of(tmp_path / "a.db", MACHINE), frames_of(tmp_path / "b.db", OTHER, "supported", "undecided")]
    (table,) = claims_tables(merged(parts, NAMES)).values()
    assert table.caption == "2 claims: 1 supported, 0 contradicted, 1 undecided, on Other CPU"
    assert len(table.rows) == 2


def test_two_runs_of_one_machine_have_its_newest_check(tmp_path: Path) -> None:
    parts = [frames_of(tmp_path / f"{word}.db", MACHINE, word) for word in ("supported", "contradicted")]
    (table,) = claims_tables(merged(parts, NAMES)).values()
    assert table.caption == "1 claims: 0 supported, 1 contradicted, 0 undecided"
