"""Kernel attention: explicit sums, what its features approximate, its projection, its loss, its schedule."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from methods import build_attention
from methods.enlca.attention import (
    KernelAttention,
    RandomFeatures,
    contrastive_loss,
    kernel_attention,
    orthogonal_gaussian,
)
from methods.interface import tokens

STEPS = 1000


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that an operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.elements = max([self.elements, *(t.numel() for t in tree_leaves(out) if isinstance(t, Tensor))])
        return out


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attention(**recipe: Any) -> KernelAttention:
    torch.manual_seed(0)
    module = build_attention("enlca", 8, **recipe).double()
    assert isinstance(module, KernelAttention)
    return module


def scaled(match: Tensor, length: float) -> Tensor:
    return length * match / match.norm(dim=-1, keepdim=True).clamp_min(5e-5)


def features(u: Tensor, projection: Tensor) -> Tensor:
    """Of one token `u [d]`, written out."""
    return torch.stack([((row @ u - u @ u / 2).exp() + 1e-4) / math.sqrt(len(projection)) for row in projection])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(height=st.integers(1, 4), width=st.integers(1, 4), m=st.integers(1, 9), amplification=st.sampled_from([1, 6.0]))
def test_equals_explicit_sums_over_all_keys(height: int, width: int, m: int, amplification: float) -> None:
    module = attention(n_features=m, amplification=amplification, reduction=2, res_scale=0.3).eval()
    x, length = random(2, 8, height, width), math.sqrt(amplification)
    query, key = (scaled(tokens(f(x)), length) for f in (module.conv_match1, module.conv_match2))
    value, projection, out = tokens(module.conv_assembly(x)), module.attn_fn.projection_matrix, module(x)
    for b in range(2):
        phi_keys = [features(k, projection) for k in key[b]]
        for token, q in enumerate(query[b]):
            weights = [features(q, projection) @ phi for phi in phi_keys]
            merged = sum(w / sum(weights) * v for w, v in zip(weights, value[b], strict=True))
            expected = x[b, :, token // width, token % width] + 0.3 * merged
            torch.testing.assert_close(out[b, :, token // width, token % width], expected)


def test_kernel_attention_weighs_by_inner_products() -> None:
    query, key, value = random(2, 5, 3).exp(), random(2, 7, 3, seed=1).exp(), random(2, 7, 4, seed=2)
    weights = query @ key.transpose(1, 2)
    torch.testing.assert_close(kernel_attention(query, key, value), weights / weights.sum(dim=-1, keepdim=True) @ value)


@pytest.mark.parametrize("count", [64, 1024, 16384])
def test_features_approximate_the_exponential_of_an_inner_product(count: int) -> None:
    """Within five standard deviations, `exp(q.k) sqrt((exp |q+k|^2 - 1) / m)` for Gaussian rows, and the floor.

    Rows get a random sign here: as QR leaves them, in the released code too, they lean to one side.
    """
    torch.manual_seed(0)
    phi = RandomFeatures(count, 8).double()
    phi.projection_matrix.copy_(orthogonal_gaussian(count, 8) * torch.randn(count, 1).sign())
    query, key = 0.7 * scaled(random(20, 8), 1), 0.7 * scaled(random(20, 8, seed=1), 1)
    exact = (query * key).sum(dim=1).exp()
    deviation = exact * (((query + key).square().sum(dim=1).exp() - 1) / count).sqrt()
    error = (phi(query) * phi(key)).sum(dim=1) - exact
    assert (error.abs() < 5 * deviation + 4e-4).all()


@pytest.mark.parametrize(("count", "channels"), [(128, 64), (12, 5), (3, 8), (1, 1)])
def test_rows_are_orthogonal_inside_each_block(count: int, channels: int) -> None:
    rows = orthogonal_gaussian(count, channels)
    assert rows.shape == (count, channels)
    units = (rows / rows.norm(dim=1, keepdim=True)).split(channels)
    for unit in units:
        torch.testing.assert_close(unit @ unit.T, torch.eye(len(unit)), rtol=0, atol=1e-5)
    assert all(not torch.allclose(one[: len(other)], other) for one, other in itertools.pairwise(units))


def test_rows_are_as_long_as_independent_gaussian_vectors() -> None:
    torch.manual_seed(0)
    rows = orthogonal_gaussian(4000, 16)
    squares = rows.square().sum(dim=1)
    # Chi-squared with 16 degrees of freedom: mean 16, variance 32, fourth central moment 12*16*20.
    assert abs(squares.mean() - 16) < 5 * math.sqrt(32 / 4000)
    assert abs(squares.var() - 32) < 5 * math.sqrt((12 * 16 * 20 - 32**2) / 4000)
    torch.manual_seed(0)
    for _ in range(250):
        torch.randn(16, 16)
    torch.testing.assert_close(rows.norm(dim=1), torch.randn(4000, 16).norm(dim=1))


def loss_by_loops(query: Tensor, key: Tensor) -> float:
    terms = []
    for q, keys in zip(query, key, strict=True):
        for row in q:
            scores = sorted((math.exp(float(row @ k)) for k in keys), reverse=True)
            ratio = sum(scores[:15]) / 15 / (sum(scores[50:65]) / 15 + 1e-6)
            terms.append(max(0.0, 1 - math.log(ratio)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("length", [65, 66, 90])
@pytest.mark.parametrize("size", [0.1, 0.7, 1.5])
def test_the_loss_compares_the_best_keys_with_those_of_rank_fifty(length: int, size: float) -> None:
    query, key = size * random(2, length, 3), size * random(2, length, 3, seed=1)
    expected = loss_by_loops(query, key)
    assert expected > 0
    assert float(contrastive_loss(query, key)) == pytest.approx(expected)


def test_the_loss_of_equal_scores_is_the_margin() -> None:
    flat = torch.zeros(1, 65, 2, dtype=torch.float64)
    assert float(contrastive_loss(flat, flat)) == pytest.approx(1, abs=1e-5)


def test_sharp_scores_cost_nothing() -> None:
    key = torch.zeros(1, 70, 2, dtype=torch.float64)
    key[:, :15, 0] = 3.0
    assert float(contrastive_loss(torch.ones_like(key), key)) == 0


def test_the_loss_of_a_module_is_weighted_and_differentiable() -> None:
    module, x = attention(amplification=0.5, contrastive_weight=0.2), random(1, 8, 9, 8)
    module(x)
    query, key = (scaled(tokens(f(x)), math.sqrt(0.5)).detach() for f in (module.conv_match1, module.conv_match2))
    loss = module.training_loss()
    assert loss is not None
    assert loss.item() == pytest.approx(0.2 * loss_by_loops(query, key))
    loss.backward()
    for learned in (module.conv_match1, module.conv_match2):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learned.parameters())
    assert all(p.grad is None for p in module.conv_assembly.parameters())


def test_the_gradient_of_the_loss_is_that_of_finite_differences() -> None:
    query, key = 0.5 * random(1, 65, 2), 0.5 * random(1, 65, 2, seed=1)
    assert torch.autograd.gradcheck(contrastive_loss, (query.requires_grad_(), key.requires_grad_()))


def test_without_enough_positions_training_is_refused_and_nothing_else() -> None:
    x, told = random(1, 8, 8, 8), "needs an input of at least 65 positions, not 64"
    with pytest.raises(ValueError, match=told):
        attention()(x)
    assert attention().eval()(x).shape == x.shape
    assert attention(contrastive_weight=0.0)(x).shape == x.shape
    attention()(random(1, 8, 5, 13))


def test_a_loss_that_is_off_is_none() -> None:
    module, x = attention(), random(1, 8, 9, 8)
    module(x)
    assert module.training_loss() is not None
    module.eval()(x)
    assert module.training_loss() is None
    off = attention(contrastive_weight=0.0)
    off.begin_step(STEPS - 1, STEPS)
    off(x)
    assert off.training_loss() is None


@pytest.mark.parametrize(("start", "first"), [(0.1, 100), (0.0, 0), (0.25, 250), (1.0, None)])
def test_the_loss_begins_at_its_share_of_the_training(start: float, first: int | None) -> None:
    module, x, on = attention(contrastive_from=start, redraw_every=0), random(1, 8, 9, 8), []
    for step in sorted({0, 99, 100, 101, 249, 250, STEPS - 1}):
        module.begin_step(step, STEPS)
        module(x)
        if module.training_loss() is not None:
            on.append(step)
    assert (on[0] if on else None) == first
    assert on == [] or on[-1] == STEPS - 1


@pytest.mark.parametrize(("every", "drawn"), [(3, [3, 6, 9]), (1, list(range(1, 10))), (0, []), (640, [])])
def test_the_projection_is_drawn_anew_every_so_many_steps(every: int, drawn: list[int]) -> None:
    module, at = attention(redraw_every=every), []
    for step in range(10):
        before = module.attn_fn.projection_matrix.clone()
        module.begin_step(step, STEPS)
        after = module.attn_fn.projection_matrix
        assert after.shape == before.shape
        if not torch.equal(before, after):
            at.append(step)
    assert at == drawn


def test_a_redraw_is_an_ordinary_draw_and_travels_with_the_weights() -> None:
    module = attention(n_features=20)
    torch.manual_seed(3)
    module.attn_fn.redraw()
    torch.manual_seed(3)
    torch.testing.assert_close(module.attn_fn.projection_matrix, orthogonal_gaussian(20, 2).double())
    assert torch.equal(module.state_dict()["attn_fn.projection_matrix"], module.attn_fn.projection_matrix)


def test_only_training_holds_a_score_matrix() -> None:
    module, x, largest = attention(n_features=16), random(1, 8, 24, 24), {}
    for training in (True, False):
        module.train(training)
        with torch.no_grad(), Largest() as watcher:
            module(x)
        largest[training] = watcher.elements
    assert largest[True] == (24 * 24) ** 2
    assert largest[False] <= 16 * 24 * 24


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near(dtype: torch.dtype) -> None:
    """Sums over all keys pass what float16 can hold; features carry about eight roundings of their exponents."""
    torch.manual_seed(0)
    module, x = build_attention("enlca", 32).eval(), random(1, 32, 64, 64).float()
    with torch.inference_mode():
        exact = module(x) - x
        with torch.autocast("cpu", dtype=dtype):
            error = module(x) - x - exact
    assert error.norm() < 8 * torch.finfo(dtype).eps * exact.norm()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_features": 0}, "n_features must be at least 1, not 0"),
        ({"amplification": 0.0}, "amplification must be above 0, not 0.0"),
        ({"contrastive_weight": -1.0}, "contrastive_weight must be at least 0, not -1.0"),
        ({"redraw_every": -1}, "redraw_every must be at least 0, not -1"),
        ({"reduction": 9}, "reduction 9 leaves no channel of 8"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attention(**wrong)
