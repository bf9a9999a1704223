import numpy as np
import pytest

from reports.stats import median_interval, ratio_interval


def test_the_interval_of_the_median_holds_the_truth_about_as_often_as_said() -> None:
    held = sum(median_interval(np.random.default_rng(seed).lognormal(0.0, 0.2, 25)).holds(1.0) for seed in range(200))
    assert 176 <= held <= 199


def test_too_few_samples_have_no_interval() -> None:
    assert median_interval(np.array([1.0, 2.0])) is None
    assert ratio_interval(np.ones(2), np.ones(9)) is None


def test_the_ratio_of_medians() -> None:
    rng = np.random.default_rng(0)
    interval = ratio_interval(rng.normal(3.0, 0.1, 30), rng.normal(1.0, 0.03, 30))
    assert interval.holds(3.0)
    assert interval.high - interval.low == pytest.approx(0.1, abs=0.15)
