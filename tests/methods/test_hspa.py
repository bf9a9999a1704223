"""Sparsemax: the projection onto the simplex, its Jacobian, and a result that does not depend on `topk`."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

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
@given(row=rows, topk=st.integers(1, 30))
def test_it_is_the_projection_onto_the_simplex(row: list[float], topk: int) -> None:
    scores = torch.tensor([row], dtype=torch.float64)
    expected = torch.tensor([projected(row)], dtype=torch.float64)
    torch.testing.assert_close(sparsemax(scores, topk), expected, rtol=0, atol=1e-12)


@few
@given(row=rows)
def test_no_point_of_the_simplex_is_nearer(row: list[float]) -> None:
    """The conditions of optimality: what is kept lies equally far from its score, what is not lies lower still."""
    scores = torch.tensor(row, dtype=torch.float64)
    weights = sparsemax(scores[None], 4)[0]
    gap = scores - weights
    kept = weights > 1e-9
    assert (gap[kept] - gap[kept].mean()).abs().max() < 1e-9
    assert (scores <= gap[kept].mean() + 1e-8)[~kept].all()


@pytest.mark.parametrize("spread", [0.001, 0.3, 3.0, 1000.0])
@pytest.mark.parametrize("topk", [1, 3, 17, 40, 41, 500])
def test_the_result_does_not_depend_on_topk(topk: int, spread: float) -> None:
    """The support is the whole row for the smallest spread, one entry for the largest."""
    scores = spread * random(2, 5, 40)
    whole, some = sparsemax(scores, 40), sparsemax(scores, topk)
    torch.testing.assert_close(some, whole, rtol=0, atol=1e-14)
    supports = (whole > 0).sum(dim=-1)
    assert {0.001: supports.min() == 40, 1000.0: supports.max() == 1}.get(spread, True)


class Sought(TorchDispatchMode):
    """Notes among how many of the largest entries the support was sought."""

    def __init__(self) -> None:
        super().__init__()
        self.widths: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.topk.default:
            self.widths.append(args[1])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("spread", "topk", "widths"),
    [(1000.0, 4, [4]), (1000.0, 64, [40]), (0.001, 4, [4, 8, 16, 32, 40]), (0.001, 40, [40])],
)
def test_the_search_widens_only_while_the_support_fills_it(spread: float, topk: int, widths: list[int]) -> None:
    with Sought() as sought:
        sparsemax(spread * random(3, 40), topk)
    assert sought.widths == widths


def test_rows_of_one_matrix_may_need_more_than_topk_or_less() -> None:
    scores = torch.stack([100 * random(30), 0.001 * random(30, seed=1)])
    supports = (sparsemax(scores, 4) > 0).sum(dim=-1)
    assert supports.tolist() == [1, 30]


@few
@given(row=rows, topk=st.sampled_from([1, 3, 128]))
def test_weights_are_not_negative_and_sum_to_one(row: list[float], topk: int) -> None:
    weights = sparsemax(torch.tensor([row], dtype=torch.float64), topk)
    assert (weights >= 0).all()
    assert float(weights.sum()) == pytest.approx(1)


def test_only_differences_of_scores_count() -> None:
    scores = random(3, 9)
    torch.testing.assert_close(sparsemax(scores, 3), sparsemax(scores + 1e4, 3), rtol=0, atol=1e-10)
    assert torch.equal(sparsemax(torch.zeros(1, 4), 2), torch.full((1, 4), 0.25))


@pytest.mark.parametrize("topk", [1, 3, 7, 128])
def test_the_gradient_is_that_of_finite_differences(topk: int) -> None:
    scores = (0.7 * random(4, 7)).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: sparsemax(s, topk), scores)


@pytest.mark.parametrize("topk", [1, 3, 128])
def test_the_jacobian_centres_the_support(topk: int) -> None:
    """`diag(s) - s s^T / |s|_1` with `s` the indicator of the support."""
    scores = 0.7 * random(9)
    jacobian = torch.autograd.functional.jacobian(lambda s: sparsemax(s[None], topk)[0], scores)
    support = (sparsemax(scores[None], topk)[0] > 0).to(scores)
    assert 1 < support.sum() < 9
    torch.testing.assert_close(jacobian, support.diag() - support.outer(support) / support.sum())


def test_the_module_attends_by_projected_scores() -> None:
    torch.manual_seed(0)
    module, x = build_attention("hspa", 8, res_scale=0.3, topk=2).double(), random(2, 8, 3, 5)
    query, key, value = (tokens(f(x)) for f in (module.conv_match1, module.conv_match2, module.conv_assembly))
    out = tokens(module(x) - x)
    for b in range(2):
        for token in range(15):
            weights = projected([float((query[b, token] @ k).detach()) for k in key[b]])
            merged = sum(w * v for w, v in zip(weights, value[b], strict=True))
            torch.testing.assert_close(out[b, token], 0.3 * merged)


@pytest.mark.parametrize("topk", [1, 3, 128])
def test_it_runs_without_data(topk: int) -> None:
    """What cannot be asked is not asked, so that costs of any size can be counted."""
    module = build_attention("hspa", 8, topk=topk)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert module(torch.empty(2, 8, 60, 50)).shape == (2, 8, 60, 50)
    module = module.to("meta")
    out = module(torch.empty(2, 8, 60, 50, device="meta"))
    assert (out.shape, out.device.type) == ((2, 8, 60, 50), "meta")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_number_makes_its_own_row_so(bad: float) -> None:
    scores = random(3, 9)
    scores[1, 2] = bad
    weights = sparsemax(scores, 4)
    assert weights[1].isnan().any()
    assert torch.equal(weights[::2], sparsemax(scores[::2], 4))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("length", [300, 4096])
def test_half_precision_counts_a_support_of_any_size(length: int, dtype: torch.dtype) -> None:
    """Rows sum to one within the rounding of their entries."""
    scores = (1e-3 * random(4, length)).to(dtype)
    weights = sparsemax(scores, 128)
    assert weights.dtype == dtype
    assert (weights > 0).sum(dim=-1).min() > 256
    assert (weights.double().sum(dim=-1) - 1).abs().max() < torch.finfo(dtype).eps


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"topk": 0}, "topk must be at least 1, not 0"),
        ({"backend": "plain"}, "unknown setting of hspa 'backend'"),
        ({"reduction": 9}, "reduction 9 leaves no channel of 8"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_attention("hspa", 8, **wrong)
