"""What only a GPU can show: peaks beside the allocator, a race by events, kernels, tf32. Skipped without one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.calls import call_of, counted_blank
from harness.contenders import runner
from harness.inference import autocast
from harness.profile import memory
from harness.profile.kernels import kernel_s
from harness.profile.turns import Rules, race
from tests.harness.test_race import ATTENTIONS, SPEC, contender

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

WIDE = {"n_feats": 64}
SIZE = "96x96"


@pytest.mark.parametrize("name", ATTENTIONS)
def test_the_counted_peak_is_the_allocators_within_10_percent(name: str) -> None:
    one, spec = contender(name, **WIDE), SPEC | {"size": SIZE}
    made = runner(one, "attention", SIZE, 1, "cuda")
    real = memory.peak(made.module, call_of(made, spec, "cuda"), "cuda")["peak_bytes"]
    assert counted_blank(one, spec)["counted_peak_bytes"] == pytest.approx(real, rel=0.1)


def test_a_race_by_events_settles_and_its_kernels_are_seen() -> None:
    spec = SPEC | {"size": SIZE}
    made = {name: runner(contender(name, **WIDE), "attention", SIZE, 1, "cuda") for name in ("nln", "enlcn")}
    calls = {name: call_of(each, spec, "cuda") for name, each in made.items()}
    found = race(calls, "cuda", Rules(warm_up_s=0.2, budget_s=5.0, reference="nln"))
    assert all(min(each.samples.values()) > 0.0 for each in found.values())
    assert all((kernel_s(call, "cuda") or 0.0) > 0.0 for call in calls.values())


def test_fp32_is_exact_and_tf32_is_not() -> None:
    """Convolutions as well, which PyTorch would run in tf32 by itself."""
    x, weight = torch.rand(1, 64, 48, 48, device="cuda"), torch.rand(64, 64, 3, 3, device="cuda")
    exact = torch.nn.functional.conv2d(x.double(), weight.double())

    def error(precision: Any) -> float:
        with autocast("cuda", precision):
            return float((torch.nn.functional.conv2d(x, weight) / exact - 1).abs().max())

    assert error("fp32") < 1e-5 < error("tf32")
