"""What a number depends on besides the code: the machine, the versions of what runs on it, and the commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from datasets.naming import nearest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "numpy", "pandas", "scikit-image", "pillow", "fvcore", "sqlalchemy", "nvidia-ml-py")


def describe(device: str, threads: int) -> dict[str, Any]:
    """The machine as a time depends on it; two machines of one description may be compared in time."""
    hardware = {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "os": f"{platform.system()} {platform.machine()}",
        "device": device,
        "wait_policy": _wait_policy(),
    }
    return hardware | (_gpu(device) if device.startswith("cuda") else {})


def _wait_policy() -> str:
    """How threads wait for each other; `harness.isolate` decides it for workers where the user did not."""
    turns = os.environ.get("GOMP_SPINCOUNT", "as the library does")
    return os.environ.get("OMP_WAIT_POLICY", f"spin {turns}")


def versions() -> dict[str, str]:
    """Python and the packages that a number may depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> tuple[str, bool]:
    """The checked-out commit of this code and whether files differ from it; "unknown", True outside a git checkout."""
    head, status = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return (head, bool(status)) if head is not None and status is not None else ("unknown", True)


def command() -> str:
    """The command line that started this process."""
    return " ".join(["python", Path(sys.argv[0]).name, *sys.argv[1:]])


def pick_device(asked: str) -> str:
    """`asked`, or for "auto" a GPU if this torch can use one.

    Raises:
        ValueError: a device that torch does not have.
    """
    import torch  # noqa: PLC0415 - plans and reports need no torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    here = ["cpu", "cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if not torch.cuda.is_available():
        here = ["cpu"]
    if asked not in here:
        raise ValueError(f"no device {asked!r} here: {nearest(asked, ['auto', *here])}")
    return asked


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)  # noqa: S603, S607 - our own words
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _cpu_name() -> str:
    """The model name that Linux gives, or what Python knows."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or "unknown"


def _gpu(device: str) -> dict[str, Any]:
    """Name, memory and driver of the GPU, from NVML."""
    import pynvml  # noqa: PLC0415 - only where there is a GPU
    import torch  # noqa: PLC0415

    index = torch.device(device).index or 0
    properties = torch.cuda.get_device_properties(index)
    gpu = {"gpu": properties.name, "gpu_memory_bytes": properties.total_memory, "cuda": torch.version.cuda}
    try:
        pynvml.nvmlInit()
        return gpu | {"driver": pynvml.nvmlSystemGetDriverVersion()}
    except pynvml.NVMLError:
        return gpu
