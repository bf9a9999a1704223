import dataclasses
import itertools
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from reports.frames import Frames
from reports.pair_tables import against_best, pairs_table
from reports.pairs import ALIKE_DB, MOST_IN_ALL_PAIRS, Comparison, compared
from reports.quality import Quality, qualities
from reports.significance import estimate
from reports.stats import Floats
from reports.tables import DASH, MINUS
from tests.stores import EDSR, MANY, NLSN

Make = Callable[..., Frames]


def quality_of(scores: Mapping[str, Floats]) -> Quality:
    """A table of PSNR-Y by label `[images seeds]`; NaN where an image was not scored."""
    by_seed = pd.concat({label: pd.DataFrame(values) for label, values in scores.items()}, axis=1)
    columns = {
        "psnr_y": {label: values.mean(axis=0).mean() for label, values in scores.items()},
        "seeds": {label: values.shape[1] for label, values in scores.items()},
        "images": {label: np.isfinite(values).all(axis=1).sum() for label, values in scores.items()},
    }
    infinite = {label: len(values) for label, values in scores.items() if np.isinf(values).any()}
    columns["images"].update(infinite)
    return Quality(
        scale=2,
        dataset="set",
        comparable="c",
        variant="",
        tiling="whole",
        precision="fp32",
        labels=tuple(scores),
        scores=pd.DataFrame(columns),
        images=by_seed.T.groupby(level=0, sort=False).mean().T,
        by_seed=by_seed,
        by_draw=by_seed,
        baseline="Bicubic" if "Bicubic" in scores else None,
    )


def only(scores: Mapping[str, Floats]) -> Comparison:
    (pairs,) = compared([quality_of(scores)])
    (pair,) = pairs.comparisons
    return pair


def column(*values: float) -> Floats:
    return np.array(values)[:, None]


def drawn(seed: int, methods: int, *, seeds: int, luck: float, images: int = 20) -> dict[str, Floats]:
    """Methods that are equally good: their scores differ by image, and by luck in training."""
    rng = np.random.default_rng(seed)
    common = rng.normal(30.0, 4.0, (images, 1))
    each = [rng.normal(0.0, 0.1, (images, 1)) + rng.normal(0.0, luck, (1, seeds)) for _ in range(methods)]
    return {f"M{i}": common + own for i, own in enumerate(each)}


def share_of_tables_with_an_error(methods: int, *, seeds: int, luck: float, tables: int = 200) -> float:
    """Of tables of equal methods, those in which any difference is taken for real."""
    wrong = 0
    for seed in range(tables):
        (pairs,) = compared([quality_of(drawn(seed, methods, seeds=seeds, luck=luck))])
        wrong += any(pair.verdict in ("better", "worse") for pair in pairs.comparisons)
    return wrong / tables


@pytest.mark.parametrize(("seeds", "luck"), [(1, 0.0), (3, 0.0), (3, 0.1), (2, 0.05)])
def test_equal_methods_are_called_noise(seeds: int, luck: float) -> None:
    assert share_of_tables_with_an_error(5, seeds=seeds, luck=luck) <= 0.08


@pytest.mark.parametrize(("seeds", "luck"), [(1, 0.0), (3, 0.1)])
def test_pairs_picked_by_their_scores_are_called_noise_too(seeds: int, luck: float) -> None:
    assert share_of_tables_with_an_error(14, seeds=seeds, luck=luck, tables=100) <= 0.08


@pytest.mark.parametrize(("seeds", "luck"), [(1, 0.0), (3, 0.02)])
def test_a_difference_of_several_detectable_effects_is_found(seeds: int, luck: float) -> None:
    found = 0
    for seed in range(50):
        scores = drawn(seed, 4, seeds=seeds, luck=luck)
        scores["M0"] += 3.0 * estimate(scores["M0"], scores["M1"]).detectable
        (pairs,) = compared([quality_of(scores)])
        found += all(pair.verdict == "better" for pair in pairs.comparisons if pair.first == "M0")
    assert found >= 45


def test_what_one_pair_says_by_hand() -> None:
    base = np.arange(30.0, 38.0)
    gaps = np.array([0.3, 0.1, -0.2, 0.4, 0.003, 0.5, 0.6, 0.7])
    pair = only({"A": (base + gaps)[:, None], "B": base[:, None]})
    assert (pair.first, pair.second, pair.images, pair.seeds) == ("A", "B", 8, (1, 1))
    assert pair.difference == pytest.approx(gaps.mean())
    assert (pair.wins, pair.losses, pair.ties) == (6, 1, 1)
    # Of seven signs the one minus has rank 2: rank sums of at most 2 come of no sign, of rank 1, of rank 2.
    assert pair.wilcoxon == pair.p == pair.holm == pytest.approx(2 * 3 / 2**7)
    assert (pair.verdict, pair.caution) == ("better", "one training seed each")


