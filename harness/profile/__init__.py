"""What a network costs at one input size: multiply-adds, memory, time; each measured in a pass of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from harness.grid_tables import height_width
from harness.inference import autocast
from harness.profile import clock, cost, memory
from harness.records import Record


def profile(build: Callable[[], nn.Module], spec: Mapping[str, Any], device: str) -> tuple[Record, ...]:
    """Records of one size, `spec["size"]`, in inference.

    Counting comes first because it computes nothing; then the second count, time, and memory, never two at once.
    Memory is watched without gradients, not in inference mode: there an operation made of others comes whole, and what
    it holds in between is not seen. Weights ask for no gradient, so that autocast keeps no copies of them, as in
    inference mode.
    """
    height, width = height_width(spec["size"])
    values = cost.count(build, height, width, spec["precision"])
    network = build().to(device).eval()
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(device)

    def forward(mode: Callable[[], contextlib.AbstractContextManager[None]] = torch.inference_mode) -> None:
        with mode(), autocast(device, spec["precision"]):
            network(x)

    timing = clock.time_forward(network, forward, device, warm_up_s=spec["warm_up_s"], budget_s=spec["budget_s"])
    network.requires_grad_(requires_grad=False)
    values |= cost.sizes_of(network) | memory.peak(network, lambda: forward(torch.no_grad), device)
    values |= {"first_forward_s": timing.first_s, "converged": float(timing.converged)}
    samples = {"forward_s": timing.forward_s, "attention_s": timing.attention_s}
    return (
        *(Record(metric=metric, value=value, size=spec["size"]) for metric, value in values.items()),
        cost.second_count(network, x.cpu(), spec["size"]),
        *(
            Record(metric=metric, value=value, size=spec["size"], repeat=repeat)
            for metric, series in samples.items()
            for repeat, value in enumerate(series)
        ),
    )


def protocol(spec: Mapping[str, Any], device: str, threads: int) -> dict[str, Any]:
    """How the figures of `profile` are measured, for the store."""
    return {
        "macs": "torch.utils.flop_counter halved, under fake tensors; fvcore as second count",
        "peak_bytes": "live tensors beyond input and weights in one warm forward",
        "peak_bytes_fake": "the same under fake tensors on the CPU, nothing computed",
        "uncounted": "operations without a formula: elements written, distinct bytes read and written, matrix products",
        "time": "samples of warm forwards; attention between hooks; first forward apart",
        "mode": "inference, batch 1, initial weights, uniform noise",
        "warm_up_s": spec["warm_up_s"],
        "budget_s": spec["budget_s"],
        "precision": spec["precision"],
        "device": torch.device(device).type,
        "threads": threads,
        "tf32": spec["precision"] == "tf32",
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }
