import math

import numpy as np
import pytest
from scipy import stats

from reports.significance import crossed_interval, estimate, holm, least_p, paired_interval, wilcoxon
from reports.stats import Floats


def simulated(seed: int, images: int, seeds: tuple[int, int], luck: float, difference: float = 0.0) -> list[Floats]:
    """Scores `[images seeds]` of two methods: images and methods differ by image, networks of one method by luck."""
    rng = np.random.default_rng(seed)
    common = rng.normal(30.0, 4.0, (images, 1))
    methods = [rng.normal(0.0, 0.1, (images, 1)) for _ in seeds]
    drawn = [rng.normal(0.0, luck, (1, count)) for count in seeds]
    first, second = (common + own + chance for own, chance in zip(methods, drawn, strict=True))
    return [first + difference, second]


def test_holm_gives_the_values_worked_out_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2, 0.001, 0.9]) == pytest.approx([0.4, 0.003, 0.9])
    assert holm([0.02, 0.02, 0.021]) == pytest.approx([0.06, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_over_a_family_larger_than_what_was_tested() -> None:
    assert holm([0.01, 0.004], family=10) == pytest.approx([0.09, 0.04])


def test_holm_keeps_the_order_and_lies_between_the_p_and_bonferroni() -> None:
    p = np.random.default_rng(0).uniform(size=40) ** 3
    adjusted = np.array(holm(p.tolist()))
    assert (np.diff(adjusted[np.argsort(p)]) >= 0.0).all()
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1.0, 40 * p)).all()


@pytest.mark.parametrize("count", [1, 2, 5, 14, 50, 51, 120])
def test_wilcoxon_is_that_of_scipy_where_nothing_ties(count: int) -> None:
    for seed in range(10):
        differences = np.random.default_rng(seed).normal(0.03, 0.1, count)
        assert wilcoxon(differences) == pytest.approx(stats.wilcoxon(differences).pvalue, rel=1e-9)


def test_wilcoxon_is_exact_with_ties_too() -> None:
    differences = np.array([0.3, 0.3, -0.3, 0.1, 0.1, 0.2])
    assert wilcoxon(differences) == pytest.approx(stats.wilcoxon(differences, method=_all_signs()).pvalue)
    assert wilcoxon(differences + np.array([1e-14, 0, 0, -1e-14, 0, 0])) == wilcoxon(differences)


def _all_signs() -> stats.PermutationMethod:
    return stats.PermutationMethod(n_resamples=10_000)


def test_zeros_do_not_count_for_wilcoxon() -> None:
    differences = np.array([0.1, -0.2, 0.3, 0.4, 0.5, 0.6])
    assert wilcoxon(np.concatenate([differences, np.zeros(9)])) == wilcoxon(differences)
    assert wilcoxon(np.zeros(4)) == 1.0


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_the_least_p_is_that_of_differences_of_one_sign(count: int) -> None:
    assert wilcoxon(np.arange(1.0, count + 1.0)) == pytest.approx(least_p(count))


def test_the_least_p_of_five_images_is_above_five_percent() -> None:
    assert least_p(5) == 0.0625


def test_the_error_of_one_seed_each_is_that_of_the_paired_t_test() -> None:
    first, second = simulated(0, 12, (1, 1), luck=0.1)
    found, peer = estimate(first, second), stats.ttest_rel(first[:, 0], second[:, 0])
    assert found.p == pytest.approx(peer.pvalue)
    assert found.freedom == pytest.approx(11)
    quantiles = stats.t.ppf(0.975, 11) + stats.t.ppf(0.8, 11)
    assert found.detectable == pytest.approx(quantiles * (first - second).std(ddof=1) / math.sqrt(12))


def test_where_only_seeds_differ_the_test_is_that_of_welch() -> None:
    first, second = (30.0 + np.array([luck]).repeat(6, axis=0) for luck in ([0.1, 0.3, 0.2, 0.0], [0.5, 0.4, 0.9]))
    found, peer = estimate(first, second), stats.ttest_ind(first[0], second[0], equal_var=False)
    assert found.p == pytest.approx(peer.pvalue)
    assert found.freedom == pytest.approx(peer.df)


def test_the_detectable_effect_is_found_in_eighty_percent_of_cases() -> None:
    effect = np.mean([estimate(*simulated(seed, 20, (3, 3), 0.05)).detectable for seed in range(100)])
    found = sum(estimate(*simulated(seed, 20, (3, 3), 0.05, float(effect))).p < 0.05 for seed in range(300))
    assert 0.70 < found / 300 < 0.92


def test_the_detectable_effect_falls_with_more_images() -> None:
    effects = [
        np.mean([estimate(*simulated(seed, images, (1, 1), 0.0)).detectable for seed in range(20)])
        for images in (5, 10, 20, 100)
    ]
    assert effects == sorted(effects, reverse=True)
    assert effects[0] > 3 * effects[-1]


@pytest.mark.parametrize(
    ("images", "seeds", "luck"),
    [
        (5, (1, 1), 0.0),
        (14, (1, 1), 0.0),
        (100, (1, 1), 0.0),
        (20, (3, 3), 0.05),
        (100, (3, 3), 0.1),
        (50, (5, 2), 0.1),
    ],
)
def test_the_interval_holds_the_truth_about_as_often_as_said(images: int, seeds: tuple[int, int], luck: float) -> None:
    held = 0
    for seed in range(300):
        first, second = simulated(seed, images, seeds, luck, difference=0.2)
        held += crossed_interval(first, second, estimate(first, second)).holds(0.2)
    assert 0.88 <= held / 300 <= 0.99


def test_images_are_drawn_in_pairs_and_seeds_are_not() -> None:
    images, rng = np.linspace(20.0, 40.0, 30)[:, None], np.random.default_rng(0)
    noise = rng.normal(0.0, 0.01, (30, 1))
    paired = crossed_interval(images + noise, images, estimate(images + noise, images))
    assert paired.high - paired.low < 0.02
    luck = np.array([[-0.2, 0.0, 0.2]])
    seeded = crossed_interval(images + luck, images + luck, estimate(images + luck, images + luck))
    assert seeded.high - seeded.low > 0.4


@pytest.mark.parametrize(("images", "seeds"), [(60, (3, 3)), (60, (2, 4)), (8, (1, 1))])
def test_the_interval_is_as_wide_as_that_of_students_t(images: int, seeds: tuple[int, int]) -> None:
    ratios = []
    for seed in range(30):
        first, second = simulated(seed, images, seeds, 0.1)
        found = estimate(first, second)
        interval = crossed_interval(first, second, found)
        student = 2.0 * stats.t.ppf(0.975, found.freedom) * found.error
        ratios.append((interval.high - interval.low) / student)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.06)


def test_one_difference_on_all_images_has_no_error() -> None:
    found = estimate(np.full((4, 1), 30.5), np.full((4, 1), 30.0))
    assert (found.value, found.error, found.p, found.detectable) == (0.5, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("images", [3, 5, 14])
def test_an_interval_of_paired_differences_holds_the_truth_about_as_often_as_said(images: int) -> None:
    """Set5 has five images: a plain bootstrap of so few would hold it in 84 % of cases."""
    found = [paired_interval(np.random.default_rng(seed).normal(0.1, 0.2, (images, 1))) for seed in range(300)]
    assert sum(each.holds(0.1) for each in found) >= 0.92 * 300


def test_too_few_or_infinite_differences_have_no_interval() -> None:
    assert paired_interval(np.array([[1.0], [2.0]])) is None
    assert paired_interval(np.array([[1.0], [np.inf], [2.0]])) is None
