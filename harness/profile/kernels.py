"""How long one call keeps the device busy, by the profiler: what is left of its time is Python, dispatch and waiting.

A pass of its own: the profiler takes a microsecond or so for each operation, and a second or two when first started.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

CALLS = 3
GRAPH = ("autograd::", "torch::autograd::")
"""How the names of the backward pass's own steps begin; the operations in them are what is computed."""


def kernel_s(call: Callable[[], object], device: str) -> float | None:
    """Seconds in kernels, copies and fills of a GPU, or in operations of a CPU: the median of three calls.

    A call before these, in which the profiler itself starts, is not counted. Kernels that ran side by side are added
    up. None where the profiler sees nothing, as where a container forbids it to read the GPU's counters.
    """
    kind = torch.device(device).type
    seconds = [busy_s(_events(call, device), kind) for _ in range(1 + CALLS)]
    return statistics.median(seconds[1:]) or None


def busy_s(events: Iterable[Any], kind: str) -> float:
    """Seconds of those profiler's `events` that keep a device of `kind` ("cuda" or "cpu") busy, each counted once.

    On a CPU these are the operations that are inside no other operation. Ranges that a program named, steps of the
    backward pass and functions written in Python are no operations.
    """
    counted = _is_outermost if kind == "cpu" else _is_work
    found = (event for event in events if event.device_type.name.lower() == kind and counted(event))
    return sum(float(event.time_range.elapsed_us()) for event in found) / 1e6


def _is_work(event: Any) -> bool:
    """A named range spans what it names, on a GPU as well."""
    return not event.is_user_annotation


def _is_outermost(event: Any) -> bool:
    return _is_operation(event) and not any(map(_is_operation, _around(event)))


def _is_operation(event: Any) -> bool:
    """Operations have a namespace: `aten::mm`, `torchvision::deform_conv2d`."""
    return "::" in event.name and not event.name.startswith(GRAPH) and not event.is_user_annotation


def _around(event: Any) -> Iterable[Any]:
    while (event := event.cpu_parent) is not None:
        yield event


def _events(call: Callable[[], object], device: str) -> list[Any]:
    """What the profiler saw of one call, which begins on an idle device and is waited for."""
    activity = ProfilerActivity.CUDA if torch.device(device).type == "cuda" else ProfilerActivity.CPU
    _wait(device)
    # Without `acc_events` some releases of PyTorch warn that a next cycle would begin anew; there is none.
    with profile(activities=[activity], acc_events=True) as seen:
        call()
        _wait(device)
    return list(seen.events())


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
