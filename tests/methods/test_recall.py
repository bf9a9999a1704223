"""Figures drawn from looks, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.interface import Look
from methods.look import entropy, mass_recall, recall


def look_of(scores: list[float], weights: list[float]) -> Look:
    given = torch.tensor(weights)[None, None]
    return Look(given, torch.tensor(scores)[None, None], given > 0)


def test_entropy_is_in_bits_and_nothing_counts_nothing() -> None:
    rows = torch.tensor([[[0.5, 0.25, 0.25, 0.0], [0.0, 1.0, 0.0, 0.0]]])
    assert entropy(rows).tolist() == [[1.5, 0.0]]
    assert entropy(rows).dtype == torch.float64


@pytest.mark.parametrize("length", [1, 2, 7, 1000])
def test_entropy_of_uniform_weights_is_the_logarithm_of_their_number(length: int) -> None:
    assert entropy(torch.full((1, 1, length), 1 / length)).item() == pytest.approx(math.log2(length), rel=1e-6)


@pytest.mark.parametrize(("top", "expected"), [(1, 0.0), (2, 1 / 2), (3, 1 / 3), (4, 2 / 4), (9, 2 / 4)])
def test_recall_counts_the_best_keys_that_are_reached(top: int, expected: float) -> None:
    look = look_of([0.0, 3.0, 2.0, 1.0], [0.9, 0.0, 0.1, 0.0])
    assert recall(look, top).tolist() == [[expected]]


def test_of_equal_scores_those_that_come_first_are_best() -> None:
    look = look_of([1.0] * 40, [0.5] * 2 + [0.0] * 38)
    assert recall(look, 4).tolist() == [[0.5]]


def test_recall_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="top must be at least 1, not 0"):
        recall(look_of([1.0], [1.0]), 0)


def test_mass_recall_is_what_exact_attention_gives_to_those_reached() -> None:
    look = look_of([math.log(4), math.log(3), math.log(2), 0.0], [0.2, 0.0, 0.8, 0.0])
    assert mass_recall(look).item() == pytest.approx((4 + 2) / 10)


def test_mass_recall_bears_scores_that_float32_exponentials_do_not() -> None:
    look = look_of([200.0, 199.0, -200.0], [0.0, 1.0, 0.0])
    assert mass_recall(look).item() == pytest.approx(1 / (1 + math.e))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(scores=st.lists(st.floats(-50, 50), min_size=1, max_size=12), top=st.integers(1, 15))
def test_whoever_reaches_all_recalls_all(scores: list[float], top: int) -> None:
    look = look_of(scores, [1 / len(scores)] * len(scores))
    assert recall(look, top).item() == 1
    assert mass_recall(look).item() == pytest.approx(1)
    assert 0 <= entropy(look.weights).item() <= math.log2(len(scores)) + 1e-6
