import numpy as np
import pytest

from reports.fits import BLOCK, Scatter, fitted, pooled, redrawn, scatter_of, widened
from tests.reports.grown import fit, noisy

SIDES = np.array([32.0, 40.0, 48.0, 64.0, 80.0, 96.0, 128.0])
N = SIDES**2
TRIALS = 60


def test_a_fit_gives_back_constant_factor_and_exponent() -> None:
    fits = fitted(N, (2e-3 + 1e-6 * N**1.5)[None])
    assert fits.constant[0] == pytest.approx(2e-3, rel=1e-6)
    assert fits.exponent[0] == pytest.approx(1.5)
    assert fits.at(np.array([5e4]))[0, 0] == pytest.approx(2e-3 + 1e-6 * 5e4**1.5)


def test_many_rows_are_fitted_as_each_by_itself() -> None:
    cost = (1e-3 + 1e-7 * N**1.2) * np.exp(np.random.default_rng(0).normal(0.0, 0.1, (2 * BLOCK + 3, len(N))))
    together, alone = fitted(N, cost), [fitted(N, row[None]) for row in cost]
    np.testing.assert_array_equal(together.exponent, [each.exponent[0] for each in alone])
    np.testing.assert_allclose(together.constant, [each.constant[0] for each in alone], rtol=1e-9)


def test_few_sizes_are_fitted_without_a_constant() -> None:
    fits = fitted(N[:3], (3e-6 * N[:3] ** 0.7)[None])
    assert (fits.constant[0], fits.exponent[0]) == (0.0, pytest.approx(0.7))
    assert fits.at(N[3:4])[0, 0] == pytest.approx(3e-6 * N[3] ** 0.7)


def test_a_falling_cost_never_turns_negative() -> None:
    assert (fitted(N, (1e3 / N)[None]).at(np.array([1.0, 1e6])) >= 0.0).all()


def test_scatter_of_a_curve_is_nothing_and_of_two_sizes_unknown() -> None:
    assert scatter_of(N, 1e-6 * N).variance == pytest.approx(0.0, abs=1e-12)
    assert scatter_of(N, 1e-6 * N).freedom == len(N) - 3
    assert scatter_of(N[:2], N[:2]) == Scatter()


def test_scatter_is_the_larger_of_its_own_and_that_of_all() -> None:
    quiet, louder = Scatter(squares=1.0, freedom=4), Scatter(squares=0.9, freedom=1)
    both = [quiet, louder]
    assert widened(quiet, pooled(both)) == Scatter(squares=pytest.approx(1.9), freedom=5)
    assert widened(louder, pooled(both)) == Scatter(squares=pytest.approx(0.9 * 5), freedom=5)


def test_one_that_scatters_far_more_has_its_own_sizes_only() -> None:
    loud, calm = Scatter(squares=9.0, freedom=1), [Scatter(squares=0.1, freedom=1)] * 6
    assert widened(loud, pooled([loud, *calm])) == loud
    assert widened(calm[0], pooled([loud, *calm])).variance == pytest.approx(9.6 / 7)


def test_two_sizes_borrow_the_scatter_of_others_or_have_none() -> None:
    other = Scatter(squares=0.2, freedom=2)
    assert widened(Scatter(), pooled([Scatter(), other])) == other
    assert widened(Scatter(), pooled([Scatter()])) == Scatter()
    assert widened(other, pooled([other])) == other


def test_what_is_redrawn_scatters_as_much_as_the_larger_of_both() -> None:
    samples = [np.random.default_rng(i).normal(1.0, 0.001, 9) for i in range(4)]
    wide = np.log(redrawn(samples, Scatter(squares=0.01 * 400, freedom=400)))
    assert np.std(wide) == pytest.approx(0.1, rel=0.1)
    loud = [np.exp(np.random.default_rng(i).normal(0.0, 0.5, 9)) for i in range(4)]
    assert (redrawn(loud, Scatter(squares=1e-4, freedom=400)) == redrawn(loud, Scatter())).all()


def test_methods_are_redrawn_independently() -> None:
    samples = [np.arange(1.0, 10.0)] * 4
    one, other = (np.log(redrawn(samples, Scatter(squares=1.0, freedom=4), name)) for name in ("one", "other"))
    assert abs(np.corrcoef(one[:, 0], other[:, 0])[0, 1]) < 0.15
    assert (np.log(redrawn(samples, Scatter(squares=1.0, freedom=4), "one")) == one).all()


@pytest.mark.parametrize("by_size", [0.0, 0.05])
@pytest.mark.parametrize("slope", [1.0, 2.0])
def test_an_exponent_lies_in_its_interval_though_whole_sizes_were_slowed(slope: float, by_size: float) -> None:
    truth = 5e-4 + 1e-9 * N**slope * N[-1] ** (2.0 - slope)
    intervals = [fit(N, noisy(truth, seed, by_size)).interval for seed in range(TRIALS)]
    held = sum(interval.low - 0.005 <= slope <= interval.high + 0.005 for interval in intervals)
    assert held >= 0.9 * TRIALS


def test_samples_alone_would_have_been_too_certain() -> None:
    truth = 5e-4 + 1e-6 * N
    intervals = [fit(N, noisy(truth, seed, 0.05), Scatter()).interval for seed in range(TRIALS)]
    assert sum(interval.holds(1.0) for interval in intervals) < 0.6 * TRIALS


@pytest.mark.parametrize("constant", [0.0, 2e-3, 2e-2])
def test_linear_is_never_called_logarithmic_nor_quadratic_linear(constant: float) -> None:
    """Where an interval is narrow enough for a verdict; the usual fits fail here in nearly all trials."""
    for seed in range(TRIALS // 2):
        for slope in (1.0, 2.0):
            truth = constant + 1e-9 * N**slope * N[-1] ** (2.0 - slope)
            interval = fit(N, noisy(truth, seed, 0.03)).interval
            decided = interval.high - interval.low <= 0.5
            assert not (decided and interval.high < slope - 0.3), (seed, slope, interval)
            assert not (decided and interval.low > slope + 0.3), (seed, slope, interval)
