"""Assignments against slow derivations from their definitions, and what each promises of its codes."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from methods import build_attention
from methods.bucketed import ASSIGNS
from methods.parts import Sizes
from methods.parts.assign import Assign, FlyHash, Layout, RandomBuckets, SpatialWindow, SphericalLSH, SuperBitLSH

MATCH = 5
DRAWN = {
    "spherical": SphericalLSH(n_hashes=2),
    "superbit": SuperBitLSH(n_hashes=2),
    "flyhash": FlyHash(n_hashes=2, hash_length=0),
    "centred": FlyHash(n_hashes=2, hash_length=3, centred=True),
    "random": RandomBuckets(n_hashes=2),
}
layouts = st.builds(Layout, st.integers(1, 9), st.integers(1, 9), st.integers(1, 7))
few = settings(max_examples=25, deadline=None, derandomize=True)


def embedding(layout: Layout, batch: int = 2, channels: int = MATCH) -> Tensor:
    generator = torch.Generator().manual_seed(layout.height)
    return torch.randn(batch, layout.height * layout.width, channels, generator=generator)


def seeded_codes(assign: Assign, match: Tensor, layout: Layout, seed: int = 3) -> Tensor:
    torch.manual_seed(seed)
    return assign.codes({}, match, layout)


def dot(token: Tensor, axis: Tensor) -> float:
    return sum(float(t) * float(a) for t, a in zip(token, axis, strict=True))


def first_largest(scores: list[float]) -> int:
    return scores.index(max(scores))


@few
@given(layouts)
def test_spherical_codes_are_the_nearest_of_axes_and_their_opposites(layout: Layout) -> None:
    match = embedding(layout)
    codes = seeded_codes(DRAWN["spherical"], match, layout)
    torch.manual_seed(3)
    axes = torch.randn(1, MATCH, 2, max(1, layout.buckets // 2))[0]
    for b, r, token in torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(match.shape[1])).tolist():
        turned = [dot(match[b, token], axes[:, r, i]) for i in range(axes.shape[-1])]
        expected = first_largest(turned + [-t for t in turned]) if layout.buckets > 1 else 0
        assert codes[b, r, token] == expected


@few
@given(layouts)
def test_super_bit_codes_are_the_nearest_of_orthogonal_axes_without_opposites(layout: Layout) -> None:
    match, buckets = embedding(layout), layout.buckets
    codes = seeded_codes(DRAWN["superbit"], match, layout)
    torch.manual_seed(3)
    axes = [nn.init.orthogonal_(torch.empty(MATCH, buckets)) for _ in range(2)]
    for b, r, token in torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(match.shape[1])).tolist():
        turned = [dot(match[b, token], axes[r][:, i]) for i in range(buckets)]
        assert codes[b, r, token] == (first_largest(turned) if buckets > 1 else 0)


@pytest.mark.parametrize("name", ["flyhash", "centred"])
@few
@given(layout=layouts)
def test_fly_codes_are_bits_of_sums_over_twenty_sparse_columns(name: str, layout: Layout) -> None:
    assign, match = DRAWN[name], embedding(layout, batch=1)
    assert isinstance(assign, FlyHash)
    codes, bits = seeded_codes(assign, match, layout), assign.hash_length or fewest_bits(layout.buckets)
    torch.manual_seed(3)
    columns = torch.rand(1, 2, MATCH, 20 * bits)[0] > 0.9
    for r in range(2):
        for token, row in enumerate(match[0]):
            told = row - sum(map(float, row)) / MATCH if assign.centred else row
            sums = [sum(dot(told, columns[r, :, 20 * i + j]) for j in range(20)) for i in range(bits)]
            expected = sum(2**i for i, total in enumerate(sums) if total > 0)
            assert codes[0, r, token] == (expected if layout.buckets > 1 else 0)


def fewest_bits(buckets: int) -> int:
    bits = 1
    while 2**bits < buckets:
        bits += 1
    return bits


@pytest.mark.parametrize("buckets", range(2, 129, 2))
def test_hash_length_nought_is_the_fewest_bits_that_number_the_buckets(buckets: int) -> None:
    layout = Layout(buckets, 1, 1)
    assert layout.buckets == buckets
    axes = FlyHash(hash_length=0).axes(torch.zeros(1, 1, 2), layout, None)
    assert axes.shape == (3, 2, 20 * fewest_bits(buckets))


def test_hash_length_is_taken_as_given() -> None:
    layout = Layout(40, 5, 1)
    assert FlyHash(hash_length=2).axes(torch.zeros(1, 1, 4), layout, None).shape == (3, 4, 40)
    assert int(seeded_codes(FlyHash(hash_length=2), embedding(layout), layout).max()) <= 3
    with pytest.raises(ValueError, match="hash_length must be at least 0, not -1"):
        FlyHash(hash_length=-1)


def test_centring_changes_the_codes_of_embeddings_that_have_a_mean() -> None:
    layout = Layout(12, 12, 4)
    match = embedding(layout).double() + 1
    plain, centred = (seeded_codes(FlyHash(centred=centred), match, layout) for centred in (False, True))
    assert (plain == 127).float().mean() > 0.5
    assert centred.unique().numel() > 4 * plain.unique().numel()
    assert torch.equal(seeded_codes(FlyHash(centred=True), match + 7, layout), centred)


@pytest.mark.parametrize("name", ["flyhash", "centred"])
def test_a_token_of_zeros_sets_no_bit(name: str) -> None:
    assert not seeded_codes(DRAWN[name], torch.zeros(1, 36, MATCH), Layout(6, 6, 2)).any()


@pytest.mark.parametrize("name", DRAWN)
@few
@given(layout=layouts, batch=st.integers(1, 3))
def test_codes_are_whole_numbers_below_the_number_of_buckets(name: str, layout: Layout, batch: int) -> None:
    codes = seeded_codes(DRAWN[name], embedding(layout, batch), layout)
    assert codes.shape == (batch, 2, layout.height * layout.width)
    assert codes.dtype == torch.long
    bits = {"flyhash": fewest_bits(layout.buckets), "centred": 3}.get(name)
    limit = 2**bits if bits and layout.buckets > 1 else layout.buckets
    assert 0 <= int(codes.min()) <= int(codes.max()) < limit


@pytest.mark.parametrize("name", DRAWN)
def test_rounds_draw_apart_and_seeds_fix_them(name: str) -> None:
    layout = Layout(10, 8, 4)
    first, again, other = (seeded_codes(DRAWN[name], embedding(layout), layout, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[:, 0], first[:, 1])


@pytest.mark.parametrize("name", DRAWN)
def test_one_bucket_draws_nothing(name: str) -> None:
    layout = Layout(3, 5, 8)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    codes = DRAWN[name].codes({}, embedding(layout), layout)
    assert codes.shape == (2, 2, 15)
    assert not codes.any()
    assert torch.equal(torch.get_rng_state(), before)


def test_random_buckets_ignore_content_and_are_shared_by_the_batch() -> None:
    layout, assign = Layout(16, 8, 4), DRAWN["random"]
    codes = seeded_codes(assign, embedding(layout), layout)
    assert torch.equal(codes[0], codes[1])
    assert torch.equal(codes, seeded_codes(assign, -3 * embedding(layout), layout))


def test_random_buckets_fill_alike() -> None:
    """Each of 32 buckets holds a share of 4096 tokens that strays from 128 by less than five standard deviations."""
    layout = Layout(64, 64, 128)
    for sizes in (
        codes.bincount(minlength=32) for codes in seeded_codes(DRAWN["random"], embedding(layout), layout)[0]
    ):
        assert len(sizes) == layout.buckets
        assert (sizes - 128).abs().max() < 5 * math.sqrt(128)


@few
@given(layout=st.builds(Layout, st.integers(1, 9), st.integers(1, 9), st.integers(1, 30)), rounds=st.integers(1, 4))
def test_spatial_windows_are_squares_of_a_chunk_shifted_from_round_to_round(layout: Layout, rounds: int) -> None:
    match, side = embedding(layout), next(s for s in range(9, 0, -1) if s * s <= layout.chunk)
    codes = SpatialWindow(n_hashes=rounds).codes({}, match, layout)
    assert codes.shape == (2, rounds, layout.height * layout.width)
    assert torch.equal(codes[0], codes[1])
    for r, of_round in enumerate(codes[0]):
        shift = math.floor(r / rounds * side)
        places = [((y + shift) // side, (x + shift) // side) for y in range(layout.height) for x in range(layout.width)]
        windows = sorted(set(places))
        # Numbers may have gaps, since only their order counts.
        ranks = of_round.unique(return_inverse=True)[1].tolist()
        assert ranks == [windows.index(place) for place in places]


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_tokens_of_a_window_form_a_full_rectangle(rounds: int) -> None:
    image = SpatialWindow(n_hashes=rounds).codes({}, torch.zeros(1, 7 * 11, 1), Layout(7, 11, 17))[0].view(-1, 7, 11)
    for of_round in image:
        for code in of_round.unique():
            rows, columns = (of_round == code).nonzero().unbind(1)
            spans = [int(axis.max() - axis.min()) + 1 for axis in (rows, columns)]
            assert math.prod(spans) == len(rows)
            assert max(spans) <= 4
    assert len({tuple(of_round.flatten().tolist()) for of_round in image}) == rounds


@pytest.mark.parametrize("name", ASSIGNS)
def test_only_what_learns_has_weights(name: str) -> None:
    layers = ASSIGNS[name].layers(Sizes(8, 4, 6, 3))
    assert list(layers) == (["kmeans"] if name == "kmeans" else [])


@pytest.mark.parametrize("name", [name for name in ASSIGNS if name != "spherical"])
def test_another_assignment_keeps_rounds_and_draw(name: str) -> None:
    assign = build_attention("nlsa", 8, assign=name, n_hashes=5).recipe.assign
    assert assign.n_hashes == 5
    drawn = {"draw": "frozen", "draw_seed": 4}
    if hasattr(assign, "draw"):
        of = build_attention("nlsa", 8, **drawn, assign=name).recipe.assign
        assert (of.draw, of.draw_seed) == ("frozen", 4)
    else:
        with pytest.raises(ValueError, match="unknown setting of nlsa 'draw'"):
            build_attention("nlsa", 8, **drawn, assign=name)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", DRAWN)
def test_halves_are_hashed_in_float32(name: str, kind: torch.dtype) -> None:
    """Tokens far from zero, whose mean over channels halves would round away."""
    assign, layout = dataclasses.replace(DRAWN[name], draw="frozen"), Layout(9, 9, 6)
    match = (embedding(layout) + 5).to(kind)
    layers = assign.layers(Sizes(MATCH, MATCH, 6, 3))
    assert torch.equal(assign.codes(layers, match, layout), assign.codes(layers, match.float(), layout))
