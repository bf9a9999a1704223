"""What a network costs at one input size: multiply-adds, memory, time; each measured in a pass of its own."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.execution import Call, Execution, Forward, forget_compiled, graph_breaks
from harness.grid_tables import height_width
from harness.inference import autocast, check_output
from harness.profile import clock, cost, memory
from harness.records import Record, Status
from methods.interface import attention_modules

OPAQUE = "not seen inside compiled code or a CUDA graph"
Mode = Callable[[], contextlib.AbstractContextManager[None]]


def profile(build: Callable[[], nn.Module], spec: Mapping[str, Any], device: str) -> tuple[Record, ...]:
    """Records of one size, `spec["size"]`, in inference.

    Counting comes first because it computes nothing; then time, memory, and the second count, never two at once.
    Counts and the second count are of the network as it is written, however it is executed.

    Raises:
        UnavailableError: the network cannot be executed here as `spec` says.
        ValueError: it makes no images of the scale.
    """
    execution = Execution.of(spec)
    execution.require(device)
    height, width = height_width(spec["size"])
    counted = cost.counted(build, cost.RGB, height, width, spec["precision"])
    check_output(counted.output, (1, cost.RGB, spec["scale"] * height, spec["scale"] * width))
    values = counted.figures
    network = execution.laid_out(build().to(device)).eval()
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    asked = _Asked(network=network, x=execution.laid_out(noise.to(device)), spec=spec, execution=execution)
    timing, broken = _timed(asked, device)
    network.requires_grad_(requires_grad=False)
    values |= cost.sizes_of(network) | {"first_forward_s": timing.first_s, "converged": float(timing.converged)}
    values |= {"graph_breaks": float(broken)} if execution.compile else {}
    samples = {"forward_s": timing.forward_s, "attention_s": timing.attention_s}
    return (
        *_peak(asked, device),
        *(Record(metric=metric, value=value, size=spec["size"]) for metric, value in values.items()),
        cost.second_count(network, noise, spec["size"]),
        *(
            Record(metric=metric, value=value, size=spec["size"], repeat=repeat)
            for metric, series in samples.items()
            for repeat, value in enumerate(series)
        ),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Asked:
    """A network, its input, and how it is executed."""

    network: nn.Module
    x: Tensor
    spec: Mapping[str, Any]
    execution: Execution

    def call(self, device: str, forward: Forward, mode: Mode = torch.inference_mode) -> Call:
        """One forward."""

        def once() -> None:
            with mode(), autocast(device, self.spec["precision"]):
                forward(self.x)

        return once


def _timed(asked: _Asked, device: str) -> tuple[clock.Timing, int]:
    """Times, and how often a compiled graph broke; what is compiled or captured is not looked into."""
    execution, spec = asked.execution, asked.spec
    if execution.compile:
        forget_compiled()
    before = graph_breaks() if execution.compile else 0
    call = execution.call_of(asked.call(device, execution.forward_of(asked.network)), device)
    inside = None if execution.opaque else asked.network
    timing = clock.time_forward(inside, call, device, warm_up_s=spec["warm_up_s"], budget_s=spec["budget_s"])
    return timing, graph_breaks() - before if execution.compile else 0


def _peak(asked: _Asked, device: str) -> Iterator[Record]:
    """Memory of one forward as it is written; of one that is compiled or captured, why it is not told.

    It is watched without gradients, not in inference mode: there an operation made of others comes whole, and what it
    holds in between is not seen. Weights ask for no gradient, so that autocast keeps no copies of them, as in inference
    mode.
    """
    size = asked.spec["size"]
    if asked.execution.opaque:
        for metric in ("peak_bytes", *(["attention_s"] if attention_modules(asked.network) else [])):
            yield Record(metric=metric, status=Status.SKIPPED, reason=OPAQUE, size=size)
        return
    found = memory.peak(asked.network, asked.call(device, asked.network, torch.no_grad), device)
    yield from (Record(metric=metric, value=value, size=size) for metric, value in found.items())


def protocol(spec: Mapping[str, Any], device: str, threads: int) -> dict[str, Any]:
    """How the figures of `profile` are measured, for the store."""
    return {
        "macs": "torch.utils.flop_counter halved, under fake tensors; fvcore as second count",
        "peak_bytes": "live tensors beyond input and weights in one warm forward",
        "peak_bytes_fake": "the same under fake tensors on the CPU, nothing computed",
        "uncounted": "operations without a formula: elements written, distinct bytes read and written, matrix products",
        "time": "samples of warm forwards; attention between hooks; first forward, which compiles and captures, apart",
        "mode": "inference, batch 1, initial weights, uniform noise",
        "warm_up_s": spec["warm_up_s"],
        "budget_s": spec["budget_s"],
        "precision": spec["precision"],
        **Execution.of(spec).named,
        "device": torch.device(device).type,
        "threads": threads,
        "tf32": spec["precision"] == "tf32",
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }
