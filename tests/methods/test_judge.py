"""Bucketed attention with the codes of real assignments against its judges: one dense softmax, and plain loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from methods import build_attention
from methods.bucketed import BucketedAttention
from methods.interface import BACKENDS, tokens
from methods.parts.assign import Layout
from methods.parts.routing import route
from methods.reference import dense, window_counts

CHANNELS = 4
NORM_FLOOR = 5e-5
ASSIGNMENTS: dict[str, dict[str, Any]] = {
    "spherical": {"assign": "spherical"},
    "frozen": {"assign": "spherical", "draw": "frozen"},
    "superbit": {"assign": "superbit"},
    "flyhash": {"assign": "flyhash", "hash_length": 0},
    "centred": {"assign": "flyhash", "hash_length": 3, "centred": True},
    "kmeans": {"assign": "kmeans", "n_clusters": 3},
    "random": {"assign": "random"},
    "window": {"assign": "window"},
}
REGIMES: dict[str, Callable[[int], int]] = {
    "fewer tokens than a chunk": lambda length: length + 2,
    "many fewer": lambda length: 2 * length + 3,
    "one chunk": lambda length: length,
    "fewer than two chunks": lambda length: length // 2 + 1,
    "a multiple": lambda length: next(k for k in range(length // 3 + 1, 0, -1) if length % k == 0),
    "padded": lambda length: next((k for k in range(length // 3, 1, -1) if length % k), 2),
}
few = settings(max_examples=40, deadline=None, derandomize=True)


class Case(NamedTuple):
    """Sizes of an image and of the attention over it."""

    batch: int
    height: int
    width: int
    chunk: int
    rounds: int
    k_size: int
    seed: int
    backend: str = "plain"

    def image(self) -> Tensor:
        return random(self.batch, CHANNELS, self.height, self.width, seed=self.seed).requires_grad_()

    def attention(self, **chosen: Any) -> BucketedAttention:
        """In float64 and evaluation, with random weights."""
        sizes = {"chunk_size": self.chunk, "n_hashes": self.rounds, "k_size": self.k_size, "reduction": 2}
        chosen |= {"backend": self.backend}
        module = build_attention("nlsa", CHANNELS, **sizes, **chosen).double().eval()
        assert isinstance(module, BucketedAttention)
        with torch.no_grad():
            for seed, parameter in enumerate(module.parameters()):
                parameter.copy_(random(*parameter.shape, seed=seed))
        return module


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Every relation of tokens and chunk, on images that are rarely square."""
    height, width = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    chunk = REGIMES[draw(st.sampled_from(sorted(REGIMES)))](height * width)
    few_rounds, k_size = draw(st.integers(1, 3)), draw(st.sampled_from([1, 3]))
    batch, seed, backend = draw(st.integers(1, 2)), draw(st.integers(0, 99)), draw(st.sampled_from(BACKENDS))
    return Case(batch, height, width, chunk, few_rounds, k_size, seed, backend)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def codes_of(module: BucketedAttention, x: Tensor, case: Case) -> Tensor:
    """What the module's own assignment says, and will say again from the same seed."""
    torch.manual_seed(case.seed)
    layout = Layout(case.height, case.width, case.chunk)
    return module.recipe.assign.codes(module.layers, tokens(module.conv_match(x)).detach(), layout)


