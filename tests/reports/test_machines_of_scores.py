"""Beside scores of several machines: what is counted once, and times of each machine by themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.store import Store
from reports.ablation import ablation_tables, compared_with_full
from reports.cost import costs
from reports.figures import quality_figures
from reports.frames import Frames, load
from reports.machines import claims_tables
from reports.merged import merged
from reports.page import page_content, write_page
from reports.pairs import compared
from reports.palette import looks
from reports.quality import beside, qualities
from reports.scores import quality_table
from reports.tables import Row, Table
from tests.reports.test_machines import frames_of
from tests.stores import BICUBIC, EDSR, MACHINE, NLN, NLSN, Plan, Variant, add_run

OTHER = {**MACHINE, "cpu": "Other CPU"}
FEWER = dataclasses.replace(NLSN, label="NLSN, 2 hashes", settings={"n_hashes": 2})
HERE, THERE = (BICUBIC, EDSR, NLSN), (BICUBIC, NLN, FEWER)
NAMES = ("one", "two")


def run_of(path: Path, variants: Sequence[Variant], machine: Mapping[str, Any], **changes: Any) -> Frames:
    store = Store(str(path))
    frames = load(store, add_run(store, Plan(variants=variants, crops=0, **changes), machine))
    store.close()
    return frames


def two_machines(folder: Path, **there: Any) -> Frames:
    return merged([run_of(folder / "a.db", HERE, MACHINE), run_of(folder / "b.db", THERE, OTHER, **there)], NAMES)


@pytest.fixture
def both(tmp_path: Path) -> Frames:
    return two_machines(tmp_path, sizes=("24x24", "48x48"))


def table_of(frames: Frames) -> Table:
    (quality,) = qualities(frames)
    return quality_table(frames, quality, costs(frames), compared([quality])[0])


def row(table: Table, head: str) -> Row:
    (found,) = [each for each in table.rows if each.head == head]
    return found


def forward(table: Table) -> dict[str, str]:
    """The keys of the columns of time by their titles."""
    return {column.title: column.key for column in table.columns if column.title.startswith("Forward")}


def test_times_stand_in_a_column_of_their_machine(both: Frames) -> None:
    table = table_of(both)
    keys = forward(table)
    assert list(keys) == ["Forward, Test CPU", "Forward, Other CPU"]
    here, there = keys.values()
    assert (row(table, "EDSR").entries[here].text, row(table, "NLN").entries[there].text) == ("6.61", "27.8")
    assert row(table, "EDSR").entries[there].note == "not profiled on this machine"
    assert row(table, "Bicubic").entries[here].note == "not a network"
    assert (row(table, "EDSR").entries[here].rank, row(table, FEWER.label).entries[there].rank) == ("best", "best")


def test_what_is_counted_is_told_of_networks_of_every_machine(both: Frames) -> None:
    table = table_of(both)
    assert all(row(table, each.label).entries["macs"].value for each in (EDSR, NLN, NLSN, FEWER))
    assert table.notes[-1] == "MACs and forward time of one image of 48×48 low-resolution pixels."  # noqa: RUF001


def test_a_machine_without_a_common_size_is_left_out_and_the_other_is_named(tmp_path: Path) -> None:
    table = table_of(two_machines(tmp_path, sizes=("72x72",)))
    assert list(forward(table)) == ["Forward"]
    assert table.notes[-1].endswith(" low-resolution pixels, on Test CPU.")


def test_one_machine_is_not_named(tmp_path: Path) -> None:
    table = table_of(run_of(tmp_path / "a.db", HERE, MACHINE))
    assert forward(table) == {"Forward": "forward_s"}
    assert not any("Test CPU" in note for note in table.notes)


def test_a_network_on_two_machines_has_a_time_of_each(tmp_path: Path) -> None:
    frames = run_of(tmp_path / "a.db", HERE, MACHINE)
    slower = frames.records[frames.records["metric"].isin(["forward_s", "macs"])].copy()
    slower.loc[slower["metric"] == "forward_s", "value"] *= 3.0
    slower = slower.assign(machine_id="other", attempt_id=slower["attempt_id"] + "-other")
    tasks = frames.tasks[frames.tasks["kind"] == "profile"].assign(machine_id="other")
    two = dataclasses.replace(
        frames,
        records=pd.concat([frames.records, slower], ignore_index=True),
        tasks=pd.concat([frames.tasks, tasks], ignore_index=True),
        machines={**frames.machines, "other": OTHER},
    )
    table = table_of(two)
    here, there = forward(table).values()
    for label in ("EDSR", "NLSN"):
        one, other = (row(table, label).entries[key].value for key in (here, there))
        assert one is not None
        assert other == pytest.approx(3.0 * one)


def test_figures_of_time_are_those_of_one_machine_each(both: Frames) -> None:
    (quality,) = qualities(both)
    times, others, macs, *_ = quality_figures(quality, costs(both), looks(both.labels), "q0")
    assert ", on Test CPU. Up" in times.caption
    assert ", on Other CPU. Up" in others.caption
    assert ("EDSR" in times.alt, "NLN" in times.alt) == (True, False)
    assert ("EDSR" in others.alt, "NLN" in others.alt) == (False, True)
    assert all(label in macs.alt for label in ("EDSR", "NLN"))
    assert " CPU" not in macs.caption


def ablation_of(frames: Frames) -> Table:
    (quality,) = qualities(frames)
    (table,) = ablation_tables(frames, quality, costs(frames), *compared_with_full(frames, [quality]))
    return table


def test_ablations_say_whose_times_they_are(tmp_path: Path) -> None:
    variants = (BICUBIC, EDSR, NLSN, FEWER)
    parts = [run_of(tmp_path / "a.db", variants, MACHINE), run_of(tmp_path / "b.db", (NLN,), OTHER)]
    table = ablation_of(merged(parts, NAMES))
    assert "MACs and forward time at 192×192, time on Test CPU." in table.notes  # noqa: RUF001
    assert row(table, FEWER.label).entries["forward_s"].text == "+0.0"


def test_ablations_never_compare_times_of_two_machines(both: Frames) -> None:
    table = ablation_of(both)
    assert "forward_s" not in {column.key for column in table.columns}
    assert row(table, FEWER.label).entries["macs"].text == "+0.0"
    assert "MACs at 48×48." in table.notes  # noqa: RUF001


def test_costs_in_another_precision_are_not_put_beside_those_of_the_same(both: Frames) -> None:
    (quality,) = qualities(both)
    here, there = costs(both)
    found = beside(quality, [here, dataclasses.replace(there, precision="bf16")])
    assert found is not None
    assert found.costs == (here,)
    assert beside(quality, []) is None


def test_a_page_has_the_claims_of_every_machine(tmp_path: Path) -> None:
    parts = [
        frames_of(tmp_path / "a.db", MACHINE, "supported", "supported"),
        frames_of(tmp_path / "b.db", OTHER, "supported", "contradicted"),
    ]
    both = merged(parts, NAMES)
    content = page_content(both)
    assert [table.caption for table in content["claims"]] == [table.caption for table in claims_tables(both).values()]
    told = [finding.text for finding in content["findings"] if finding.anchor == "claims"]
    assert told[0] == "Of 2 claims: 2 supported, 0 contradicted, 0 undecided, on Test CPU."
    assert told[1].startswith("Of 2 claims: 1 supported, 1 contradicted, 0 undecided, on Other CPU. Contradicted there")
    text = write_page(both, tmp_path / "page.html").path.read_text(encoding="utf-8")
    assert all(text.count(f"<caption><span>{table.caption}") == 1 for table in content["claims"])
