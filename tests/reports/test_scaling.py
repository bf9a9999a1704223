import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from reports.cost import costs
from reports.fits import power_fit
from reports.frames import Frames
from reports.scaling import attending, growth, growths, local_exponent, scaling_table
from reports.tables import TIMES
from tests.reports.grown import fit
from tests.stores import BICUBIC, EDSR

Make = Callable[..., Frames]


N = np.array([256.0, 576.0, 1024.0, 2304.0, 4096.0, 9216.0])


@pytest.mark.parametrize("slope", [0.5, 1.0, 1.5, 2.0])
def test_counted_figures_give_their_exponent_exactly(slope: float) -> None:
    exponent, interval = power_fit(N, 3.0 * N**slope)
    assert exponent == pytest.approx(slope)
    assert interval.high - interval.low < 1e-6


@pytest.mark.parametrize("slope", [1.0, 2.0])
def test_a_noisy_slope_lies_in_its_interval_about_as_often_as_said(slope: float) -> None:
    held = 0
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(0.0, 0.1, len(N))
        _, interval = power_fit(N, N**slope * np.exp(noise))
        held += interval.holds(slope)
    assert 180 <= held <= 199


@pytest.mark.parametrize(("constant", "slope"), [(0.0, 1.0), (2e-3, 1.0), (2e-3, 2.0), (5e-2, 1.5)])
def test_a_constant_part_is_not_taken_for_a_small_exponent(constant: float, slope: float) -> None:
    rng = np.random.default_rng(0)
    samples = [(constant + 1e-6 * n**slope) * rng.normal(1.0, 0.005, 40) for n in N]
    exponent, interval, *_ = fit(N, samples)
    assert exponent == pytest.approx(slope, abs=0.08)
    assert interval.low - 0.05 <= slope <= interval.high + 0.05
    assert interval.low <= exponent <= interval.high


def test_the_line_on_logarithms_would_have_been_misled() -> None:
    cost = 5e-2 + 1e-6 * N**1.5
    assert power_fit(N, cost)[0] < 1.0
    assert fit(N, [np.full(5, value) for value in cost]).exponent == pytest.approx(1.5, abs=0.011)


def test_two_sizes_give_a_slope_without_interval() -> None:
    exponent, interval = power_fit(N[:2], N[:2])
    assert exponent == pytest.approx(1.0)
    assert interval is None


def test_the_last_octave_sees_a_change_of_slope() -> None:
    cost = np.where(N < 2000, N, N**2 / 2000)
    assert local_exponent(N, cost) == pytest.approx(2.0)
    assert local_exponent(np.array([1.0, 1.5]), np.array([1.0, 1.5])) == pytest.approx(1.0)


def test_growth_of_each_quantity_of_methods_with_attention(frames: Make) -> None:
    cost = costs(frames())[0]
    found = {(g.label, g.quantity): g for g in growths(cost)}
    assert {label for label, _ in found} == {"NLN", "NLN fused", "NLSN"}
    assert found["NLN", "attention_macs"].exponent == pytest.approx(2.0)
    assert found["NLSN", "attention_s"].exponent == pytest.approx(1.0, abs=0.05)
    assert found["NLSN", "attention_s"].caution == ""


def test_a_small_span_decides_nothing(frames: Make) -> None:
    cost = costs(frames(sizes=("24x24", "32x32", "48x48")))[0]
    grown = growth(cost, "NLSN", "attention_s")
    assert grown.caution == f"n spans only 4{TIMES}, a verdict needs 16{TIMES}"
    table = scaling_table(cost, [grown])
    assert table.rows[0].entries["caution"].text == "undecided"


def test_one_size_or_no_attention_gives_no_growth(frames: Make) -> None:
    assert growths(costs(frames(sizes=("24x24",)))[0]) == []


def test_sizes_of_one_n_are_one_point(frames: Make) -> None:
    assert growths(costs(frames(sizes=("24x96", "48x48")))[0]) == []
    grown = growth(costs(frames(sizes=("24x24", "24x96", "48x48", "96x96")))[0], "NLN", "attention_s")
    assert grown.n.tolist() == [576.0, 2304.0, 9216.0]
    assert grown.exponent == pytest.approx(2.0)


def test_the_note_says_what_intervals_of_time_hold(frames: Make) -> None:
    cost = costs(frames())[0]
    assert any("samples of one process" in note.lower() for note in scaling_table(cost, growths(cost)).notes)


def test_whole_sizes_that_were_slowed_widen_the_interval_of_all(frames: Make) -> None:
    calm = costs(frames())[0]
    slowed = calm.figures.copy()
    slowed.loc[("NLN", "48x48"), "attention_s"] *= 1.3
    busy = dataclasses.replace(calm, figures=slowed)
    widths = [
        {g.label: g.interval.high - g.interval.low for g in growths(c) if g.drawn is not None} for c in (calm, busy)
    ]
    assert all(widths[1][label] > 2.0 * widths[0][label] for label in ("NLN", "NLSN"))


def test_networks_without_attention_do_not_attend(frames: Make) -> None:
    cost = costs(frames(variants=(BICUBIC, EDSR)))[0]
    assert attending(cost) == []
    assert growths(cost) == []
