"""Whom attention attends to: what a look tells against what the forward does."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from methods import build_attention, build_network
from methods.bucketed import BucketedAttention
from methods.catalogue import ATTENTIONS
from methods.interface import Carry, Look, NonLocal, attention_modules, tokens
from methods.look import looking
from methods.reference import window_counts
from methods.settings import settings_of
from tests.methods.probes import Largest, mixed, sharpen

SMALL = {"n_clusters": 3, "n_features": 16}
BUCKETED = sorted(set(ATTENTIONS) - {"nla", "hspa", "enlca"})
LEARNED = {"gla", "dnlf"}
VARIANTS = [
    *((name, {}) for name in ATTENTIONS),
    ("nla", {"backend": "fused"}),
    ("nla", {"fuse": "texture"}),
    ("lcoa", {"n_hashes": 3}),
    ("dnla", {"draw": "frozen"}),
    ("nlsa", {"assign": "window", "score": "learned"}),
]


class Case(NamedTuple):
    """An image and a chunk: many chunks and a padded tail; two; one, its tail repeated more than once."""

    height: int
    width: int
    chunk: int


CASES = [Case(5, 7, 4), Case(2, 5, 6), Case(2, 4, 20)]
every_variant = pytest.mark.parametrize(("name", "chosen"), VARIANTS, ids=str)
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attention(name: str, case: Case = CASES[0], *, sharper: float = 3.0, **chosen: Any) -> NonLocal:
    """A channel for every position, so that values can tell positions; scores spread wide enough to matter."""
    known = settings_of(build_attention(name, 8).recipe)
    small = {key: value for key, value in (SMALL | {"chunk_size": case.chunk}).items() if key in known}
    torch.manual_seed(0)
    module = build_attention(name, case.height * case.width, **(small | chosen)).double().eval()
    assert isinstance(module, NonLocal)
    sharpen(module, sharper)
    return module


def stream(case: Case = CASES[0], batch: int = 2) -> Tensor:
    return random(batch, case.height * case.width, case.height, case.width)


def asked(case: Case = CASES[0]) -> Tensor:
    """In no order, one of them twice."""
    return torch.tensor([case.height * case.width - 1, 0, 4, 4, 2])


def looked(module: NonLocal, x: Tensor, queries: Tensor, carry: Carry | None = None, *, seed: int = 1) -> Look:
    torch.manual_seed(seed)
    return module.look(x, queries, carry)


def measured(module: nn.Module, x: Tensor, *, seed: int = 1) -> Tensor:
    """The matrix `[b l l]` by which a forward mixes values."""
    matrices = mixed(module, x)
    torch.manual_seed(seed)
    with torch.no_grad():
        module(x)
    return matrices[""]


@every_case
@every_variant
def test_weights_are_those_by_which_the_forward_mixes_values(name: str, chosen: dict[str, Any], case: Case) -> None:
    module, x, queries = attention(name, case, **chosen), stream(case), asked(case)
    weights = looked(module, x, queries).weights
    torch.testing.assert_close(weights, measured(module, x)[:, queries], rtol=1e-9, atol=1e-12)
    assert weights.std(dim=-1).min() > 1e-4


@every_case
@every_variant
def test_weights_are_shares(name: str, chosen: dict[str, Any], case: Case) -> None:
    look = looked(attention(name, case, **chosen), stream(case).requires_grad_(), asked(case))
    length = case.height * case.width
    assert [t.shape for t in look] == [(2, 5, length)] * 3
    assert [t.dtype for t in look] == [torch.float64, torch.float64, torch.bool]
    assert not any(t.requires_grad for t in look)
    assert (look.weights >= 0).all()
    torch.testing.assert_close(look.weights.sum(dim=-1), torch.ones(2, 5, dtype=torch.float64))
    assert not look.weights[~look.reached].any()


def scored(module: nn.Module, x: Tensor) -> Tensor:
    """Inner products of all queries with all keys, after the equation of each family."""
    if isinstance(module, BucketedAttention):
        query = tokens(module.conv_match(x))
        key = query / query.norm(dim=-1, keepdim=True).clamp_min(5e-5)
    else:
        query, key = (tokens(f(x)) for f in (module.conv_match1, module.conv_match2))
    if hasattr(module, "attn_fn"):
        query, key = (math.sqrt(6) * t / t.norm(dim=-1, keepdim=True).clamp_min(5e-5) for t in (query, key))
    return torch.einsum("bqd,bld->bql", query, key).detach()


@every_variant
def test_scores_are_the_inner_products_with_every_key(name: str, chosen: dict[str, Any]) -> None:
    module, x = attention(name, **chosen), stream()
    torch.testing.assert_close(looked(module, x, asked()).scores, scored(module, x)[:, asked()])


@every_case
@pytest.mark.parametrize("name", BUCKETED)
def test_buckets_reach_what_stands_in_a_window(name: str, case: Case) -> None:
    module, x = attention(name, case), stream(case)
    look = looked(module, x, asked(case))
    torch.manual_seed(1)
    counts = window_counts(module.affinity(x).routing)[:, asked(case)]
    assert torch.equal(look.reached, counts > 0)
    assert look.reached.all() == (case.chunk > 4)
    if name not in LEARNED:
        torch.testing.assert_close(look.weights, (look.scores + counts.log()).softmax(dim=-1))


def test_dense_and_kernel_attention_reach_everything_and_sparse_attention_its_support() -> None:
    for name in ("nla", "enlca"):
        assert looked(attention(name), stream(), asked()).reached.all()
    look = looked(attention("hspa", sharper=1.5), stream(), asked())
    assert torch.equal(look.reached, look.weights > 0)
    support = look.reached.sum(dim=-1)
    assert ((support > 1) & (support < 35)).any()


@pytest.mark.parametrize("name", ["nla", "nlsa"])
def test_a_weight_that_underflows_is_reached_all_the_same(name: str) -> None:
    gentle, sharp = (looked(attention(name, sharper=s).float(), stream().float(), asked()) for s in (1.0, 300.0))
    assert not sharp.weights[sharp.reached].all()
    assert torch.equal(sharp.reached, gentle.reached)
    assert gentle.weights[gentle.reached].all()


@every_variant
@pytest.mark.parametrize("training", [False, True])
def test_a_look_leaves_module_and_carry_as_they_were(name: str, chosen: dict[str, Any], training: bool) -> None:
    chosen = chosen | ({"update_means": "ema", "ema_decay": 0.5} if name == "lcoa" else {})
    module, x, carry = attention(name, **chosen).train(training), stream(), Carry()
    for _ in range(2):
        before = {key: t.clone() for key, t in module.state_dict().items()}
        looked(module, x, asked(), carry)
        assert carry == Carry()
        assert all(torch.equal(t, before[key]) for key, t in module.state_dict().items())
        module.eval()(x)
        module.train(training)


@pytest.mark.parametrize("started", [False, True])
def test_a_look_shows_the_means_as_the_coming_forward_will_move_them(started: bool) -> None:
    module, x = attention("lcoa", update_means="ema", ema_decay=0.0).train(), stream()
    if started:
        module.eval()(random(*x.shape, seed=7))
        module.train()
    weights = looked(module, x, asked()).weights
    torch.testing.assert_close(weights, measured(module, x)[:, asked()], rtol=1e-9, atol=1e-12)


def shared() -> tuple[NonLocal, NonLocal]:
    first, second = attention("nlsa", share_from=1), attention("nlsa", share_from=1)
    with torch.no_grad():
        second.conv_match[0].weight.normal_()
    return first, second


def test_a_shared_affinity_is_looked_at_with_the_scores_it_was_made_of() -> None:
    (first, second), x, carry = shared(), stream(), Carry(looked_at=True)
    look = looked(first, x, asked())
    torch.manual_seed(1)
    y = first(x, carry)
    known = dataclasses.replace(carry)
    assert all(torch.equal(*pair) for pair in zip(second.look(y, asked(), carry), look, strict=True))
    assert all(vars(carry)[name] is value for name, value in vars(known).items())


def test_an_affinity_shared_before_anybody_looked_is_refused() -> None:
    (first, second), x, carry = shared(), stream(), Carry()
    y = first(x, carry)
    with pytest.raises(ValueError, match=r"shared before anybody looked: run the forward in methods\.look\.looking"):
        second.look(y, asked(), carry)


@every_variant
def test_half_precision_shows_what_it_computes_with(name: str, chosen: dict[str, Any]) -> None:
    """Weights of half precision sum to one within their rounding."""
    module, x = attention(name, **chosen).float(), stream().float()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        module(x)
        torch.manual_seed(1)
        expected = module(x)
        torch.manual_seed(1)
        with looking(module, asked()) as looks:
            out = module(x)
    assert torch.equal(out, expected)
    assert (looks[""].weights.double().sum(dim=-1) - 1).abs().max() < torch.finfo(torch.bfloat16).eps


@pytest.mark.parametrize("name", ["nla", "enlca", "nlsa"])
@pytest.mark.parametrize("wrong", [35, -1])
def test_a_query_that_is_no_token_is_refused(name: str, wrong: int) -> None:
    with pytest.raises(ValueError, match=f"query {wrong} is no token of a feature map of 35"):
        attention(name).look(stream(), torch.tensor([0, wrong]))


@pytest.mark.parametrize("name", ["nla", "hspa", "enlca"])
def test_a_look_at_all_keys_holds_the_rows_asked_for_alone(name: str) -> None:
    module, x = build_attention(name, 8, **({"n_features": 16} if name == "enlca" else {})), random(1, 8, 32, 32)
    with Largest() as watcher:
        module.look(x.float(), torch.arange(20))
    assert watcher.elements == 20 * 32 * 32


class Silent(NonLocal):
    """An attention from elsewhere that tells nothing."""

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:  # noqa: ARG002
        return x


def test_an_attention_that_does_not_tell_says_so_by_name() -> None:
    module, x, told = Silent(), stream(), "Silent does not tell whom it attends to"
    with pytest.raises(NotImplementedError, match=told):
        module.look(x, asked())
    with pytest.raises(NotImplementedError, match=told), looking(nn.Sequential(module), asked()):
        module(x)
    assert module(x) is x


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_an_attention_alone_is_looked_at_under_no_name(device: str) -> None:
    """Whether the carry comes by place, by name or not at all; and no longer than asked."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    module, x, queries = attention("nlsa").to(device), stream().to(device), asked()
    expected = looked(module, x, queries)
    for args, named in (((x,), {}), ((x, Carry()), {}), ((x,), {"carry": Carry()}), ((), {"x": x})):
        torch.manual_seed(1)
        with looking(module, queries) as looks:
            out = module(*args, **named)
        assert list(looks) == [""]
        assert looks[""].weights.device.type == device
        torch.testing.assert_close(looks[""], expected, rtol=0, atol=1e-15)
        looks.clear()
        torch.manual_seed(1)
        assert torch.equal(module(x), out)
        assert not looks


def test_a_later_forward_replaces_what_an_earlier_one_showed() -> None:
    module, queries = attention("nla"), asked()
    with looking(module, queries) as looks:
        module(stream())
        module(2 * stream())
    torch.testing.assert_close(looks[""].scores, looked(module, 2 * stream(), queries).scores)


def test_later_attentions_of_lcoan_look_as_the_first() -> None:
    torch.manual_seed(0)
    network = build_network("lcoan", 2, n_feats=8, n_resgroups=3, n_resblocks=1, chunk_size=4, n_clusters=3).eval()
    inputs: list[Tensor] = []
    modules = list(attention_modules(network).values())
    for module in modules:
        module.register_forward_pre_hook(lambda _module, args: inputs.append(args[0]))
    with looking(network, asked()) as looks:
        network(torch.rand(1, 3, 5, 7))
    first = modules[0].look(inputs[0], asked())
    for look in looks.values():
        torch.testing.assert_close(look, first, rtol=0, atol=0)
    own = modules[1].look(inputs[1], asked())
    assert not torch.allclose(own.scores, first.scores)