def test_the_best_comes_first_and_is_better_by_the_difference_of_the_printed_means() -> None:
    scores = drawn(0, 3, seeds=3, luck=0.05)
    quality = quality_of(scores)
    (pairs,) = compared([quality])
    assert pairs.best == quality.ranking[0]
    for pair in pairs.comparisons:
        means = [quality.score(label, "psnr_y") for label in (pair.first, pair.second)]
        assert pair.difference == pytest.approx(means[0] - means[1])
        assert pair.difference >= 0.0


def test_worse_is_the_other_way_round_of_better() -> None:
    base = np.linspace(30.0, 38.0, 12)[:, None]
    better = only({"A": base + column(*np.linspace(0.1, 0.2, 12)), "B": base})
    assert better.verdict == "better"
    turned = dataclasses.replace(better, difference=-better.difference)
    assert turned.verdict == "worse"


def test_images_alone_do_not_decide_where_seeds_disagree() -> None:
    base, luck = np.linspace(30.0, 38.0, 40)[:, None], np.array([[-0.3, 0.0, 0.3]])
    alone = only({"A": base + 0.1, "B": base})
    assert alone.verdict == "better"
    seeded = only({"A": base + 0.1 + luck, "B": base + luck})
    assert seeded.wilcoxon == pytest.approx(alone.wilcoxon, rel=0.1)
    assert seeded.p > 0.5
    assert seeded.verdict == "noise"
    assert (alone.caution, seeded.caution) == ("one training seed each", "")


def test_one_seed_against_three_draws_the_three_and_cautions_of_the_one() -> None:
    base, luck = np.linspace(30.0, 38.0, 40)[:, None], np.array([[-0.3, 0.0, 0.3]])
    pair = only({"A": base + 0.1, "B": base + luck})
    assert pair.seeds == (1, 3)
    assert pair.caution == "one training seed of A"
    assert pair.interval.high - pair.interval.low > 0.5


def test_two_forms_of_one_network_are_alike_however_regular_their_rounding() -> None:
    base = np.linspace(30.0, 38.0, 30)[:, None]
    pair = only({"plain": base + 0.9 * ALIKE_DB, "fused": base})
    assert (pair.verdict, pair.ties, pair.holm) == ("alike", 30, 1.0)
    assert only({"plain": base, "fused": base.copy()}).verdict == "alike"


def test_many_small_wins_against_one_large_loss_are_noise() -> None:
    base, gaps = np.linspace(30.0, 38.0, 30), np.linspace(0.01, 0.02, 30)
    gaps[7] = -0.4
    pair = only({"A": (base + gaps)[:, None], "B": base[:, None]})
    assert pair.holm < 0.05
    assert pair.interval.holds(0.0)
    assert pair.verdict == "noise"


def test_alike_needs_every_image() -> None:
    base = np.linspace(30.0, 38.0, 30)[:, None]
    other = base.copy()
    other[0] += 2 * ALIKE_DB
    pair = only({"A": other, "B": base})
    assert (pair.verdict, pair.wins, pair.ties, pair.wilcoxon) == ("noise", 1, 29, 1.0)


@pytest.mark.parametrize("images", [1, 2])
def test_fewer_than_three_images_are_undecided(images: int) -> None:
    pair = only({"A": np.full((images, 3), 31.0), "B": np.full((images, 3), 30.0)})
    assert (pair.verdict, pair.interval, pair.p) == ("undecided", None, None)
    assert (pair.difference, pair.wins) == (1.0, images)
    assert pair.reason == "fewer than 3 images"


def test_five_images_can_establish_nothing_and_say_so() -> None:
    pair = only({"A": column(31, 32, 33, 34, 35), "B": column(30, 31, 32, 33, 34)})
    assert (pair.verdict, pair.holm) == ("undecided", None)
    assert pair.reason == "5 images can give no p below 0.062"


def test_images_enough_for_one_pair_may_be_too_few_for_many() -> None:
    base, gaps = np.linspace(30.0, 38.0, 6)[:, None], column(*np.linspace(0.5, 0.6, 6))
    assert only({"A": base + gaps, "B": base}).verdict == "better"
    (pairs,) = compared([quality_of({"A": base + 2 * gaps, "B": base + gaps, "C": base})])
    assert {pair.verdict for pair in pairs.comparisons} == {"undecided"}
    assert pairs.comparisons[0].reason == (
        "6 images can give no p below 0.031, after Holm over the 3 pairs on these images 0.094"
    )
    assert pairs.family == 0


