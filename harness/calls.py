"""One call of a contender: inference or a training step without the optimizer's part; run, or counted without running.

What is counted, multiply-adds, bytes moved and peak memory, is counted under fake tensors.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from harness.contenders import Contender, Runner, blank_runner
from harness.execution import Call, Execution, Forward
from harness.inference import autocast, tiled
from harness.profile.audit import Audit
from harness.profile.cost import FLOPS_PER_MAC, FORMULAS, module_macs
from harness.profile.learning import Learning
from harness.profile.memory import LiveBytes
from methods.interface import NonLocal, attention_loss, attention_modules

COUNTED = "MACs by torch.utils.flop_counter, halved; bytes of operations; live tensors: under fake tensors"
"""How figures are counted, for protocols."""
AS_WRITTEN = Execution()
Spec = Mapping[str, Any]


def call_of(made: Runner, spec: Spec, device: str, execution: Execution = AS_WRITTEN) -> Call:
    """What is done again and again: `spec` names mode, precision, and for networks scale and tiling.

    `execution` says how; its memory layout is left to whoever made the contender.
    """
    training = spec["mode"] == "training"
    forward, step = execution.forward_of(made.module.train(training)), _train if training else _infer

    def call() -> None:
        with autocast(device, spec["precision"]):
            step(forward, made, spec)

    return execution.call_of(call, device)


def counted(made: Runner, spec: Spec) -> dict[str, float]:
    """By metric: MACs and bytes moved of one call, its peak of live tensors beyond weights and input, parameters.

    Of a training step also how many trainable parameters no gradient reaches, and the size of buffers that it writes.

    Every operation's distinct bytes read and written are moved, each operation by itself; views are free. A first call
    is not counted: a module that learns from its first input, such as k-means, does so there, in a copy.
    """
    shared = {id(parameter): parameter for parameter in made.module.parameters()}
    module = copy.deepcopy(made.module, shared)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        return _counted(Runner(module=module, x=mode.from_tensor(made.x)), spec, made.x.device.type)


def counted_blank(contender: Contender, spec: Spec) -> dict[str, float]:
    """The same of a contender that nobody need build, at any size, as a CPU computes it; tf32 multiplies as fp32."""
    spec = {**spec, "precision": "fp32"} if spec["precision"] == "tf32" else spec
    with FakeTensorMode(allow_non_fake_inputs=True):
        return _counted(blank_runner(contender, spec["scope"], spec["size"], spec["batch"]), spec, "cpu")


def _counted(made: Runner, spec: Spec, device: str) -> dict[str, float]:
    counter, moved, call = (
        FlopCounterMode(display=False, custom_mapping=FORMULAS),
        Audit(()),
        call_of(made, spec, device),
    )
    call()
    with LiveBytes(made.module) as live, Learning(made.module) as learning, moved, counter:
        call()
    return (
        _inside(made.module, counter, spec)
        | _untouched(learning, spec)
        | {
            "counted_macs": counter.get_total_flops() / FLOPS_PER_MAC,
            "counted_moved_bytes": float(sum(row.moved_bytes for row in moved.uncounted)),
            "counted_peak_bytes": float(live.peak),
            "counted_parameters": float(sum(p.numel() for p in made.module.parameters())),
        }
    )


def _inside(module: nn.Module, counter: FlopCounterMode, spec: Spec) -> dict[str, float]:
    """Of networks in inference, multiply-adds in attention: a backward pass does not know whose it is."""
    attentions = attention_modules(module)
    if spec["scope"] == "attention" or spec["mode"] == "training" or not attentions:
        return {}
    macs = module_macs(counter, module)
    return {"counted_attention_macs": float(sum(macs.get(name, 0) for name in attentions))}


def _untouched(learning: Learning, spec: Spec) -> dict[str, float]:
    """Of a training step after the first."""
    if spec["mode"] != "training":
        return {}
    idle, written = learning.idle_parameters, learning.moved_buffers
    return {"counted_idle_parameters": float(idle), "counted_moved_buffers": float(written)}


def _infer(forward: Forward, made: Runner, spec: Spec) -> None:
    with torch.no_grad():
        tiled(forward, made.x, spec["scale"], spec["tiling"])


def _train(forward: Forward, made: Runner, _: Spec) -> None:
    """Forward and backward: of an attention to its input as well, as inside a network."""
    y = forward(made.x.detach().requires_grad_(isinstance(made.module, NonLocal)))
    (y.float().mean() + attention_loss(made.module)).backward()
    made.module.zero_grad(set_to_none=True)
