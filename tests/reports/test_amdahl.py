from collections.abc import Callable

import pytest

from harness.records import Status
from reports.amdahl import amdahl_tables, saving, share, speedup
from reports.cost import costs
from reports.frames import Frames
from tests.stores import BICUBIC, EDSR, NLSN, attention_s_of

Make = Callable[..., Frames]


def expected(size: str, n: int) -> float:
    attention = attention_s_of(NLSN, size)
    return attention / (attention + 2e-3 + 2e-6 * n)


def test_half_of_the_time_gone_makes_it_twice_as_fast() -> None:
    assert speedup(0.5) == pytest.approx(2.0)
    assert speedup(0.0) == 1.0
    assert speedup(1.0) < float("inf")
    assert saving(0.5, 0.83) == pytest.approx(0.415)


def test_shares_follow_the_store_and_lie_in_their_interval(frames: Make) -> None:
    cost = costs(frames())[0]
    found = share(cost, "NLSN", "48x48")
    assert found.value == pytest.approx(expected("48x48", 2304))
    assert found.interval.low <= found.value * (1 + 1e-9)
    assert found.value <= found.interval.high * (1 + 1e-9)


def test_three_tables_of_methods_with_attention_by_size(frames: Make) -> None:
    shares, times, saved = amdahl_tables(costs(frames())[0])
    part = expected("48x48", 2304)
    rows = {row.head: row.entries["48x48"].text for row in shares.rows}
    assert list(rows) == ["NLN", "NLN fused", "NLSN"]
    assert rows["NLSN"].startswith(f"{100 * part:.1f}\u202f% (")
    assert times.rows[-1].entries["48x48"].text.startswith(f"{1 / (1 - part):.2f}")
    assert saved.rows[-1].entries["48x48"].text.startswith(f"{83 * part:.1f}\u202f% (")
    assert "83\u202f% less attention time" in saved.caption


def test_a_failed_size_is_missing_and_no_attention_no_table(frames: Make) -> None:
    fails = {("NLN", "profile", "96x96"): (Status.ERROR, "x")}
    shares = amdahl_tables(costs(frames(fails=fails))[0])[0]
    assert shares.rows[0].entries["96x96"].value is None
    assert amdahl_tables(costs(frames(variants=(BICUBIC, EDSR)))[0]) == []
