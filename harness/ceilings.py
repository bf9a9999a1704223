"""Ceilings of a machine: multiply-adds a second of a large matrix product, bytes a second of a large copy.

No program is faster than the lower of the first and of the second times its multiply-adds for each byte it moves
(Williams, Waterman, Patterson, 2009: the roofline). Measured now, on this machine, as times are.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from harness.inference import DTYPES, autocast

SIDE = {"cpu": 1536, "cuda": 8192}
"""Of the square matrices."""
COPY_BYTES = {"cpu": 1 << 27, "cuda": 1 << 30}
"""Far beyond any cache."""
REPEATS = 5


def ceilings(device: str, precision: str) -> dict[str, float]:
    """`ceiling_macs_per_s` in `precision` and `ceiling_bytes_per_s` (read and written), each the best of five."""
    kind, dtype = torch.device(device).type, DTYPES[precision]
    side, values = SIDE[kind], COPY_BYTES[kind] // 4
    a, b = (torch.rand(side, side, device=device, dtype=dtype) for _ in range(2))
    source = torch.rand(values, device=device)
    target = torch.empty_like(source)
    with autocast(device, precision):
        product_s = _best_s(lambda: torch.matmul(a, b), device)
    copy_s = _best_s(lambda: target.copy_(source), device)
    return {"ceiling_macs_per_s": side**3 / product_s, "ceiling_bytes_per_s": 2 * COPY_BYTES[kind] / copy_s}


def _best_s(work: Callable[[], object], device: str) -> float:
    seconds = []
    for _ in range(REPEATS + 1):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
