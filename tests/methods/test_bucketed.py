"""The skeleton of bucketed attention against its dense judge, and the seats it is built on."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from methods import build_attention
from methods.bucketed import BucketRecipe
from methods.dense import plain_attention
from methods.interface import tokens
from methods.parts import Layers
from methods.parts.assign import MAX_BUCKETS, Assign, Layout, bucket_count
from methods.parts.fuse import ResidualAdd
from methods.parts.routing import route, seated, windowed
from methods.parts.score import Dot
from methods.parts.value import Pointwise
from methods.reference import dense, window_counts

CHANNELS = 6
few = settings(max_examples=40, deadline=None, derandomize=True)


class Case(NamedTuple):
    """Bucket codes `[b r l]` for an image of `height x width`, and the chunk they are cut by."""

    codes: Tensor
    height: int
    width: int
    chunk: int


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class FixedCodes(Assign):
    """An assignment that was decided elsewhere."""

    fixed: Tensor

    def codes(self, layers: Layers, match: Tensor, layout: Layout) -> Tensor:  # noqa: ARG002
        assert layout.buckets >= 1
        assert match.shape[1] == layout.height * layout.width
        assert not match.requires_grad
        return self.fixed


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any small case: shorter than a chunk, one chunk, a full last chunk or a padded one, k = 1, empty buckets."""
    batch, rounds = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    height, width, chunk = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 7))
    size = batch * rounds * height * width
    codes = draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
    return Case(torch.tensor(codes).view(batch, rounds, -1), height, width, chunk)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attention_of(case: Case, res_scale: float = 0.5) -> nn.Module:
    """Bucketed attention in float64 with random weights and the codes of `case`."""
    parts = {"score": Dot(), "value": Pointwise(), "fuse": ResidualAdd(res_scale=res_scale)}
    recipe = BucketRecipe(assign=FixedCodes(fixed=case.codes), reduction=2, chunk_size=case.chunk, **parts)
    module = recipe.build(CHANNELS).double()
    with torch.no_grad():
        for seed, parameter in enumerate(module.parameters()):
            parameter.copy_(0.5 * random(*parameter.shape, seed=seed))
    return module


def judged(module: nn.Module, x: Tensor, case: Case, res_scale: float = 0.5) -> Tensor:
    """The same by one dense softmax."""
    query, value = tokens(module.conv_match(x)), tokens(module.conv_assembly(x))
    key = query / query.norm(dim=-1, keepdim=True).clamp_min(5e-5)
    merged = dense(query, key, value, window_counts(route(case.codes, case.chunk)))
    return x + res_scale * merged.transpose(1, 2).reshape(x.shape)


@few
@given(cases())
def test_equals_one_dense_softmax_forward_and_backward(case: Case) -> None:
    module = attention_of(case)
    x = random(case.codes.shape[0], CHANNELS, case.height, case.width, seed=9).requires_grad_()
    results = module(x), judged(module, x, case)
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-10)
    inputs = (x, *module.parameters())
    ours, theirs = (torch.autograd.grad(y, inputs, random(*x.shape, seed=8), allow_unused=True) for y in results)
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)


@few
@given(cases())
def test_each_token_sees_three_chunks_a_round(case: Case) -> None:
    counts = window_counts(route(case.codes, case.chunk))
    assert (counts.sum(dim=-1) == 3 * case.chunk * case.codes.shape[1]).all()
    assert (counts.diagonal(dim1=1, dim2=2) > 0).all()


@few
@given(cases())
def test_seats_are_the_stable_order_with_the_last_sorted_tokens_repeated(case: Case) -> None:
    routing = route(case.codes, case.chunk)
    for codes, seats, seat_of in zip(*(t.flatten(0, 1) for t in (case.codes, *routing)), strict=True):
        order = sorted(range(len(codes)), key=codes.tolist().__getitem__)
        padding = math.ceil(len(order) / case.chunk) * case.chunk - len(order)
        repeated = (order * (1 + case.chunk))[-padding:] if padding else []
        assert seats.flatten().tolist() == order + repeated
        assert seats.shape[1] == case.chunk
        assert [order[seat] for seat in seat_of.tolist()] == list(range(len(order)))


def test_tokens_of_one_bucket_keep_their_order() -> None:
    """Long enough for an unstable sort to shuffle equal codes."""
    seats = route(torch.zeros(1, 1, 4096, dtype=torch.long), 64).seats
    assert torch.equal(seats.flatten(), torch.arange(4096))


def test_a_window_is_a_chunk_with_its_neighbours_on_a_ring() -> None:
    chunks = torch.arange(4.0).view(1, 1, 4, 1, 1)
    assert windowed(chunks).flatten(3)[0, 0].tolist() == [[0, 3, 1], [1, 0, 2], [2, 1, 3], [3, 2, 0]]


def test_tokens_take_the_seats_of_their_own_image() -> None:
    x = torch.arange(2 * 4.0).view(2, 4, 1)
    codes = torch.tensor([[[1, 0, 1, 0]], [[0, 1, 2, 3]]])
    assert seated(x, route(codes, 2)).flatten(1).tolist() == [[1, 3, 0, 2], [4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("positions", "chunk", "expected"),
    [
        (1, 144, 1),
        (287, 144, 1),
        (288, 144, 2),
        (3 * 144, 144, 4),
        (5 * 144 - 1, 144, 4),
        (127 * 144, 144, 128),
        (128 * 144, 144, 128),
        (1000 * 144, 144, MAX_BUCKETS),
        (7, 1, 8),
    ],
)
def test_bucket_count(positions: int, chunk: int, expected: int) -> None:
    assert bucket_count(positions, chunk) == expected


@given(st.integers(1, 100_000), st.integers(1, 400))
def test_bucket_count_is_even_or_one_and_capped(positions: int, chunk: int) -> None:
    buckets = bucket_count(positions, chunk)
    assert buckets == 1 if positions < 2 * chunk else buckets % 2 == 0
    assert 1 <= buckets <= 128


def test_one_full_chunk_is_plain_dense_attention() -> None:
    """Every token occurs three times in every window, which changes no softmax."""
    case = Case(torch.zeros(1, 2, 12, dtype=torch.long), 3, 4, 12)
    module, x = attention_of(case, res_scale=1.0), random(1, CHANNELS, 3, 4)
    query = tokens(module.conv_match(x))
    merged = plain_attention(query, query / query.norm(dim=-1, keepdim=True), tokens(module.conv_assembly(x)))
    torch.testing.assert_close(module(x), x + merged.transpose(1, 2).reshape(x.shape))


def test_a_token_without_length_stays_finite() -> None:
    case = Case(torch.zeros(1, 1, 6, dtype=torch.long), 2, 3, 3)
    module, x = attention_of(case), random(1, CHANNELS, 2, 3).requires_grad_()
    nn.init.zeros_(module.conv_match[0].weight)
    nn.init.zeros_(module.conv_match[0].bias)
    (grad,) = torch.autograd.grad(module(x).sum(), x)
    assert grad.isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"chunk_size": 0}, "chunk_size must be at least 1, not 0"),
        ({"n_hashes": 0}, "n_hashes must be at least 1, not 0"),
        ({"k_size": -1}, "k_size must be at least 1, not -1"),
        ({"reduction": 0}, "reduction must be at least 1, not 0"),
        ({"reduction": 9}, "reduction 9 leaves no channel of 8"),
    ],
)
def test_impossible_sizes_are_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_attention("nlsa", 8, **wrong)
