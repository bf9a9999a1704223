"""What the machine did meanwhile, with a GPU that the tests make up."""

from __future__ import annotations

import contextlib
import itertools
import os
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness import ceilings, telemetry
from harness.records import METRICS


class BrokenError(Exception):
    pass


def nvml(**changes: object) -> types.SimpleNamespace:
    """A GPU that takes 5 J between two readings of its energy."""
    energy = iter((1_000.0, 6_000.0))
    processes = [types.SimpleNamespace(pid=os.getpid()), types.SimpleNamespace(pid=1)]
    functions = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda index: ("handle", index),
        "nvmlDeviceGetClockInfo": lambda _, __: 1_830,
        "nvmlDeviceGetTemperature": lambda _, __: 61,
        "nvmlDeviceGetPowerUsage": lambda _: 412_500,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda _: 4 | 1,
        "nvmlDeviceGetComputeRunningProcesses": lambda _: processes,
        "nvmlDeviceGetTotalEnergyConsumption": lambda _: next(energy),
        "nvmlClocksThrottleReasonSwPowerCap": 4,
        "NVML_CLOCK_SM": 1,
        "NVML_TEMPERATURE_GPU": 0,
        "NVMLError": BrokenError,
    }
    return types.SimpleNamespace(**functions | changes)


def test_a_gpu_tells_its_clock_heat_power_and_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", nvml())
    with telemetry.watched("cuda:1") as found:
        assert found == {}
    expected = {
        "gpu_mhz": 1830,
        "gpu_celsius": 61,
        "gpu_watt": 412.5,
        "gpu_throttled": 1,
        "gpu_others": 1,
        "energy_j": 5,
    }
    assert expected.items() <= found.items()
    assert found.keys() <= METRICS.keys()


def test_an_idle_clock_is_no_throttling(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = nvml(nvmlDeviceGetCurrentClocksThrottleReasons=lambda _: 1)
    monkeypatch.setitem(__import__("sys").modules, "pynvml", idle)
    with telemetry.watched("cuda") as found:
        pass
    assert found["gpu_throttled"] == 0


def test_a_counter_that_cannot_be_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BrokenError

    poor = nvml(nvmlDeviceGetTotalEnergyConsumption=refuse, nvmlDeviceGetPowerUsage=refuse)
    monkeypatch.setitem(__import__("sys").modules, "pynvml", poor)
    with telemetry.watched("cuda") as found:
        pass
    assert "energy_j" not in found
    assert "gpu_watt" not in found
    assert found["gpu_mhz"] == 1830


def test_a_machine_without_nvml_tells_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise BrokenError

    monkeypatch.setitem(__import__("sys").modules, "pynvml", nvml(nvmlInit=absent))
    with telemetry.watched("cuda") as found:
        pass
    assert "gpu_mhz" not in found
    assert "load_average" in found


def test_the_clock_of_the_cpu_is_the_mean_of_its_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("cpu MHz\t\t: 2000.0\nmodel name\t: X\ncpu MHz\t\t: 3000.5\n")
    monkeypatch.setattr(telemetry, "CPU_INFO", tmp_path / "cpuinfo")
    with telemetry.watched("cpu") as found:
        pass
    assert found["cpu_mhz"] == 2500.25
    assert found["load_average"] >= 0
    monkeypatch.setattr(telemetry, "CPU_INFO", tmp_path / "absent")
    with telemetry.watched("cpu") as found:
        pass
    assert "cpu_mhz" not in found


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by half a second whenever it is read."""
    ticks = itertools.count()
    monkeypatch.setattr(telemetry, "time", types.SimpleNamespace(perf_counter=lambda: 0.5 * next(ticks)))


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize(("least_s", "calls"), [(0.0, 1), (2.0, 4)])
def test_energy_is_that_of_all_calls_by_their_number(
    monkeypatch: pytest.MonkeyPatch, least_s: float, calls: int
) -> None:
    """The counter is read on an idle GPU: before the first call, and when the last is done. Ten joules are taken."""
    order: list[str] = []
    counter = iter((500.0, 1_000.0, 11_000.0))

    def energy(_: object) -> float:
        order.append("read")
        return next(counter)

    monkeypatch.setitem(__import__("sys").modules, "pynvml", nvml(nvmlDeviceGetTotalEnergyConsumption=energy))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: order.append(f"wait for {device}"))
    found = telemetry.energy_per_call_j(lambda: order.append("call"), "cuda:1", least_s)
    assert found == 10.0 / calls
    assert order[1:] == ["wait for cuda:1", "read", *["call"] * calls, "wait for cuda:1", "read"]


def test_no_counter_no_energy_and_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BrokenError

    def call() -> None:
        raise AssertionError

    assert telemetry.energy_per_call_j(call, "cpu") is None
    for broken in ({"nvmlInit": refuse}, {"nvmlDeviceGetTotalEnergyConsumption": refuse}):
        monkeypatch.setitem(__import__("sys").modules, "pynvml", nvml(**broken))
        assert telemetry.energy_per_call_j(call, "cuda") is None


@pytest.mark.parametrize(("precision", "dtype"), [("tf32", torch.float32), ("fp16", torch.float16)])
def test_ceilings_are_those_of_the_precision(
    monkeypatch: pytest.MonkeyPatch, precision: str, dtype: torch.dtype
) -> None:
    """The product is taken inside what `autocast` makes of the precision; the copy needs none of it."""
    order: list[object] = []

    @contextlib.contextmanager
    def autocast(*asked: str) -> Iterator[None]:
        order.append(asked)
        yield
        order.append("left")

    def product(a: torch.Tensor, b: torch.Tensor) -> None:
        order.append({a.dtype, b.dtype})

    monkeypatch.setattr(ceilings, "autocast", autocast)
    monkeypatch.setattr(torch, "matmul", product)
    monkeypatch.setattr(ceilings, "SIDE", {"cpu": 4})
    monkeypatch.setattr(ceilings, "COPY_BYTES", {"cpu": 64})
    ceilings.ceilings("cpu", precision)
    assert order == [("cpu", precision), *[{dtype}] * (1 + ceilings.REPEATS), "left"]


def test_ceilings_are_work_over_the_best_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which every piece of work takes two seconds, the fourth one."""
    times = iter([0.0, 9.0, 10.0, 12.0, 20.0, 22.0, 30.0, 31.0, 40.0, 42.0, 50.0, 52.0] * 2)
    monkeypatch.setattr(ceilings, "time", types.SimpleNamespace(perf_counter=lambda: next(times)))
    monkeypatch.setattr(ceilings, "SIDE", {"cpu": 10})
    monkeypatch.setattr(ceilings, "COPY_BYTES", {"cpu": 400})
    found = ceilings.ceilings("cpu", "bf16")
    assert found == {"ceiling_macs_per_s": 1000.0, "ceiling_bytes_per_s": 800.0}
