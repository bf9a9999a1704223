"""Dense attention: the plain and the fused form compute the same, and only the plain one holds a score matrix."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from methods import build_attention
from methods.dense import fused_attention, plain_attention


class Watcher(TorchDispatchMode):
    """Notes the name of every operation and the size of the largest tensor that one made."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.names.add(func._overloadpacket.__name__)
        self.largest = max([self.largest, *(t.numel() for t in tree_leaves(out) if isinstance(t, Tensor))])
        return out


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(channels: int = 8, **recipe: float) -> tuple[nn.Module, nn.Module]:
    """A plain and a fused module with the same weights."""
    plain, fused = (build_attention("nla", channels, backend=b, **recipe).double() for b in ("plain", "fused"))
    fused.load_state_dict(plain.state_dict())
    return plain, fused


def test_plain_attention_is_a_softmax_over_keys() -> None:
    query, key, value = random(1, 4, 2), random(1, 5, 2, seed=1), random(1, 5, 3, seed=2)
    out = plain_attention(query, key, value)
    for i in range(4):
        weights = [math.exp(float(query[0, i] @ key[0, j])) for j in range(5)]
        expected = sum(w / sum(weights) * v for w, v in zip(weights, value[0], strict=True))
        torch.testing.assert_close(out[0, i], expected)


sizes = st.integers(1, 5)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(batch=st.integers(1, 2), height=sizes, width=sizes, reduction=st.sampled_from([1, 2, 3, 4]))
def test_plain_equals_fused_forward_and_backward(batch: int, height: int, width: int, reduction: int) -> None:
    x = random(batch, 8, height, width).requires_grad_()
    outputs, gradients = [], []
    for module in pair(reduction=reduction, res_scale=0.7):
        outputs.append(module(x))
        inputs = (x, *module.parameters())
        gradients.append(torch.autograd.grad(outputs[-1], inputs, random(batch, 8, height, width, seed=1)))
    torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("narrow", "wide"), [(2, 8), (8, 2), (4, 4)])
def test_fused_attention_pads_whichever_is_narrower(narrow: int, wide: int) -> None:
    query, key, value = random(1, 9, narrow), random(1, 9, narrow, seed=1), random(1, 9, wide, seed=2)
    torch.testing.assert_close(fused_attention(query, key, value), plain_attention(query, key, value))


@pytest.mark.parametrize("differentiable", [False, True])
def test_only_the_plain_form_holds_the_score_matrix(differentiable: bool) -> None:
    x, scores = random(1, 8, 16, 16).float(), (16 * 16) ** 2
    plain, fused = pair()
    watched = []
    for module in (plain, fused):
        with torch.set_grad_enabled(differentiable), Watcher() as watcher:
            module.float()(x)
        watched.append(watcher)
    assert watched[0].largest == scores
    assert watched[1].largest < scores // 10
    assert "_scaled_dot_product_flash_attention_for_cpu" in watched[1].names - watched[0].names


def test_res_scale_scales_what_is_added() -> None:
    x = random(1, 8, 3, 3)
    (one, _), (tenth, _) = (pair(res_scale=scale) for scale in (1.0, 0.1))
    tenth.load_state_dict(one.state_dict())
    torch.testing.assert_close(0.1 * (one(x) - x), tenth(x) - x)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"backend": "fusd"}, "unknown backend 'fusd'. Did you mean 'fused'. Known: fused, plain."),
        ({"reduction": 0}, "reduction must be at least 1, not 0"),
        ({"reduction": 9}, "reduction 9 leaves no channel of 8"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_attention("nla", 8, **wrong)
