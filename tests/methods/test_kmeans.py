"""The k-means of LCoA: how the means are found, when they move, and that they travel with the weights."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from methods import build_attention
from methods.bucketed import BucketedAttention
from methods.interface import tokens
from methods.parts.assign import Layout
from methods.parts.kmeans import Means

Rows = list[list[float]]
FIRST_ITERATIONS = 10


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attention(**recipe: Any) -> BucketedAttention:
    """Two rounds of four clusters on eight channels, in float64."""
    torch.manual_seed(0)
    sizes = {"chunk_size": 4, "n_clusters": 4, "n_hashes": 2, "res_scale": 1.0}
    module = build_attention("lcoa", 8, **{**sizes, **recipe}).double()
    assert isinstance(module, BucketedAttention)
    return module


def means_of(module: BucketedAttention) -> Means:
    means = module.layers["kmeans"]
    assert isinstance(means, Means)
    return means


def units(module: BucketedAttention, x: Tensor) -> Tensor:
    """The unit-norm match embeddings of all tokens of the batch."""
    match = tokens(module.conv_match(x)).detach().flatten(0, 1)
    return match / match.norm(dim=-1, keepdim=True)


def nearest(row: list[float], means: Rows) -> int:
    products = [sum(a * b for a, b in zip(row, mean, strict=True)) for mean in means]
    return products.index(max(products))


def iterated(rows: Rows, means: Rows) -> Rows:
    """One iteration of spherical k-means in plain numbers."""
    members: list[Rows] = [[] for _ in means]
    for row in rows:
        members[nearest(row, means)].append(row)
    return [unit([sum(column) for column in zip(*m, strict=True)]) if m else means[c] for c, m in enumerate(members)]


def unit(row: list[float]) -> list[float]:
    length = math.sqrt(sum(a * a for a in row))
    return [a / length for a in row]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(count=st.integers(1, 30), clusters=st.integers(1, 8), rounds=st.integers(1, 3), seed=st.integers(0, 99))
@example(count=7, clusters=7, rounds=1, seed=0)
def test_the_first_means_are_ten_iterations_from_picked_tokens(
    count: int, clusters: int, rounds: int, seed: int
) -> None:
    rows, means = random(count, 3, seed=seed), Means(rounds, clusters, 3).double()
    torch.manual_seed(seed)
    means.start(rows)
    torch.manual_seed(seed)
    picked = torch.randperm(count)[:clusters] if count >= clusters else torch.randint(0, count, (clusters,))
    expected = rows[picked].tolist()
    for _ in range(FIRST_ITERATIONS):
        expected = iterated(rows.tolist(), expected)
    torch.testing.assert_close(means.means, torch.tensor([expected] * rounds, dtype=torch.float64))


def test_ten_iterations_are_made_and_no_more() -> None:
    """For so many tokens of which some still move after the ninth iteration, and after the tenth."""
    rows, means = random(200, 3, seed=1), Means(1, 4, 3).double()
    torch.manual_seed(1)
    means.start(rows)
    torch.manual_seed(1)
    passed = [rows[torch.randperm(200)[:4]].tolist()]
    for _ in range(FIRST_ITERATIONS + 1):
        passed.append(iterated(rows.tolist(), passed[-1]))
    before, at, after = (torch.tensor([m], dtype=torch.float64) for m in passed[-3:])
    torch.testing.assert_close(means.means, at)
    assert not torch.allclose(before, at)
    assert not torch.allclose(after, at)


def test_an_empty_cluster_keeps_its_mean_and_ties_go_to_the_first() -> None:
    means = Means(1, 3, 2)
    means.means.copy_(torch.tensor([[[0.6, 0.8], [0.6, 0.8], [-3.0, 0.0]]]))
    torch.testing.assert_close(
        means.step(torch.tensor([[0.0, 2.0], [2.0, 2.0]])),
        torch.tensor([[[2 / math.hypot(2, 4), 4 / math.hypot(2, 4)], [0.6, 0.8], [-3.0, 0.0]]]),
    )
    assert means.nearest(torch.tensor([[[1.0, 0.0], [-1.0, 0.1]]])).tolist() == [[[0, 2]]]


def test_codes_are_the_nearest_means_of_each_round() -> None:
    module, x = attention(), random(2, 8, 3, 5)
    module(x)
    means = means_of(module)
    means.means.copy_(random(2, 4, 8, seed=1))
    codes = module.recipe.assign.codes(module.layers, tokens(module.conv_match(x)).detach(), Layout(3, 5, 4))
    expected = [[nearest(row, of_round) for row in units(module, x).tolist()] for of_round in means.means.tolist()]
    assert codes.transpose(0, 1).flatten(1).tolist() == expected
    assert not torch.equal(codes[:, 0], codes[:, 1])


@pytest.mark.parametrize("update", ["frozen", "ema"])
def test_rounds_repeat_each_other(update: str) -> None:
    module = attention(n_hashes=3, update_means=update, ema_decay=0.5)
    for seed in range(3):
        module(random(2, 8, 4, 5, seed=seed))
    means = means_of(module).means
    assert torch.equal(means, means[:1].expand_as(means))
    one = attention(n_hashes=1)
    one.load_state_dict(module.state_dict() | {"kmeans.means": means[:1]})
    x = random(1, 8, 4, 5)
    torch.testing.assert_close(module.eval()(x), one.eval()(x))


@pytest.mark.parametrize("training", [False, True])
def test_only_the_first_forward_draws(training: bool) -> None:
    module = attention().train(training)
    before = torch.get_rng_state()
    module(random(2, 8, 4, 5))
    after = torch.get_rng_state()
    assert not torch.equal(before, after)
    module(random(2, 8, 4, 5, seed=1))
    assert torch.equal(torch.get_rng_state(), after)


def test_means_are_found_from_the_first_batch_and_stay() -> None:
    module, expected, x = attention(), Means(2, 4, 8).double(), random(2, 8, 4, 5)
    assert not means_of(module).initted
    torch.manual_seed(1)
    module(x)
    first = means_of(module).means.clone()
    assert means_of(module).initted
    torch.manual_seed(1)
    expected.start(tokens(module.conv_match(x)).detach().flatten(0, 1))
    assert torch.equal(first, expected.means)
    for mode in (True, False):
        module.train(mode)(random(2, 8, 4, 5, seed=1))
        assert torch.equal(means_of(module).means, first)


def test_an_exponential_average_moves_means_only_in_training() -> None:
    module, x = attention(update_means="ema", ema_decay=0.75), random(2, 8, 4, 5)
    module.eval()(x)
    for seed in (1, 2):
        before, other = means_of(module).means.clone(), random(2, 8, 4, 5, seed=seed)
        module.eval()(other)
        assert torch.equal(means_of(module).means, before)
        module.train()(other)
        step = torch.tensor(iterated(units(module, other).tolist(), before[0].tolist()), dtype=torch.float64)
        torch.testing.assert_close(means_of(module).means, (0.75 * before + 0.25 * step).to(before))
        assert not torch.equal(means_of(module).means, before)


def test_a_first_forward_in_training_finds_the_means_and_moves_them() -> None:
    x, moved, found = random(2, 8, 4, 5), attention(update_means="ema", ema_decay=0.5), attention()
    for module in (moved, found):
        torch.manual_seed(1)
        module(x)
    start = means_of(found).means
    step = torch.tensor(iterated(units(found, x).tolist(), start[0].tolist()), dtype=torch.float64)
    torch.testing.assert_close(means_of(moved).means, (start + step) / 2)


@pytest.mark.parametrize(("decay", "moves"), [(1.0, False), (0.0, True)])
def test_the_ends_of_the_average(decay: float, moves: bool) -> None:
    module = attention(update_means="ema", ema_decay=decay)
    module.eval()(random(1, 8, 4, 5))
    before = means_of(module).means.clone()
    module.train()(random(1, 8, 4, 5, seed=1))
    assert torch.equal(means_of(module).means, before) != moves


@pytest.mark.parametrize("update", ["frozen", "ema"])
def test_means_travel_with_the_weights_and_are_not_found_again(update: str) -> None:
    module, x = attention(update_means=update), random(1, 8, 4, 5)
    expected = module.eval()(x)
    loaded = attention(update_means=update).eval()
    loaded.load_state_dict(module.state_dict())
    state = torch.get_rng_state()
    assert torch.equal(loaded(random(1, 8, 4, 5, seed=1)), module(random(1, 8, 4, 5, seed=1)))
    assert torch.equal(loaded(x), expected)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(means_of(loaded).means, means_of(module).means)


def test_weights_without_means_make_a_module_find_them_anew() -> None:
    fresh, used, x = attention().state_dict(), attention(), random(1, 8, 4, 5)
    used(random(1, 8, 4, 5, seed=1))
    used.load_state_dict(fresh)
    torch.manual_seed(1)
    out = used(x)
    expected = attention()
    torch.manual_seed(1)
    assert torch.equal(out, expected(x))


@pytest.mark.parametrize("update", ["frozen", "ema"])
def test_a_first_forward_in_inference_serves_training(update: str) -> None:
    module, x = attention(update_means=update, ema_decay=0.9), random(2, 8, 4, 5).requires_grad_()
    with torch.inference_mode():
        module(x)
    learner = torch.optim.SGD(module.parameters(), lr=0.01)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    for _ in range(2):
        learner.zero_grad()
        module(x).square().sum().backward()
        learner.step()
    assert all(not torch.equal(p, before[name]) for name, p in module.named_parameters())
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("update", ["frozen", "ema"])
@pytest.mark.parametrize("started", [False, True])
def test_copies_go_their_own_way(update: str, started: bool) -> None:
    module, x = attention(update_means=update, ema_decay=0.5), random(1, 8, 4, 5)
    if started:
        module(x)
    copied = copy.deepcopy(module)
    outputs = []
    for each in (module, copied):
        torch.manual_seed(1)
        outputs.append(each(x))
    assert torch.equal(*outputs)
    before = means_of(module).means.clone()
    for seed in range(3):
        copied(random(1, 8, 4, 5, seed=seed))
    assert torch.equal(means_of(module).means, before)
    assert torch.equal(means_of(copied).means, before) == (update == "frozen")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"update_means": "emma"}, "unknown update_means 'emma'. Did you mean 'ema'"),
        ({"ema_decay": 1.5}, "ema_decay must lie between 0 and 1, not 1.5"),
        ({"n_clusters": 0}, "n_clusters must be at least 1, not 0"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attention(**wrong)