def embeddings(module: BucketedAttention, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    query, value = tokens(module.conv_match(x)), tokens(module.layers["conv_assembly"](x))
    return query, query / query.norm(dim=-1, keepdim=True).clamp_min(NORM_FLOOR), value


def by_one_softmax(module: BucketedAttention, x: Tensor, codes: Tensor, chunk: int) -> Tensor:
    """`softmax(Q K^T + log N) V`."""
    return dense(*embeddings(module, x), window_counts(route(codes, chunk)))


def by_loops(module: BucketedAttention, x: Tensor, codes: Tensor, chunk: int) -> Tensor:
    """Seat by seat: the logits of all rounds side by side in one softmax, the learned score by the query's slot."""
    query, key, value = embeddings(module, x)
    hidden = tokens(module.layers["conv_assembly_fc"](x))
    bias = module.layers["fc"](hidden)
    out = []
    for b, of_image in enumerate(codes.tolist()):
        for token in range(query.shape[1]):
            logits, seen = [], []
            for of_round in of_image:
                slot, window = window_of(token, of_round, chunk)
                logits.append(key[b, window] @ query[b, token] + bias[b, window, slot])
                seen += window
            out.append(torch.cat(logits).softmax(dim=0) @ value[b, seen])
    return torch.stack(out).view_as(value)


def window_of(token: int, codes: list[int], chunk: int) -> tuple[int, list[int]]:
    """The slot of `token` in its chunk, and the tokens of its own, the previous and the next chunk."""
    order = sorted(range(len(codes)), key=lambda each: codes[each])
    place = order.index(token)
    repeated = order * chunk
    order += repeated[len(repeated) - -len(order) % chunk :]
    chunks = [order[start : start + chunk] for start in range(0, len(order), chunk)]
    own = place // chunk
    return place % chunk, chunks[own] + chunks[own - 1] + chunks[(own + 1) % len(chunks)]


def assert_agree(module: BucketedAttention, x: Tensor, expected: Tensor, case: Case) -> None:
    """Same output and same gradients of the image and of every weight."""
    torch.manual_seed(case.seed)
    results = module(x), x + expected.transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-10)
    inputs, cotangent = (x, *module.parameters()), random(*x.shape, seed=1)
    ours, theirs = (torch.autograd.grad(y, inputs, cotangent) for y in results)
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("assign", ASSIGNMENTS)
@few
@given(case=cases(), value=st.sampled_from(["pointwise", "spatial"]))
def test_every_assignment_equals_one_dense_softmax(assign: str, case: Case, value: str) -> None:
    module, x = case.attention(**ASSIGNMENTS[assign], value=value), case.image()
    codes = codes_of(module, x, case)
    assert_agree(module, x, by_one_softmax(module, x, codes, case.chunk), case)


@pytest.mark.parametrize("assign", ASSIGNMENTS)
@few
@given(case=cases())
def test_the_learned_score_goes_by_key_and_slot(assign: str, case: Case) -> None:
    module, x = case.attention(**ASSIGNMENTS[assign], score="learned"), case.image()
    codes = codes_of(module, x, case)
    assert_agree(module, x, by_loops(module, x, codes, case.chunk), case)


@pytest.mark.parametrize("assign", ASSIGNMENTS)
def test_a_second_forward_has_other_codes_only_where_they_are_drawn(assign: str) -> None:
    """Otherwise the judge would see codes that the module never used."""
    case = Case(batch=1, height=4, width=6, chunk=3, rounds=2, k_size=1, seed=0)
    module, x = case.attention(**ASSIGNMENTS[assign]), case.image()
    torch.manual_seed(0)
    module(x)
    first, second = module(x), module(x)
    redrawn = assign in {"spherical", "superbit", "flyhash", "centred", "random"}
    assert torch.equal(first, second) != redrawn


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("length", [1, 2, 5, 12, 24])
def test_regimes_are_what_they_are_called(regime: str, length: int) -> None:
    chunk = REGIMES[regime](length)
    assert chunk >= 1
    if regime == "a multiple":
        assert length % chunk == 0
    if "fewer" in regime:
        assert length < 2 * chunk


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_sum_to_one_in_half_precision_too(dtype: torch.dtype) -> None:
    """Within the rounding of each weight, however large the logits are."""
    module = Case(batch=1, height=8, width=9, chunk=6, rounds=2, k_size=3, seed=0).attention().float()
    x = 4 * random(1, CHANNELS, 8, 9).float()
    with torch.inference_mode(), torch.autocast("cpu", dtype=dtype):
        weights = module.affinity(x).weights
    assert (weights.double().sum(dim=-1) - 1).abs().max() < torch.finfo(dtype).eps
