"""Peak memory of one forward, beyond input and weights; on a CPU by the live tensors, on a GPU by its allocator."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.nvml import handle

HIGH_WATER = Path("/proc/self/status")
RESET_HIGH_WATER = Path("/proc/self/clear_refs")


def peak(network: nn.Module, forward: Callable[[], None], device: str) -> dict[str, float]:
    """The memory columns of one warm forward on `device`, by metric; CPU and GPU have columns of their own."""
    if torch.device(device).type == "cuda":
        return _cuda_peak(forward, device)
    reset = _reset_high_water()
    with LiveBytes(network) as live:
        forward()
    return {"peak_bytes": float(live.peak)} | ({"rss_bytes": _high_water()} if reset else {})


class LiveBytes(TorchDispatchMode):
    """Bytes of tensors made and not yet freed since entering; those that `network` holds do not count.

    Every storage that comes out of an operation is counted until it is freed, so the figure is the same on every run
    and under fake tensors. Workspace inside one operation is not seen.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.current = self.peak = 0
        held = [*network.parameters(), *network.buffers()]
        self._known = {t.untyped_storage()._cdata for t in held}  # noqa: SLF001 - the identity of a storage

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}  # noqa: SLF001
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._watch(tensor.untyped_storage(), inputs)
        return out

    def _watch(self, storage: torch.UntypedStorage, inputs: set[int]) -> None:
        identity = storage._cdata  # noqa: SLF001
        if identity in self._known or identity in inputs:
            return
        size = storage.nbytes()
        self._known.add(identity)
        self.current += size
        self.peak = max(self.peak, self.current)
        weakref.finalize(storage, self._release, identity, size)

    def _release(self, identity: int, size: int) -> None:
        self._known.discard(identity)
        self.current -= size


def _cuda_peak(forward: Callable[[], None], device: str) -> dict[str, float]:
    forward()
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    forward()
    torch.cuda.synchronize(device)
    columns = {
        "peak_bytes": float(torch.cuda.max_memory_allocated(device) - before),
        "reserved_bytes": float(torch.cuda.max_memory_reserved(device)),
    }
    used = _process_bytes(device)
    return columns if used is None else columns | {"process_bytes": used}


def _process_bytes(device: str) -> float | None:
    """What NVML says this process holds on the GPU; None where it does not tell, as inside some containers."""
    import pynvml  # noqa: PLC0415 - only where there is a GPU

    try:
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle(pynvml, device))
    except pynvml.NVMLError:
        return None
    own = [p.usedGpuMemory for p in processes if p.pid == os.getpid() and p.usedGpuMemory]
    return float(own[0]) if own else None


def _reset_high_water() -> bool:
    """Set the process's peak resident memory back to the present; not every system can."""
    try:
        RESET_HIGH_WATER.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _high_water() -> float:
    line = next(line for line in HIGH_WATER.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
    return float(line.split()[1]) * 1024
