"""One call of a contender: inference or a training step without the optimizer's part; run, or counted without running.

What is counted, multiply-adds, bytes moved and peak memory, is counted under fake tensors.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from harness.contenders import Runner
from harness.inference import autocast, tiled
from harness.profile.audit import Audit
from harness.profile.cost import FLOPS_PER_MAC, FORMULAS
from harness.profile.memory import LiveBytes
from methods.interface import NonLocal, attention_loss

Spec = Mapping[str, Any]
Call = Callable[[], None]


def call_of(made: Runner, spec: Spec, device: str) -> Call:
    """What is done again and again: `spec` names mode, precision, and for networks scale and tiling."""
    step = _train if spec["mode"] == "training" else _infer

    def call() -> None:
        with autocast(device, spec["precision"]):
            step(made.module, made.x, spec)

    return call


def counted(made: Runner, spec: Spec) -> dict[str, float]:
    """By metric: MACs and bytes moved of one call, its peak of live tensors beyond weights and input, parameters.

    Every operation's distinct bytes read and written are moved, each operation by itself; views are free. A first call
    is not counted: a module that learns from its first input, such as k-means, does so there.
    """
    copied = _copied(made)
    counter, moved = FlopCounterMode(display=False, custom_mapping=FORMULAS), Audit(())
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        call = call_of(Runner(module=copied.module, x=mode.from_tensor(made.x)), spec, made.x.device.type)
        call()
        with LiveBytes(copied.module) as live, moved, counter:
            call()
    return {
        "race_macs": counter.get_total_flops() / FLOPS_PER_MAC,
        "race_moved_bytes": float(sum(row.moved_bytes for row in moved.uncounted)),
        "race_peak_bytes": float(live.peak),
        "race_parameters": float(sum(p.numel() for p in made.module.parameters())),
    }


def _copied(made: Runner) -> Runner:
    """Buffers are copied, since a module that learns from its first input shall not learn from a fake one."""
    shared = {id(parameter): parameter for parameter in made.module.parameters()}
    return Runner(module=copy.deepcopy(made.module, shared), x=made.x)


def _infer(module: nn.Module, x: Tensor, spec: Spec) -> None:
    module.eval()
    with torch.no_grad():
        tiled(module, x, spec["scale"], spec["tiling"])


def _train(module: nn.Module, x: Tensor, _: Spec) -> None:
    """Forward and backward: of an attention to its input as well, as inside a network."""
    module.train()
    y = module(x.detach().requires_grad_(isinstance(module, NonLocal)))
    (y.float().mean() + attention_loss(module)).backward()
    module.zero_grad(set_to_none=True)
