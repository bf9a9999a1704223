"""The fused twins: the same function as what is written out, in less memory, and a gate that sees when it is not."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import methods.fused
from harness.profile.memory import LiveBytes
from methods import build_attention, build_network, method
from methods.agreement import DisagreementError, check_agreement, disagreement
from methods.catalogue import ATTENTIONS, NETWORKS
from methods.fused import Tokens, window_sums, windowed_attention
from methods.interface import Carry, NonLocal, attention_modules
from methods.parts.routing import route, seated, windowed
from methods.settings import settings_of

CHANNELS = 16
FUSIBLE = [name for name in ATTENTIONS if "backend" in settings_of(build_attention(name, CHANNELS).recipe)]  # type: ignore[arg-type]
SMALL_CHUNKS = {"chunk_size": 16, "n_clusters": 9}
"""Several chunks, and blocks of them, on small maps."""
every = pytest.mark.parametrize("kind", FUSIBLE)


def pair(kind: str, **chosen: Any) -> tuple[NonLocal, NonLocal]:
    """An attention written out, and its fused twin with the same weights."""
    torch.manual_seed(0)
    known = settings_of(build_attention(kind, CHANNELS).recipe)  # type: ignore[arg-type]
    settings = {name: value for name, value in SMALL_CHUNKS.items() if name in known} | chosen
    plain = build_attention(kind, CHANNELS, **settings)
    fused = build_attention(kind, CHANNELS, **settings, backend="fused")
    with torch.no_grad():
        plain(features(9, 8))
    fused.load_state_dict(plain.state_dict())
    assert isinstance(plain, NonLocal)
    assert isinstance(fused, NonLocal)
    return plain, fused


def features(height: int, width: int, batch: int = 1) -> Tensor:
    shape = (batch, CHANNELS, height, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(height * width))


def run(module: nn.Module, *args: Any) -> Tensor:
    torch.manual_seed(3)
    out: Tensor = module(*args)
    return out


@every
@pytest.mark.parametrize("size", [(7, 11), (16, 16), (21, 19)], ids=str)
def test_a_twin_gives_the_same_and_passes_back_the_same(kind: str, size: tuple[int, int]) -> None:
    x = features(*size, batch=2).double().requires_grad_()
    results = []
    for module in pair(kind):
        out = run(module.double().train(), x)
        inputs = [x, *module.parameters()]
        added = module.training_loss()
        total = out.square().sum() if added is None else out.square().sum() + added
        results.append([out, *torch.autograd.grad(total, inputs, allow_unused=True)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)


@every
def test_what_is_not_differentiated_comes_out_the_same(kind: str) -> None:
    """Another way through the code, in blocks that are overwritten."""
    _, fused = pair(kind)
    x = features(21, 19)
    with torch.inference_mode():
        without = run(fused.eval(), x)
    torch.testing.assert_close(without, run(fused.eval(), x.requires_grad_()), rtol=1e-5, atol=1e-6)


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_near_as_it_can_be(kind: str, dtype: torch.dtype) -> None:
    """Half networks keep their type, and autocast changes no more than the plain backend's does."""
    plain, fused = (module.eval() for module in pair(kind))
    x = features(12, 12)
    exact = run(plain, x)
    with torch.autocast("cpu", dtype=dtype), torch.no_grad():
        errors = [(run(module, x) - exact).abs().max() for module in (plain, fused)]
    assert errors[1] <= max(1.5 * errors[0], 8 * torch.finfo(dtype).eps * exact.abs().max())
    half = fused.to(dtype)
    with torch.no_grad():
        assert run(half, x.to(dtype)).dtype == dtype


@every
def test_a_twin_holds_less(kind: str) -> None:
    """With chunks as large as released, both in evaluation."""
    released = settings_of(build_attention(kind, CHANNELS).recipe)  # type: ignore[arg-type]
    held = []
    for module in pair(kind, **{name: released[name] for name in SMALL_CHUNKS if name in released}):
        with torch.no_grad(), LiveBytes(module) as live:
            run(module.eval(), features(64, 64))
        held.append(live.peak)
    assert held[1] < held[0]


def test_shared_weights_meet_the_values_of_later_layers() -> None:
    """The first of two attentions finds them, plain or fused, and the second takes them."""
    x, outputs = features(9, 11, batch=2).double().requires_grad_(), []
    for module in pair("lcoa", share_from=1):
        first, second, carry = module.double(), copy.deepcopy(module).double(), Carry()
        out = second(run(first, x, carry), carry)
        outputs.append([out, *torch.autograd.grad(out.square().sum(), [x, *first.parameters()])])
    for ours, theirs in zip(*outputs, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)


def test_window_sums_copy_no_window() -> None:
    torch.manual_seed(0)
    routing = route(torch.randint(0, 4, (2, 3, 50)), 8)
    weights, values = torch.rand(2, 3, 7, 8, 24), torch.randn(2, 50, 6)
    with LiveBytes(nn.Module()) as live:
        sums = window_sums(weights, values, routing)
    torch.testing.assert_close(sums, weights @ windowed(seated(values, routing)))
    assert live.peak < 4 * (4 * sums.numel() + 8 * routing.seats.numel())


