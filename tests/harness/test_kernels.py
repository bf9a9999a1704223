"""Time in kernels: what of a profiler's events is counted, once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Self

import pytest
import torch
from torch import Tensor

from harness.profile import kernels


def event(
    name: str, microseconds: float, parent: Any = None, *, device: str = "CPU", annotation: bool = False
) -> SimpleNamespace:
    """As torch.profiler has it."""
    return SimpleNamespace(
        name=name,
        cpu_parent=parent,
        device_type=SimpleNamespace(name=device),
        time_range=SimpleNamespace(elapsed_us=lambda: microseconds),
        is_user_annotation=annotation,
    )


def test_an_operation_inside_another_is_not_counted_again() -> None:
    outer = event("aten::matmul", 500.0)
    inner = event("aten::mm", 400.0, outer)
    beside = event("torchvision::deform_conv2d", 30.0)
    assert kernels.busy_s([outer, inner, event("aten::empty", 10.0, inner), beside], "cpu") == pytest.approx(530e-6)


def test_what_wraps_operations_on_a_cpu_is_none_itself() -> None:
    """A named range whose name looks like an operation's, a backward step, a function written in Python."""
    named = event("mine::part", 900.0, annotation=True)
    step = event("autograd::engine::evaluate_function: MmBackward0", 800.0)
    backward = event("MmBackward0", 700.0, step)
    written = event("TopK", 300.0, named)
    inside = [event("aten::mm", 100.0, backward), event("aten::topk", 20.0, written), event("aten::add", 3.0, named)]
    assert kernels.busy_s([named, step, backward, written, *inside], "cpu") == pytest.approx(123e-6)


def test_a_gpu_is_busy_in_kernels_copies_and_fills_and_not_in_what_launches_them() -> None:
    launch = event("aten::mm", 50.0)
    done = [
        event("sm90_xmma_gemm", 200.0, device="CUDA"),
        event("Memcpy HtoD (Pageable -> Device)", 40.0, device="CUDA"),
        event("Memset (Device)", 2.0, device="CUDA"),
        event("a named range", 999.0, device="CUDA", annotation=True),
    ]
    assert kernels.busy_s([launch, event("cudaLaunchKernel", 9.0, launch), *done], "cuda") == pytest.approx(242e-6)


def test_operations_of_a_real_call_are_found_and_those_inside_them_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A linear layer and a softmax, each made of other operations, and the backward pass through them."""
    counted: list[str] = []
    outermost = kernels._is_outermost

    def note(found: Any) -> bool:
        if kept := outermost(found):
            counted.append(found.name)
        return kept

    monkeypatch.setattr(kernels, "_is_outermost", note)
    weight, x = torch.rand(8, 8, requires_grad=True), torch.rand(4, 8)

    def call() -> None:
        y: Tensor = torch.nn.functional.linear(x, weight)
        with torch.profiler.record_function("mine::part"):
            y.softmax(-1).sum().backward()
        weight.grad = None

    seconds = kernels.kernel_s(call, "cpu")
    assert seconds is not None
    assert seconds > 0
    forward = ["aten::linear", "aten::softmax", "aten::sum"]
    assert [name for name in counted if name in forward] == forward * 4
    assert "aten::_softmax_backward_data" in counted
    assert {"aten::_softmax", "aten::ones_like", "mine::part"} & set(counted) == {"aten::ones_like"}


class Profiler:
    """A stand-in for the profiler of a GPU: each call is a kernel of so many microseconds."""

    def __init__(self, durations: list[float]) -> None:
        self.left, self.asked = list(durations), []

    def __call__(self, **asked: Any) -> Profiler:
        self.asked.append(asked["activities"])
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def events(self) -> list[Any]:
        return [event("kernel", duration, device="CUDA") for duration in (self.left.pop(0),) if duration]


@pytest.mark.parametrize(("durations", "median"), [([9000.0, 30.0, 10.0, 20.0], 20e-6), ([0.0] * 4, None)])
def test_the_median_of_three_calls_after_one_that_does_not_count(
    monkeypatch: pytest.MonkeyPatch, durations: list[float], median: float | None
) -> None:
    """None where the profiler sees no kernel."""
    order: list[str] = []
    profiler = Profiler(durations)
    monkeypatch.setattr(kernels, "profile", profiler)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: order.append("wait"))
    found = kernels.kernel_s(lambda: order.append("call"), "cuda:1")
    assert found == (None if median is None else pytest.approx(median))
    assert order == ["wait", "call", "wait"] * 4
    assert profiler.asked == [[torch.profiler.ProfilerActivity.CUDA]] * 4
