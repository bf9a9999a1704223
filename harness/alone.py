"""Time of attentions alone, in turn: A B C A B C …, so that what slows the machine slows them all.

A sample of a round stands beside those of the same round: ratios are taken of such pairs only. What is counted, MACs
and peak memory, is counted under fake tensors and needs no run.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from harness.ceilings import ceilings
from harness.contenders import CONTROL, IMAGE, IMAGES, Contender, Runner, control, runner
from harness.inference import autocast
from harness.profile.clock import Race, clock_s, race
from harness.profile.cost import FLOPS_PER_MAC, FORMULAS
from harness.profile.memory import LiveBytes
from harness.records import Record, Status
from harness.telemetry import watched
from methods.interface import NonLocal

HEADROOM = 0.8
"""Share of the memory at hand that a contender may be expected to take."""


def protocol(spec: Mapping[str, Any], device: str, threads: int) -> dict[str, Any]:
    """How the figures are measured, for the store; the size and the pass have columns of their own."""
    return {
        "time": "samples of attention alone, in turn with all others of the grid; first call apart",
        "input": f"features that the network makes of {IMAGE} of {IMAGES} before its first attention, initial weights",
        "alone_macs": "torch.utils.flop_counter halved, under fake tensors",
        "alone_peak_bytes": "live tensors beyond input and weights, under fake tensors",
        **{name: spec[name] for name in ("mode", "precision", "batch", "warm_up_s", "budget_s")},
        "device": torch.device(device).type,
        "threads": threads,
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


class Alone:
    """Times `contenders` at the sizes it is asked for; one that is short of memory at a size is not tried above."""

    def __init__(self, contenders: Mapping[str, Contender], device: str) -> None:
        self.contenders, self.device = contenders, device
        self.exhausted: dict[tuple[str, str], str] = {}

    def measure(self, spec: Mapping[str, Any], progress: Callable[[int, int], None]) -> tuple[Record, ...]:
        """Records of every contender at `spec["size"]`; one that fails is a record with a reason."""
        with watched(self.device) as told:
            records = self._measured(spec, progress)
        told |= ceilings(self.device, spec["precision"])
        return (*records, *(Record(metric=metric, value=value, size=spec["size"]) for metric, value in told.items()))

    def _measured(self, spec: Mapping[str, Any], progress: Callable[[int, int], None]) -> list[Record]:
        records: list[Record] = []
        ready: dict[str, Runner] = {}
        for key in spec["contenders"]:
            made = self._ready(key, spec)
            if isinstance(made, Record):
                records.append(made)
            else:
                ready[key] = made
                records += counted(key, made, spec)
        if ready:
            ready[CONTROL] = control(next(iter(ready.values())))
            records += self._timed(ready, spec, progress)
        return records

    def _ready(self, key: str, spec: Mapping[str, Any]) -> Runner | Record:
        """The contender, ready to run, or why it is not."""
        way = f"{spec['mode']} {spec['precision']} {spec['batch']}"
        if smaller := self.exhausted.get((key, way)):
            return _failed(key, spec, Status.SKIPPED, f"implied: out of memory at {smaller}")
        made = runner(self.contenders[key], spec["size"], spec["batch"], self.device)
        needed, free = peak_bytes(made, spec), available_bytes(self.device)
        if needed <= HEADROOM * free:
            return made
        self.exhausted[key, way] = spec["size"]
        reason = f"would take {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
        return _failed(key, spec, Status.OUT_OF_MEMORY, reason)

    def _timed(
        self, ready: Mapping[str, Runner], spec: Mapping[str, Any], progress: Callable[[int, int], None]
    ) -> list[Record]:
        calls = {key: _call(made, spec, self.device) for key, made in ready.items()}
        budget = {"warm_up_s": spec["warm_up_s"], "budget_s": spec["budget_s"]}
        raced = race(calls, self.device, **budget, progress=progress)
        records = [Record(metric="clock_s", value=clock_s(self.device), size=spec["size"])]
        for key, found in raced.items():
            records += _samples(key, found, spec["size"])
        return records


def counted(key: str, made: Runner, spec: Mapping[str, Any]) -> list[Record]:
    """MACs, peak memory and parameters of one contender, as inference on one input or training has them."""
    values = {
        "alone_macs": macs(made, spec),
        "alone_peak_bytes": peak_bytes(made, spec),
        "alone_parameters": float(sum(p.numel() for p in made.module.parameters())),
    }
    return [Record(metric=metric, value=value, module=key, size=spec["size"]) for metric, value in values.items()]


def macs(made: Runner, spec: Mapping[str, Any]) -> float:
    """Multiply-adds of one call, counted under fake tensors after a first call that is not counted."""
    counter, copied = FlopCounterMode(display=False, custom_mapping=FORMULAS), _copied(made)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        call = _fake_call(copied, spec, mode)
        call()
        with counter:
            call()
    return counter.get_total_flops() / FLOPS_PER_MAC


def peak_bytes(made: Runner, spec: Mapping[str, Any]) -> float:
    """Peak of live tensors of one call beyond weights and input, found under fake tensors."""
    copied = _copied(made)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        call = _fake_call(copied, spec, mode)
        call()
        with LiveBytes(copied.module) as live:
            call()
    return float(live.peak)


def _copied(made: Runner) -> Runner:
    """A module that learns from its first input, such as k-means, shall not learn from a fake one."""
    return Runner(module=copy.deepcopy(made.module), x=made.x)


def available_bytes(device: str) -> float:
    """Memory that can be had now."""
    if torch.device(device).type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - a file of the system's own
        line = next(line for line in lines if line.startswith("MemAvailable:"))
    return float(line.split()[1]) * 1024


def _call(made: Runner, spec: Mapping[str, Any], device: str) -> Callable[[], None]:
    step = _train if spec["mode"] == "training" else _infer

    def call() -> None:
        with autocast(device, spec["precision"]):
            step(made.module, made.x)

    return call


def _fake_call(made: Runner, spec: Mapping[str, Any], mode: FakeTensorMode) -> Callable[[], None]:
    return _call(Runner(module=made.module, x=mode.from_tensor(made.x)), spec, made.x.device.type)


def _infer(module: nn.Module, x: Tensor) -> None:
    module.eval()
    with torch.no_grad():
        module(x)


def _train(module: nn.Module, x: Tensor) -> None:
    """Forward and backward, to the input as well, as inside a network."""
    module.train()
    y = module(x.detach().requires_grad_())
    loss = y.float().mean()
    added = module.training_loss() if isinstance(module, NonLocal) else None
    (loss if added is None else loss + added).backward()
    module.zero_grad(set_to_none=True)


def _samples(key: str, found: Race, size: str) -> list[Record]:
    once = {"alone_first_s": found.first_s, "alone_converged": float(found.converged)}
    records = [Record(metric=metric, value=value, module=key, size=size) for metric, value in once.items()]
    return records + [
        Record(metric="alone_s", value=seconds, module=key, size=size, repeat=turn)
        for turn, seconds in found.samples.items()
    ]


def _failed(key: str, spec: Mapping[str, Any], status: Status, reason: str) -> Record:
    return Record(metric="alone_s", status=status, reason=reason, module=key, size=spec["size"])