learned_or_not = pytest.mark.parametrize("learned", [False, True], ids=["dot", "learned"])


def attended(*, learned: bool, few: int, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    for name in ("SCRATCH", "ACROSS"):
        monkeypatch.setattr(methods.fused, name, few)
    torch.manual_seed(0)
    inputs = [torch.randn(2, 101, d, dtype=torch.float64, requires_grad=True) for d in (3, 5, 6)[: 3 if learned else 2]]
    out = windowed_attention(Tokens(*inputs), route(torch.randint(0, 4, (2, 2, 101)), 6))
    return [out, *torch.autograd.grad(out.square().sum(), inputs)]


@learned_or_not
def test_blocks_of_any_size_give_the_same(learned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = (attended(learned=learned, few=few, monkeypatch=monkeypatch) for few in (1, 10**6))
    for one, other in zip(small, large, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@learned_or_not
def test_gradients_are_those_of_small_differences(learned: bool) -> None:
    torch.manual_seed(0)
    routing, widths = route(torch.randint(0, 3, (1, 2, 10)), 3), (2, 4, 3) if learned else (2, 4)
    inputs = [torch.randn(1, 10, d, dtype=torch.float64, requires_grad=True) for d in widths]
    assert torch.autograd.gradcheck(lambda *tokens: windowed_attention(Tokens(*tokens), routing), inputs)


def test_large_scores_neither_overflow_nor_vanish() -> None:
    """Exponentials of the logits themselves would do both; the learned score may lift all or sink all."""
    torch.manual_seed(0)
    match, value = 1e4 * torch.randn(1, 40, 4), torch.randn(1, 40, 5)
    match[:, ::7] *= 1e-12
    bias, routing = 1e4 * torch.randn(1, 40, 8), route(torch.randint(0, 3, (1, 2, 40)), 8)
    for tokens in (Tokens(match, value), Tokens(match, value, bias), Tokens(match, value, bias - 1e6)):
        out = windowed_attention(tokens, routing)
        assert out.isfinite().all()
        assert out.abs().max() <= value.abs().max() * (1 + 1e-5)


@every
def test_twins_agree_at_the_gate(kind: str) -> None:
    plain, fused = pair(kind)
    before = {key: tensor.clone() for key, tensor in fused.state_dict().items()}
    assert disagreement(fused) < 1e-5
    check_agreement(fused)
    check_agreement(plain)
    assert all(torch.equal(before[key], tensor) for key, tensor in fused.state_dict().items())


@pytest.mark.parametrize("kind", ["nlsa", "dnla", "gla", "lcoa"])
def test_sharp_attention_passes_the_gate(kind: str) -> None:
    """What training can make of it: log masses of some thousands, whose rounding must not be in the weights."""
    _, fused = pair(kind)
    with torch.no_grad():
        fused.conv_match[0].weight.mul_(60)  # type: ignore[index, union-attr]
    check_agreement(fused)


def test_attention_that_adds_nothing_passes_the_gate() -> None:
    check_agreement(build_network("nlsn", 2, n_feats=8, n_resblocks=1, chunk_size=9, backend="fused", res_scale=0.0))


def test_the_gate_leaves_generator_and_means_alone() -> None:
    network = build_network("lcoan", 2, n_feats=8, n_resgroups=2, n_resblocks=1, backend="fused")
    state = torch.get_rng_state()
    check_agreement(network)
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.kmeans.started for module in attention_modules(network).values())  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["gla", "enlca", "nla"])
def test_a_twin_that_disagrees_does_not_pass(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a thousandth, which no picture would show."""
    where, name = {
        "gla": ("methods.bucketed", "windowed_attention"),
        "enlca": ("methods.enlca.attention", "kernel_attention_map"),
        "nla": ("methods.dense", "fused_attention"),
    }[kind]
    _, fused = pair(kind)
    right = getattr(__import__(where, fromlist=[name]), name)
    monkeypatch.setattr(f"{where}.{name}", lambda *args: 1.001 * right(*args))
    with pytest.raises(DisagreementError, match=r'written out by 2\.0e-03 .* choose backend = "plain"'):
        check_agreement(fused)


@pytest.mark.parametrize("name", [name for name in NETWORKS if "backend" in method(name).settings()])
def test_the_backend_changes_no_weights(name: str) -> None:
    """It is how a function is computed: trained weights, keys and random draws are the same."""
    sizes = {"n_feats": 16, "n_resgroups": 1, "n_resblocks": 1}
    known = {key: value for key, value in sizes.items() if key in method(name).settings()}
    built = []
    for backend in ("plain", "fused"):
        torch.manual_seed(0)
        built.append(build_network(name, 2, **known, backend=backend))
    assert "backend" in method(name).execution
    torch.testing.assert_close(*(network.state_dict() for network in built), rtol=0, atol=0)
    chosen = [next(iter(attention_modules(network).values())).recipe for network in built]
    assert settings_of(chosen[0]) | {"backend": "fused"} == settings_of(chosen[1])
    assert dataclasses.is_dataclass(chosen[0])
