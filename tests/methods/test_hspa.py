"""Sparsemax: the projection onto the simplex, its Jacobian, a search that ends, and memory that ignores the data."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.profile.memory import LiveBytes
from methods import build_attention
from methods.dense import sparsemax
from methods.interface import tokens

few = settings(max_examples=60, deadline=None, derandomize=True)
rows = st.lists(st.floats(-20, 20), min_size=1, max_size=24)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def projected(row: list[float]) -> list[float]:
    """Martins and Astudillo, algorithm 1: the largest k with 1 + k z_(k) > sum of the k largest."""
    best, total, threshold = sorted(row, reverse=True), 0.0, 0.0
    for k, z in enumerate(best, start=1):
        total += z
        if 1 + k * z > total:
            threshold = (total - 1) / k
    return [max(0.0, z - threshold) for z in row]


@few
@given(row=rows)
def test_it_is_the_projection_onto_the_simplex(row: list[float]) -> None:
    scores = torch.tensor([row], dtype=torch.float64)
    expected = torch.tensor([projected(row)], dtype=torch.float64)
    torch.testing.assert_close(sparsemax(scores), expected, rtol=0, atol=1e-12)


@few
@given(row=rows)
def test_no_point_of_the_simplex_is_nearer(row: list[float]) -> None:
    """The conditions of optimality: what is kept lies equally far from its score, what is not lies lower still."""
    scores = torch.tensor(row, dtype=torch.float64)
    weights = sparsemax(scores[None])[0]
    gap = scores - weights
    kept = weights > 1e-9
    assert (gap[kept] - gap[kept].mean()).abs().max() < 1e-9
    assert (scores <= gap[kept].mean() + 1e-8)[~kept].all()


@pytest.mark.parametrize("spread", [0.001, 0.3, 3.0, 1000.0])
@pytest.mark.parametrize("length", [1, 15, 16, 17, 40, 150])
def test_supports_of_any_size_are_found(length: int, spread: float) -> None:
    """The support is the whole row for the smallest spread, one entry for the largest."""
    scores = spread * random(5, length)
    weights = sparsemax(scores)
    expected = torch.tensor([projected(row) for row in scores.tolist()], dtype=torch.float64)
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-12)
    supports = (weights > 0).sum(dim=-1)
    assert {0.001: supports.min() == length, 1000.0: supports.max() == 1}.get(spread, True)


HARD = {
    "equal": torch.zeros(700),
    "two values": torch.cat([torch.zeros(350), torch.full((350,), -1e-3)]),
    "largest numbers": torch.tensor([3e38, 3e38, -1.0, 1e-38] * 100) / 4,
    "huge spread": torch.logspace(-30, 30, 500),
    "beyond whole numbers": 2.0**30 + torch.arange(500.0) * 64,
    "many steps": -(1 - 0.7 ** torch.arange(600.0)),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_search_ends_on_hard_rows(name: str, dtype: torch.dtype) -> None:
    scores = torch.stack([HARD[name], HARD[name].flip(0)]).to(dtype)
    expected = torch.tensor([projected((row - row.max()).tolist()) for row in scores], dtype=torch.float64)
    torch.testing.assert_close(sparsemax(scores).double(), expected, rtol=0, atol=1e-6)


def test_memory_does_not_depend_on_the_data() -> None:
    """The weights, and a sixteenth of them for the search, beside the scores."""
    scores, peaks = random(640, 640).float(), set()
    for spread in (0.0, 1e-4, 0.1, 10.0):
        given = scores * spread
        with LiveBytes(nn.Identity()) as live:
            sparsemax(given)
        peaks.add(live.peak)
    assert len(peaks) == 1
    assert 1 < peaks.pop() / (640 * 640 * 4) < 1.1


def test_rows_of_one_matrix_have_supports_of_their_own() -> None:
    scores = torch.stack([100 * random(30), 0.001 * random(30, seed=1)])
    supports = (sparsemax(scores) > 0).sum(dim=-1)
    assert supports.tolist() == [1, 30]


@few
@given(row=rows)
def test_weights_are_not_negative_and_sum_to_one(row: list[float]) -> None:
    weights = sparsemax(torch.tensor([row], dtype=torch.float64))
    assert (weights >= 0).all()
    assert float(weights.sum()) == pytest.approx(1)


def test_only_differences_of_scores_count() -> None:
    scores = random(3, 9)
    torch.testing.assert_close(sparsemax(scores), sparsemax(scores + 1e4), rtol=0, atol=1e-10)
    assert torch.equal(sparsemax(torch.zeros(1, 4)), torch.full((1, 4), 0.25))


def test_the_gradient_is_that_of_finite_differences() -> None:
    scores = (0.7 * random(4, 7)).requires_grad_()
    assert torch.autograd.gradcheck(sparsemax, scores)


def test_the_jacobian_centres_the_support() -> None:
    """`diag(s) - s s^T / |s|_1` with `s` the indicator of the support."""
    scores = 0.7 * random(9)
    jacobian = torch.autograd.functional.jacobian(lambda s: sparsemax(s[None])[0], scores)
    support = (sparsemax(scores[None])[0] > 0).to(scores)
    assert 1 < support.sum() < 9
    torch.testing.assert_close(jacobian, support.diag() - support.outer(support) / support.sum())


def test_the_module_attends_by_projected_scores() -> None:
    torch.manual_seed(0)
    module, x = build_attention("hspa", 8, res_scale=0.3).double(), random(2, 8, 3, 5)
    query, key, value = (tokens(f(x)) for f in (module.conv_match1, module.conv_match2, module.conv_assembly))
    out = tokens(module(x) - x)
    for b in range(2):
        for token in range(15):
            weights = projected([float((query[b, token] @ k).detach()) for k in key[b]])
            merged = sum(w * v for w, v in zip(weights, value[b], strict=True))
            torch.testing.assert_close(out[b, token], 0.3 * merged)


def test_it_runs_without_data() -> None:
    """What cannot be asked is not asked, so that costs of any size can be counted."""
    module = build_attention("hspa", 8)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert module(torch.empty(2, 8, 60, 50)).shape == (2, 8, 60, 50)
    module = module.to("meta")
    out = module(torch.empty(2, 8, 60, 50, device="meta"))
    assert (out.shape, out.device.type) == ((2, 8, 60, 50), "meta")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_number_makes_its_own_row_so(bad: float) -> None:
    scores = random(3, 9)
    scores[1, 2] = bad
    weights = sparsemax(scores)
    assert weights[1].isnan().any()
    assert torch.equal(weights[::2], sparsemax(scores[::2]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("length", [300, 4096])
def test_half_precision_counts_a_support_of_any_size(length: int, dtype: torch.dtype) -> None:
    """Rows sum to one within the rounding of their entries."""
    scores = (1e-3 * random(4, length)).to(dtype)
    weights = sparsemax(scores)
    assert weights.dtype == dtype
    assert (weights > 0).sum(dim=-1).min() > 256
    assert (weights.double().sum(dim=-1) - 1).abs().max() < torch.finfo(dtype).eps


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"topk": 128}, "unknown setting of hspa 'topk'"),
        ({"backend": "plain"}, "unknown setting of hspa 'backend'"),
        ({"reduction": 9}, "reduction 9 leaves no channel of 8"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_attention("hspa", 8, **wrong)
