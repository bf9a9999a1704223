"""The paths of a GPU on a machine without one: the calls they make, with stand-ins for the driver's answers."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from harness import machine
from harness.profile import clock, memory


class Gpu:
    """A stand-in for torch.cuda: an allocator with a peak, and a clock that events read."""

    def __init__(self) -> None:
        self.allocated, self.peak, self.now_ms = 1000, 9_999_999, 0.0
        self.calls: list[str] = []

    def use(self, extra: int, ms: float) -> None:
        self.calls.append("forward")
        self.peak = max(self.peak, self.allocated + extra)
        self.now_ms += ms

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gpu = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                self.at = gpu.now_ms

            def elapsed_time(self, end: Event) -> float:
                return end.at - self.at

        def reset(_: object) -> None:
            gpu.calls.append("reset")
            gpu.peak = gpu.allocated

        answers: dict[str, Any] = {
            "synchronize": lambda _: gpu.calls.append("synchronize"),
            "reset_peak_memory_stats": reset,
            "memory_allocated": lambda _: gpu.allocated,
            "max_memory_allocated": lambda _: gpu.peak,
            "max_memory_reserved": lambda _: 4096,
            "Event": Event,
            "is_available": lambda: True,
            "device_count": lambda: 2,
            "get_device_properties": lambda _: SimpleNamespace(name="Test GPU", total_memory=80e9),
        }
        for name, answer in answers.items():
            monkeypatch.setattr(torch.cuda, name, answer)


class Nvml:
    """A stand-in for pynvml; with `fails` it is a machine whose driver does not answer."""

    class NVMLError(Exception):
        pass

    def __init__(self, *, fails: bool = False, pid: int | None = None) -> None:
        self.fails, self.pid = fails, pid if pid is not None else os.getpid()

    def nvmlInit(self) -> None:  # noqa: N802 - the driver's own name
        if self.fails:
            raise self.NVMLError

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "570.1"

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetComputeRunningProcesses(self, _: int) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=self.pid, usedGpuMemory=7777)]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    found = Gpu()
    found.install(monkeypatch)
    return found


def nvml(monkeypatch: pytest.MonkeyPatch, found: Nvml) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", found)


def test_the_peak_is_reset_and_taken_from_the_second_forward(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml(monkeypatch, Nvml())
    columns = memory.peak(nn.Identity(), lambda: gpu.use(500, 1.0), "cuda")
    assert columns == {"peak_bytes": 500.0, "reserved_bytes": 4096.0, "process_bytes": 7777.0}
    assert gpu.calls == ["forward", "synchronize", "reset", "forward", "synchronize"]


@pytest.mark.parametrize("answer", [Nvml(fails=True), Nvml(pid=1)], ids=["no driver", "another's process"])
def test_what_nvml_does_not_tell_is_left_out(gpu: Gpu, monkeypatch: pytest.MonkeyPatch, answer: Nvml) -> None:
    nvml(monkeypatch, answer)
    assert set(memory.peak(nn.Identity(), lambda: gpu.use(1, 1.0), "cuda:1")) == {"peak_bytes", "reserved_bytes"}


def test_events_time_the_forward_and_the_attention_inside_with_one_wait_for_each_batch(gpu: Gpu) -> None:
    import methods

    attention = methods.build_attention("nla", 4)
    x = torch.rand(1, 4, 3, 3)
    attention.conv_assembly.register_forward_hook(lambda *_: gpu.use(0, 3.0))

    def forward() -> None:
        gpu.use(0, 2.0)
        attention(x)
        gpu.use(0, 5.0)

    timing = clock.time_forward(attention, forward, "cuda", warm_up_s=0.0, budget_s=60.0)
    assert timing.first_s == pytest.approx(10e-3)
    assert timing.forward_s == pytest.approx([10e-3] * clock.LEAST_JUDGED)
    assert timing.attention_s == pytest.approx([3e-3] * clock.LEAST_JUDGED)
    assert timing.converged
    warm_up_waits = 2
    assert gpu.calls.count("synchronize") == 1 + warm_up_waits + clock.LEAST_JUDGED / clock.BATCH


def test_a_gpu_is_described_by_name_memory_and_driver(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu.calls == []
    nvml(monkeypatch, Nvml())
    described = machine.describe("cuda:1", threads=2)
    assert described["gpu"] == "Test GPU"
    assert described["gpu_memory_bytes"] == 80e9
    assert described["driver"] == "570.1"
    nvml(monkeypatch, Nvml(fails=True))
    assert "driver" not in machine.describe("cuda", threads=2)


@pytest.mark.parametrize(("asked", "picked"), [("auto", "cuda"), ("cuda:1", "cuda:1"), ("cpu", "cpu")])
@pytest.mark.usefixtures("gpu")
def test_devices_that_are_there_are_taken(asked: str, picked: str) -> None:
    assert machine.pick_device(asked) == picked


@pytest.mark.usefixtures("gpu")
def test_a_gpu_beyond_the_last_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no device 'cuda:2' here: .*cuda:1"):
        machine.pick_device("cuda:2")
