"""Who runs in which round, by a clock that goes on only while something runs."""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable

import pytest
import torch

from harness.profile import clock, turns
from harness.profile.turns import LEAST, Raced, Rules
from methods import build_network


class Hand:
    """What turns the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ran: list[str] = []

    def taking(self, name: str, *seconds: float) -> Callable[[], None]:
        """A call that takes these seconds in turn, again and again."""
        each = itertools.cycle(seconds)

        def call() -> None:
            self.ran.append(name)
            self.now += next(each)

        return call


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    found = Hand()
    time = types.SimpleNamespace(perf_counter=lambda: found.now)
    for module in (clock, turns):
        monkeypatch.setattr(module, "time", time)
    return found


def race(hand: Hand, budget_s: float, reference: str | None = None, **takes: tuple[float, ...]) -> dict[str, Raced]:
    calls = {name: hand.taking(name, *seconds) for name, seconds in takes.items()}
    return turns.race(calls, "cpu", Rules(warm_up_s=0.0, budget_s=budget_s, reference=reference))


RESTLESS = (1.0, 3.0, 6.0)
"""Never known to 2 %."""


def test_everybody_has_a_turn_in_every_round_and_each_round_begins_with_another(hand: Hand) -> None:
    found = race(hand, 1e6, a=(1.0,), b=(2.0,), c=(3.0,))
    ran = hand.ran[3 + 2 * 3 :]
    assert ran[:12] == [*"abc", *"bca", *"cab", *"abc"]
    assert {tuple(each.samples) for each in found.values()} == {tuple(range(len(ran) // 3))}
    assert all(each.converged for each in found.values())
    assert found["b"].samples[0] == 2.0


def test_one_that_has_used_up_its_share_sits_out(hand: Hand) -> None:
    found = race(hand, 60.0, slow=(10.0,), restless=RESTLESS)
    assert list(found["slow"].samples.values()) == [10.0] * LEAST
    assert len(found["restless"].samples) > LEAST
    assert sum(found["restless"].samples.values()) >= 60.0 / 2


def test_the_reference_runs_in_every_round_until_the_budget_ends(hand: Hand) -> None:
    found = race(hand, 60.0, reference="slow", slow=(10.0,), restless=RESTLESS)
    rounds = set(found["restless"].samples)
    assert rounds == set(found["slow"].samples)
    assert LEAST < len(rounds) < 2 * 60.0 / 10.0
    assert sum(sum(each.samples.values()) for each in found.values()) >= 60.0


def test_a_reference_that_takes_longer_than_its_share_is_sampled_as_often_as_others_at_the_least(hand: Hand) -> None:
    found = race(hand, 60.0, reference="endless", endless=(50.0,), restless=RESTLESS)
    assert set(found["endless"].samples) == set(found["restless"].samples) == set(range(LEAST))
    assert found["endless"].endless


def test_a_reference_never_runs_by_itself_beyond_its_share(hand: Hand) -> None:
    found = race(hand, 90.0, reference="restless", restless=RESTLESS, short=(50.0,))
    assert len(found["short"].samples) == 1
    assert sum(found["restless"].samples.values()) < 90.0 / 2 + max(RESTLESS)


def test_one_whose_first_call_takes_more_than_its_share_runs_once_more_and_no_more(hand: Hand) -> None:
    found = race(hand, 60.0, endless=(100.0,), quick=(1.0,))
    assert (found["endless"].first_s, found["endless"].samples) == (100.0, {0: 100.0})
    assert hand.ran.count("endless") == 2
    assert not found["endless"].converged
    assert len(found["quick"].samples) >= LEAST


def test_warm_up_is_by_calls_and_by_time(hand: Hand) -> None:
    turns.race({"a": hand.taking("a", 1.0)}, "cpu", Rules(warm_up_s=40.0, budget_s=2.5))
    assert len(hand.ran) == 1 + 40 + LEAST


def test_attention_inside_a_network_is_timed_in_the_same_rounds(hand: Hand) -> None:
    network, x = build_network("nlsn", 2, n_feats=8, n_resblocks=8).eval(), torch.rand(1, 3, 4, 4)
    inside = hand.taking("inside", 2.0)
    for module in network.body[::9]:
        module.register_forward_hook(lambda *_: inside())
    whole = hand.taking("whole", 3.0)

    def call() -> None:
        whole()
        network(x)

    rules = Rules(warm_up_s=0.0, budget_s=1e6)
    found = turns.race({"n": call, "m": hand.taking("m", 1.0)}, "cpu", rules, networks={"n": network})
    assert set(found["n"].samples.values()) == {7.0}
    assert set(found["n"].inside.values()) == {4.0}
    assert set(found["n"].inside) == set(found["n"].samples)
    assert found["m"].inside == {}


def test_no_hook_is_left_behind(hand: Hand) -> None:
    network, x = build_network("nlsn", 2, n_feats=8, n_resblocks=1).eval(), torch.rand(1, 3, 4, 4)

    def fails() -> None:
        hand.taking("n", 1.0)()
        network(x)
        if len(hand.ran) > 4:
            raise RuntimeError("as it was told to")

    with pytest.raises(RuntimeError, match="as it was told to"):
        turns.race({"n": fails}, "cpu", Rules(warm_up_s=0.0, budget_s=1e6), networks={"n": network})
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