def test_infinite_scores_decide_nothing_and_do_no_harm() -> None:
    base = np.linspace(30.0, 38.0, 20)[:, None]
    scores = {"A": np.full((20, 1), np.inf), "B": np.full((20, 1), np.inf), "C": base + 0.5, "D": base}
    (pairs,) = compared([quality_of(scores)])
    told = {(pair.first, pair.second): pair for pair in pairs.comparisons}
    assert told["A", "C"].reason == told["A", "B"].reason == "infinite values"
    assert told["A", "C"].difference == np.inf
    assert np.isnan(told["A", "B"].difference)
    assert told["C", "D"].verdict == "better"
    assert pairs.family == 1
    assert against_best("C", pairs).text == f"{MINUS}∞"
    assert against_best("B", pairs).note == "both are infinite"


def test_methods_scored_on_other_images_are_not_tested() -> None:
    base = np.linspace(30.0, 38.0, 20)[:, None]
    short = base + 3.0
    short[0] = np.nan
    (pairs,) = compared([quality_of({"short": short, "A": base + 0.5, "B": base})])
    told = {(pair.first, pair.second): pair for pair in pairs.comparisons}
    assert pairs.best == "A"
    assert (told["A", "short"].images, told["A", "short"].verdict) == (19, "undecided")
    assert told["A", "short"].reason == "not scored on the same images"
    assert against_best("short", pairs).text == DASH


def test_the_baseline_is_in_no_pair() -> None:
    scores = {"Bicubic": np.full((20, 1), 28.0), **drawn(0, 3, seeds=1, luck=0.0)}
    (pairs,) = compared([quality_of(scores)])
    assert "Bicubic" not in {label for pair in pairs.comparisons for label in (pair.first, pair.second)}
    assert len(pairs.comparisons) == 3


def test_a_lone_network_has_no_pair() -> None:
    (pairs,) = compared([quality_of({"A": np.full((20, 1), 28.0)})])
    assert (pairs.comparisons, pairs.best, pairs_table("set", pairs)) == ((), "A", None)


@pytest.mark.parametrize("methods", [MOST_IN_ALL_PAIRS, MOST_IN_ALL_PAIRS + 1, 60])
def test_many_networks_are_shown_against_the_best_and_the_next(methods: int) -> None:
    quality = quality_of(drawn(0, methods, seeds=1, luck=0.5, images=60))
    (pairs,) = compared([quality])
    shown = [(pair.first, pair.second) for pair in pairs.comparisons]
    ranking = quality.ranking
    many = [(ranking[0], label) for label in ranking[1:]] + list(itertools.pairwise(ranking[1:]))
    assert shown == (many if methods > MOST_IN_ALL_PAIRS else list(itertools.combinations(ranking, 2)))
    assert pairs.family == methods * (methods - 1) // 2


def test_holm_counts_the_pairs_of_all_tables_that_can_decide() -> None:
    first, second = (quality_of(drawn(seed, 3, seeds=1, luck=0.02)) for seed in (0, 1))
    few = quality_of(drawn(2, 3, seeds=1, luck=0.02, images=5))
    tables = compared([first, few, second])
    assert [table.family for table in tables] == [6, 6, 6]
    assert [table.own for table in tables] == [3, 0, 3]
    tested = [pair for table in (tables[0], tables[2]) for pair in table.comparisons]
    ordered = sorted(tested, key=lambda pair: pair.p)
    assert ordered[0].holm == pytest.approx(min(1.0, 6 * ordered[0].p))
    assert [pair.holm for pair in ordered] == sorted(pair.holm for pair in ordered)
    assert all(pair.holm is None for pair in tables[1].comparisons)


def test_hash_draws_are_averaged_before_anything_is_compared(frames: Make) -> None:
    quality = qualities(frames(seeds=(0, 1), hash_seeds=(0, 4), variants=(EDSR, NLSN), sets=MANY))[0]
    assert quality.by_seed["NLSN"].shape == (12, 2)
    assert quality.by_seed["NLSN"].iloc[0, 1] == pytest.approx(NLSN.psnr + 0.1 + 0.02)
    (pairs,) = compared([quality])
    assert pairs.comparisons[0].seeds == (2, 2)
