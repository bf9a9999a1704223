import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from harness.records import Status
from reports.cost import costs
from reports.crossover import Crossing, cost_at, crossing
from reports.crossover_table import crossings, crossover_table, references
from reports.frames import Frames
from reports.scaling import TIME, growths
from reports.tables import Table
from tests.reports.grown import counted, noisy, timed
from tests.stores import EDSR, FUSED, NLN, NLSN, Variant

Make = Callable[..., Frames]
N = np.array([576.0, 2304.0, 5184.0, 9216.0, 20736.0])
LINEAR, DENSE = 6e-6 * N, 4e-9 * N**2


def table_of(frames: Frames) -> Table | None:
    cost = costs(frames)[0]
    grown = growths(cost)
    return crossover_table(cost, grown, {b: crossings(grown, k) for b, k in references(frames, cost).items()})


def texts_of(frames: Frames, label: str) -> dict[str, str]:
    table = table_of(frames)
    assert table is not None
    (row,) = [row for row in table.rows if row.head == label]
    return {key: entry.text for key, entry in row.entries.items()}


def crossing_of(frames: Frames, label: str, backend: str = "plain", quantity: str = TIME) -> Crossing | None:
    cost = costs(frames)[0]
    return crossings(growths(cost), references(frames, cost)[backend]).get((label, quantity))


def against(factor: float) -> Variant:
    """Crosses plain dense attention at n = factor / 4e-9."""
    return dataclasses.replace(NLSN, factor=factor)


def test_a_crossing_between_sizes_of_counts_is_exact() -> None:
    found = crossing(counted(N, 6e3 * N), counted(N, 4.0 * N**2))
    assert (found.verdict, found.n) == ("crosses", pytest.approx(1500.0, rel=1e-6))
    assert (found.interval.low, found.interval.high) == (576.0, 2304.0)


@pytest.mark.parametrize("backend", ["plain", "fused"])
def test_times_of_a_store_cross_where_their_formulas_do(frames: Make, backend: str) -> None:
    found = crossing_of(frames(), "NLSN", backend)
    true = {"plain": NLSN.factor / NLN.factor, "fused": NLSN.factor / FUSED.factor}[backend]
    assert found.n == pytest.approx(true, rel=0.01)
    assert found.interval.low < true < found.interval.high
    assert found.verdict == "crosses"


def test_beyond_the_largest_size_it_is_said_to_be_extrapolated(frames: Make) -> None:
    loaded = frames(variants=(NLN, against(4e-9 * 60_000)))
    found = crossing_of(loaded, "NLSN")
    assert (found.verdict, found.n) == ("beyond", pytest.approx(60_000, rel=0.05))
    entry = table_of(loaded).rows[-1].entries[f"{TIME}-plain"]
    assert (entry.mark, entry.doubt) == ("→", "extrapolated: measured up to n = 36\u202f864")


def test_never_beyond_four_times_what_was_measured(frames: Make) -> None:
    loaded = frames(variants=(NLN, against(4e-9 * 200_000)))
    found = crossing_of(loaded, "NLSN")
    assert (found.verdict, found.n) == ("never", math.inf)
    assert texts_of(loaded, "NLSN")[f"{TIME}-plain"] == "not cheaper up to 147\u202f456"


def test_always_cheaper_from_the_smallest_size_on(frames: Make) -> None:
    loaded = frames(variants=(NLN, against(4e-9 * 100)))
    assert texts_of(loaded, "NLSN")[f"{TIME}-plain"] == "always cheaper (from 576)"
    assert crossing_of(loaded, "NLSN").interval.high == 0.0


def test_methods_that_cost_the_same_are_not_told_apart(frames: Make) -> None:
    same = dataclasses.replace(NLN, label="Twin", settings={"backend": "plain", "chunk": 1})
    texts = texts_of(frames(variants=(NLN, same)), "Twin")
    assert texts[f"{TIME}-plain"].startswith("undecided: ")
    assert texts[f"{TIME}-plain"].endswith(("always or never", "or not up to 147\u202f456"))
    assert texts["attention_macs-plain"] == texts["peak_bytes-plain"] == "alike"


def test_a_method_that_falls_behind_is_told_from_where() -> None:
    found = crossing(counted(N, 4.0 * N**2), counted(N, 6e3 * N))
    assert (found.falls_behind, found.verdict, found.n) == (True, "crosses", pytest.approx(1500.0, rel=1e-6))


def test_an_open_interval_decides_nothing() -> None:
    truth = 4e-9 * N * N[-1] * 1.02
    found = crossing(timed(N, noisy(truth, 3, 0.1), "a"), timed(N, noisy(DENSE, 4, 0.1), "b"))
    assert found.verdict == "undecided"
    assert math.isinf(found.interval.high)


def test_one_size_says_nothing(frames: Make) -> None:
    loaded = frames(sizes=("48x48",))
    assert table_of(loaded) is None


def test_only_sizes_that_both_reached_count_as_measured(frames: Make) -> None:
    fails = {("NLN", "profile", size): (Status.OUT_OF_MEMORY, "x") for size in ("96x96", "192x192")}
    found = crossing_of(frames(fails=fails), "NLSN")
    assert (found.measured, found.verdict) == (2304.0, "crosses")
    alone = fails | {("NLN", "profile", "48x48"): (Status.ERROR, "x")}
    assert crossing_of(frames(fails=alone), "NLSN") is None


def test_without_dense_attention_there_is_no_table(frames: Make) -> None:
    assert table_of(frames(variants=(EDSR, NLSN))) is None


def test_a_single_dense_cell_is_a_reference_too(frames: Make) -> None:
    loaded = frames(variants=(FUSED, NLSN))
    assert references(loaded, costs(loaded)[0]) == {"fused": "NLN fused"}


def test_scales_are_not_mixed(frames: Make) -> None:
    loaded = frames(scales=(2, 3))
    assert [references(loaded, cost) for cost in costs(loaded)] == [{"plain": "NLN", "fused": "NLN fused"}] * 2
    assert {cost.scale for cost in costs(loaded)} == {2, 3}


def test_the_curve_goes_through_what_was_measured() -> None:
    bent = timed(N, [np.full(5, value) for value in DENSE * np.array([1.0, 1.3, 0.8, 1.0, 1.1])])
    assert [cost_at(bent, n) for n in N] == pytest.approx(bent.cost.tolist())


@pytest.mark.parametrize("by_size", [0.0, 0.05])
def test_the_true_crossing_lies_in_the_interval_about_as_often_as_said(by_size: float) -> None:
    """Curves with a constant, which straight lines between sizes would miss by more than the noise."""
    n = np.array([576.0, 1152.0, 2304.0, 4608.0, 9216.0, 18432.0])
    linear, dense = 1e-3 + 1e-6 * n, 2e-4 + 1e-9 * n**2
    true = (1e-6 + math.sqrt(1e-12 + 4e-9 * 8e-4)) / 2e-9
    held = 0
    for seed in range(40):
        one, other = timed(n, noisy(linear, seed, by_size), "one"), timed(n, noisy(dense, 1000 + seed, by_size), "two")
        held += crossing(one, other).interval.holds(true)
    assert held >= 36
