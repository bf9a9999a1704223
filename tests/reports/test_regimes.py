import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from harness.records import Status
from reports.cost import costs
from reports.frames import Frames
from reports.regimes import changes, local_table, steps
from reports.scaling import growths
from tests.reports.grown import counted, noisy, timed

Make = Callable[..., Frames]
OCTAVES = 576.0 * 2.0 ** np.arange(9)


def capped(n: np.ndarray, chunk: int = 144) -> np.ndarray:
    """MACs of released NLSN's hashing and attention: as many buckets as chunks, at most 128."""
    return n * (64.0 * np.minimum(n / chunk, 128.0) + 3.0 * chunk * (64.0 + 256.0))


def test_hashing_alone_is_quadratic_until_its_cap_and_linear_beyond() -> None:
    (change,) = changes(counted(OCTAVES, OCTAVES * np.minimum(OCTAVES / 144, 128.0)))
    assert (change.before, change.after) == (pytest.approx(2.0), pytest.approx(1.0))
    assert change.low <= 128 * 144 <= change.high
    assert change.high / change.low <= 4.0


def test_a_cap_inside_an_octave_is_found_between_its_ends() -> None:
    (change,) = changes(counted(OCTAVES, OCTAVES * np.minimum(OCTAVES, 6000.0)))
    assert (change.low, change.high) == (4608.0, 9216.0)


def test_the_cap_of_a_whole_method_is_found_though_hashing_is_a_small_part() -> None:
    found = [c for c in changes(counted(OCTAVES, capped(OCTAVES))) if c.after < c.before]
    assert len(found) == 1
    assert found[0].low <= 128 * 144 <= found[0].high


def test_no_change_along_a_straight_line() -> None:
    assert changes(counted(OCTAVES, 3.0 * OCTAVES**1.7)) == []


def test_one_padded_size_changes_no_regime() -> None:
    cost = 3.0 * OCTAVES
    cost[4] *= 1.1
    assert changes(counted(OCTAVES, cost)) == []


def test_sizes_that_nearly_coincide_make_no_step() -> None:
    n = np.array([576.0, 2300.0, 2304.0, 9216.0])
    found = steps(counted(n, n * np.array([1.0, 1.0, 1.06, 1.0])))
    assert [(step.low, step.high) for step in found] == [(576.0, 2300.0), (2300.0, 9216.0)]


def test_two_sizes_have_one_step_and_no_change() -> None:
    two = counted(OCTAVES[:2], OCTAVES[:2] ** 2)
    assert [step.exponent for step in steps(two)] == [pytest.approx(2.0)]
    assert changes(two) == []
    assert changes(timed(OCTAVES[:2], noisy(OCTAVES[:2], 0, 0.0))) == []


def test_times_are_marked_only_where_their_interval_says_so() -> None:
    kink = 1e-6 * OCTAVES * np.minimum(OCTAVES, 9216.0)
    straight = 1e-6 * OCTAVES**1.5
    marked = [len(changes(timed(OCTAVES, noisy(straight, seed, 0.05)))) for seed in range(30)]
    assert sum(marked) <= 2
    quiet = changes(dataclasses.replace(timed(OCTAVES, noisy(kink, 0, 0.0)), drawn=np.stack(noisy(kink, 0, 0.0), 1)))
    assert [(c.low <= 9216.0 <= c.high, c.after < c.before) for c in quiet] == [(True, True)]


def test_local_exponents_of_times_carry_intervals(frames: Make) -> None:
    loaded = frames()
    cost = costs(loaded)[0]
    by_name = {(g.label, g.quantity): g for g in growths(cost)}
    assert all(s.interval.low < 1.0 < s.interval.high for s in steps(by_name["NLSN", "attention_s"]))
    assert all(s.interval is None for s in steps(by_name["NLSN", "attention_macs"]))


def test_the_table_names_steps_and_changes(frames: Make) -> None:
    cost = costs(frames())[0]
    table = local_table(cost, growths(cost))
    rows = {row.head: row.entries for row in table.rows}
    assert table.columns[0].title == "576 → 2\u202f304"
    assert rows["NLN: MACs"]["576-2304"].text == "2.00"
    assert rows["NLN: MACs"]["change"].text == "none"
    assert rows["NLN: peak memory"]["change"].text == "1.69 → 1.97 between n = 2\u202f304 and 9\u202f216"


def test_a_failed_size_in_between_makes_a_longer_step(frames: Make) -> None:
    cost = costs(frames(fails={("NLN", "profile", "48x48"): (Status.ERROR, "x")}))[0]
    rows = {row.head: row.entries for row in local_table(cost, growths(cost)).rows}
    assert rows["NLN: MACs"]["576-9216"].text == "2.00"
    assert rows["NLN: MACs"]["576-2304"].text == "–"  # noqa: RUF001 - the sign of what is missing


def test_one_step_makes_no_table(frames: Make) -> None:
    cost = costs(frames(sizes=("24x24", "48x48")))[0]
    assert local_table(cost, growths(cost)) is None
