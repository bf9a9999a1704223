"""What the machine did while something was timed: load and clock of the CPU; clock, heat, power, throttling of a GPU.

A throttled sample is marked by it, never dropped. Where a counter cannot be read there is no record of it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from harness.nvml import handle

CPU_INFO = Path("/proc/cpuinfo")
THROTTLING = ("SwPowerCap", "HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown")
"""NVML's reasons for a clock below what was asked for that are none of our doing."""


@contextlib.contextmanager
def watched(device: str) -> Iterator[dict[str, float]]:
    """A table, filled when the block ends: metrics of `harness.records` by name.

    `energy_j` is what the GPU took from the beginning of the block to its end.
    """
    found: dict[str, float] = {}
    gpu = _gpu(device)
    before = _read(gpu.energy_mj) if gpu else None
    yield found
    found["load_average"] = os.getloadavg()[0]
    if megahertz := _cpu_mhz():
        found["cpu_mhz"] = megahertz
    if gpu:
        found |= gpu.state()
        after = _read(gpu.energy_mj)
        if before is not None and after is not None:
            found["energy_j"] = (after - before) / 1e3


def energy_per_call_j(call: Callable[[], object], device: str, least_s: float = 1.0) -> float | None:
    """Joules that the GPU takes for one `call`, from calls without pause for at least `least_s` seconds.

    All of the GPU counts, what it takes when idle and for others included. Its counter moves on every 20 to 100 ms, so
    that after one second the answer is good to a tenth. None where there is no GPU or no counter.
    """
    gpu = _gpu(device)
    if gpu is None or _read(gpu.energy_mj) is None:
        return None
    torch.cuda.synchronize(device)
    before = _read(gpu.energy_mj)
    calls = _repeated(call, least_s)
    torch.cuda.synchronize(device)
    after = _read(gpu.energy_mj)
    return None if before is None or after is None else (after - before) / 1e3 / calls


def _repeated(call: Callable[[], object], least_s: float) -> int:
    """How often `call` was made in at least `least_s` seconds: once or more. A GPU may have some of it to do yet."""
    calls, started = 0, time.perf_counter()
    while not calls or time.perf_counter() - started < least_s:
        call()
        calls += 1
    return calls


class _Gpu:
    """One GPU through NVML."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self.nvml, self.handle = nvml, handle

    def state(self) -> dict[str, float]:
        """What can be read of it now."""
        nvml, handle = self.nvml, self.handle
        readings: dict[str, Callable[[], float]] = {
            "gpu_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "gpu_celsius": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "gpu_watt": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
            "gpu_throttled": self._throttled,
            "gpu_others": self._others,
        }
        values = {name: _read(reading) for name, reading in readings.items()}
        return {name: value for name, value in values.items() if value is not None}

    def energy_mj(self) -> float:
        """Millijoules since the driver was loaded."""
        return float(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle))

    def _throttled(self) -> float:
        reasons = int(self.nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self.handle))
        masks = (getattr(self.nvml, f"nvmlClocksThrottleReason{name}", 0) for name in THROTTLING)
        return float(any(reasons & mask for mask in masks))

    def _others(self) -> float:
        """Processes on the GPU besides this one."""
        processes = self.nvml.nvmlDeviceGetComputeRunningProcesses(self.handle)
        return float(sum(process.pid != os.getpid() for process in processes))


def _gpu(device: str) -> _Gpu | None:
    if torch.device(device).type != "cuda":
        return None
    import pynvml  # noqa: PLC0415 - only where there is a GPU

    try:
        return _Gpu(pynvml, handle(pynvml, device))
    except pynvml.NVMLError:
        return None


def _read(reading: Callable[[], float]) -> float | None:
    """A counter that a GPU, a driver or a container does not offer is no reason to fail."""
    try:
        return float(reading())
    except Exception:  # noqa: BLE001 - NVML's errors are made at run time, and any of them means: not told
        return None


def _cpu_mhz() -> float | None:
    """The mean clock of the cores, where the system tells it."""
    if not CPU_INFO.is_file():
        return None
    lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    told = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return sum(told) / len(told) if told else None
