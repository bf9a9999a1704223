from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.records import Status
from reports.cost import common_size, cost_tables, costs
from reports.frames import Frames, load
from reports.tables import TIMES, Row, Table
from tests.stores import EDSR, NLSN, Plan, add_run, asked, attention_s_of, make_store, outcome_of

Make = Callable[..., Frames]


def rows_of(table: Table) -> dict[str, Row]:
    return {row.head: row for row in table.rows}


def test_a_table_per_size_smallest_first(frames: Make) -> None:
    loaded = frames(sizes=("96x96", "24x24", "48x32"))
    captions = [table.caption for table in cost_tables(loaded, costs(loaded)[0])]
    assert [f"24{TIMES}24" in captions[0], f"48{TIMES}32" in captions[1], f"96{TIMES}96" in captions[2]] == [True] * 3


def test_figures_equal_those_in_the_store(frames: Make) -> None:
    loaded = frames()
    row = rows_of(cost_tables(loaded, costs(loaded)[0])[1])["NLSN"]
    n = 48 * 48
    attention, trunk = attention_s_of(NLSN, "48x48"), 2e-3 + 2e-6 * n
    assert row.entries["attention_s"].text == f"{attention * 1e3:.1f}"
    assert row.entries["forward_s"].text == f"{(attention + trunk) * 1e3:.1f}"
    assert row.entries["first_forward_s"].text == f"{(attention + trunk) * 2.5e3:.1f}"
    assert row.entries["share"].text == f"{100 * attention / (attention + trunk):.1f}"
    assert row.entries["peak_bytes"].text == f"{2048 * n / 1e6:.2f}"
    assert row.entries["peak_bytes_fake"].text == row.entries["peak_bytes"].text
    assert row.note == ""
    assert row.entries["samples"].text == "9"
    assert row.entries["converged"].text == "yes"


def test_the_interval_holds_the_median_and_is_the_same_twice(frames: Make) -> None:
    cost = costs(frames())[0]
    interval = cost.interval("NLSN", "48x48", "forward_s")
    assert interval.low < cost.value("NLSN", "48x48", "forward_s") < interval.high
    assert interval == cost.interval("NLSN", "48x48", "forward_s")


def test_timing_that_did_not_converge_is_marked(frames: Make) -> None:
    loaded = frames()
    assert rows_of(cost_tables(loaded, costs(loaded)[0])[-1])["EDSR"].entries["converged"].text == "no"


@pytest.mark.parametrize(
    ("counted", "gpu", "note"),
    [
        (0.96, False, ""),
        (1.04, False, ""),
        (0.83, False, "the counted peak is -17% from the measured one"),
        (1.06, False, "the counted peak is +6% from the measured one"),
        (0.91, True, ""),
        (1.2, True, "the counted peak is +20% from the measured one"),
    ],
)
def test_a_counted_peak_far_from_the_measured_one_is_told(frames: Make, counted: float, gpu: bool, note: str) -> None:
    """On a GPU libraries take workspace that is not counted, so more is allowed for there."""
    loaded = frames(counted_peak=counted, gpu=gpu)
    table = cost_tables(loaded, costs(loaded)[0])[0]
    row = rows_of(table)["NLSN"]
    assert row.note == note
    assert row.entries["peak_bytes_fake"].value == pytest.approx(counted * 2048 * 24 * 24)
    keys = [column.key for column in table.columns]
    assert keys[keys.index("peak_bytes") + 1] == "peak_bytes_fake"
    assert ("reserved_bytes" in keys) is gpu


def test_two_doubts_stand_side_by_side(frames: Make) -> None:
    loaded = frames(counted_peak=2.0)
    cost = costs(loaded)[0]
    cost.figures.loc[("NLSN", "24x24"), "macs_fvcore"] *= 1.5
    note = rows_of(cost_tables(loaded, cost)[0])["NLSN"].note
    assert note == "fvcore counts +50.0% against these MACs; the counted peak is +100% from the measured one"


def test_a_size_that_failed_stands_there_with_its_reason(frames: Make) -> None:
    fails = {
        ("NLN", "profile", "192x192"): (Status.OUT_OF_MEMORY, "5.4 GB"),
        ("NLN", "profile", "96x96"): (Status.SKIPPED, "implied"),
    }
    loaded = frames(fails=fails)
    cost = costs(loaded)[0]
    tables = cost_tables(loaded, cost)
    assert rows_of(tables[-1])["NLN"].note == "out of memory: 5.4 GB"
    assert rows_of(tables[-2])["NLN"].note == "skipped: implied"
    assert common_size(cost) == "48x48"


def test_networks_without_attention_have_no_attention_columns(frames: Make) -> None:
    loaded = frames(variants=(EDSR,))
    keys = [column.key for column in cost_tables(loaded, costs(loaded)[0])[0].columns]
    assert "attention_s" not in keys
    assert "share" not in keys
    assert "forward_s" in keys


def test_times_of_two_machines_are_not_mixed(tmp_path: Path) -> None:
    store, _ = make_store(tmp_path / "s.db", Plan(variants=(EDSR,)))
    both = Plan(variants=(EDSR, NLSN))
    run_id = add_run(store, both, machine={"cpu": "another"}, answer=False)
    for ask in asked(both):
        if ask.variant is NLSN:
            store.write(run_id, outcome_of(ask, both))
    assert [cost.labels for cost in costs(load(store, run_id))] == [("EDSR",), ("NLSN",)]


def test_seeds_share_their_samples(frames: Make) -> None:
    cost = costs(frames(seeds=(0, 1)))[0]
    assert len(cost.samples["forward_s", "NLSN", "48x48"]) == 18
    assert np.isclose(cost.value("NLSN", "48x48", "attention_s"), attention_s_of(NLSN, "48x48"))
