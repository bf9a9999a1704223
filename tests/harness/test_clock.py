"""Timing by a clock that the tests turn: what is a sample, what is not, and when sampling ends."""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from harness.profile import clock
from methods import build_network


def build(method: str, **settings: Any) -> nn.Module:
    return build_network(method, 2, **{"n_feats": 8, "n_resblocks": 2, **settings})


@pytest.mark.parametrize(
    ("samples", "settled"),
    [
        ([], False),
        ([1.0] * 3, False),
        ([1.0] * 6, True),
        ([1.0, 1.001, 0.999, 1.002, 1.0, 0.998], True),
        ([1.0, 1.2, 0.8, 1.1, 0.9, 1.3, 0.7], False),
        ([1.0, 2.0] * 50, False),
        ([1.0] * 50 + [9.0] * 3, True),
        ([1.0 + 0.004 * step for step in range(-5, 6)], True),
        ([1.0 + 0.008 * step for step in range(-5, 6)], False),
    ],
)
def test_a_median_known_to_2_percent_is_settled(samples: list[float], settled: bool) -> None:
    assert clock.converged(samples) is settled
    assert clock.converged([1e-4 * sample for sample in samples]) is settled


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by one second whenever it is read."""
    ticks = itertools.count()
    monkeypatch.setattr(clock, "time", types.SimpleNamespace(perf_counter=lambda: float(next(ticks))))


def timed(network: nn.Module, forward: Callable[[], object], **how: float) -> clock.Timing:
    return clock.time_forward(network, forward, "cpu", **{"warm_up_s": 0.0, "budget_s": 1e6, **how})


@pytest.mark.usefixtures("ticking")
def test_time_inside_attention_is_the_sum_over_its_modules() -> None:
    """Two attention modules read the clock four times inside the two readings around the forward."""
    network, x = build("nlsn", n_resblocks=8), torch.rand(1, 3, 4, 4)
    timing = timed(network, lambda: network(x))
    assert (timing.first_s, set(timing.forward_s), set(timing.attention_s)) == (1.0, {5.0}, {2.0})
    assert len(timing.attention_s) == len(timing.forward_s)
    assert timing.converged


@pytest.mark.usefixtures("ticking")
def test_a_network_without_attention_has_no_time_in_it() -> None:
    network, x = build("edsr"), torch.rand(1, 3, 4, 4)
    timing = timed(network, lambda: network(x))
    assert (timing.first_s, set(timing.forward_s), timing.attention_s) == (1.0, {1.0}, ())


@pytest.mark.usefixtures("ticking")
def test_first_call_and_warm_up_are_no_samples() -> None:
    calls: list[int] = []
    timing = timed(nn.Identity(), lambda: calls.append(1))
    assert len(calls) == 1 + 2 + len(timing.forward_s)
    calls.clear()
    timing = timed(nn.Identity(), lambda: calls.append(1), warm_up_s=40.0)
    assert 1 + 40 <= len(calls) - len(timing.forward_s) <= 1 + 42


@pytest.mark.usefixtures("ticking")
def test_sampling_ends_with_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "converged", lambda _: False)
    timing = timed(nn.Identity(), lambda: None, budget_s=40.0)
    assert 5 < len(timing.forward_s) < 40
    assert not timing.converged


@pytest.mark.usefixtures("ticking")
def test_there_is_a_sample_however_small_the_budget() -> None:
    timing = timed(nn.Identity(), lambda: None, budget_s=1e-9)
    assert timing.forward_s
    assert not timing.converged


@pytest.mark.usefixtures("ticking")
def test_sampling_ends_with_the_greatest_number_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "converged", lambda _: False)
    assert 0 <= len(timed(nn.Identity(), lambda: None).forward_s) - clock.MAX_SAMPLES < 10


@pytest.mark.parametrize("fails", [False, True])
def test_no_hook_is_left_behind(fails: bool) -> None:
    network, x = build("nlsn"), torch.rand(1, 3, 4, 4)
    calls = itertools.count()

    def forward() -> None:
        network(x)
        if fails and next(calls) == 4:
            raise RuntimeError("as it was told to")

    if fails:
        with pytest.raises(RuntimeError, match="as it was told to"):
            timed(network, forward)
    else:
        timed(network, forward, budget_s=0.01)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.usefixtures("ticking")
def test_what_the_clock_takes_for_itself_is_what_it_reads_of_nothing() -> None:
    assert clock.clock_s("cpu") == 1.0
