"""Attention cores side by side: the released arithmetic, ours written out, ours fused; time, memory, error.

    python -m tests.benchmarks.attention [KIND ...] [--size 96x96 ...] [--backward] [--to benchmarks/NAME]

A core is an attention without its convolutions, whose maps are given (`tests.benchmarks.released` is the yardstick).
All of one kind run in turn in a process of their own, on the same maps and with the same draws; a speed-up is the
median of the ratios of neighbours in time, with its 95 % bootstrap interval. Memory is the peak of live tensors that a
call makes, its result included. The error is the largest difference from the yardstick as a part of its largest entry,
of the result and, with `--backward`, of the gradients of the maps.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import copy
import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from harness.grid_tables import height_width
from harness.profile.memory import peak
from methods import build_attention
from methods.bucketed import BucketedAttention
from methods.dense import DenseAttention, Sparsemax
from methods.enlca.attention import KernelAttention
from methods.interface import NonLocal, feature_map
from methods.parts.assign import Assign, FlyHash, Layout
from reports.stats import median_interval
from tests.benchmarks import released
from tests.benchmarks.files import where, written

CHANNELS, TURNS, SEED = 256, 15, 1
WAYS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("gla", "dnlf", "nlsa", "dnla", "lcoa", "enlca", "nla"), ("plain", "fused")),
    "hspa": ("plain",),
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {"dnlf": {"fuse": "add"}}
"""DNLF's fusion is convolutions: it is left out like all others."""
YARDSTICK = "released"

Call = Callable[[], tuple[Tensor, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """What is told of one contender; `speedup` with its interval is over the yardstick, as are the two shares."""

    kind: str
    way: str
    size: str
    median_s: float
    speedup: float
    speedup_low: float
    speedup_high: float
    peak_bytes: float
    bytes_share: float
    error: float


class Given(nn.Module):
    """In the place of a convolution: the map that it made, whatever is asked."""

    def __init__(self, made: Tensor) -> None:
        super().__init__()
        self.made = nn.Parameter(made)

    def forward(self, _: Tensor) -> Tensor:
        """`[b c h w]`."""
        return self.made


def contenders(kind: str, channels: int, size: tuple[int, int], *, backward: bool = False) -> dict[str, Call]:
    """The contenders of a kind, each a call: the result `[b c h w]`, and the gradients of the maps if `backward`."""
    torch.manual_seed(SEED)
    x = torch.randn(1, channels, *size)
    module, settings = build_attention(kind, channels, **SETTINGS.get(kind, {})).eval(), SETTINGS.get(kind, {})
    with torch.no_grad():
        module(x)
        for name, child in module.named_children():
            if name.startswith("conv"):
                setattr(module, name, Given(child(x)))
    calls: dict[str, Callable[[], Tensor]] = {YARDSTICK: _yardstick(module, x)}
    for way in WAYS[kind]:
        twin = copy.copy(module)
        chosen = {"backend": way} if len(WAYS[kind]) > 1 else {}
        twin.recipe = build_attention(kind, channels, **settings, **chosen).recipe  # type: ignore[assignment]
        calls[way] = lambda twin=twin: twin(x)  # type: ignore[misc]
    maps = [child.made for child in module.children() if isinstance(child, Given)]
    return {way: _call(call, maps if backward else []) for way, call in calls.items()}


def _call(core: Callable[[], Tensor], maps: Sequence[Tensor]) -> Call:
    def drawn() -> tuple[Tensor, ...]:
        torch.manual_seed(SEED)
        with torch.set_grad_enabled(bool(maps)):
            result = core()
        gradients = torch.autograd.grad(result, maps, torch.ones_like(result)) if maps else ()
        return (result.detach(), *gradients)

    return drawn


def _yardstick(module: NonLocal, x: Tensor) -> Callable[[], Tensor]:
    """The released core on the maps of `module`."""
    merged: Callable[[Any, Tensor], Tensor] = YARDSTICKS[type(module)]
    scale: float = module.recipe.fuse.res_scale  # type: ignore[union-attr,assignment]
    return lambda: x + scale * feature_map(merged(module, x), x)


def _bucketed(module: BucketedAttention, x: Tensor) -> Tensor:
    match, recipe = released.token_rows(module.conv_match(x)), module.recipe
    codes = _codes(recipe.assign, module, match.detach(), Layout(*x.shape[-2:], recipe.chunk_size))
    layers = module.layers
    learned = (released.token_rows(layers["conv_assembly_fc"](x)), layers["fc"]) if "fc" in layers else ()
    return released.bucketed(codes, recipe.chunk_size, match, released.token_rows(layers["conv_assembly"](x)), *learned)


def _codes(assign: Assign, module: BucketedAttention, match: Tensor, layout: Layout) -> Tensor:
    if isinstance(assign, FlyHash) and layout.buckets > 1:
        return released.fly_codes(assign.axes(match, layout, None), match)
    return assign.codes(module.layers, match, layout)


def _kernel(module: KernelAttention, x: Tensor) -> Tensor:
    return released.kernel(module.recipe, module.attn_fn.projection_matrix, *_rows(module, x))


def _dense(module: DenseAttention, x: Tensor) -> Tensor:
    weigh = released.sparsemax if isinstance(module.recipe.weighting, Sparsemax) else released.softmax
    return released.dense(weigh, *_rows(module, x))


def _rows(module: KernelAttention | DenseAttention, x: Tensor) -> list[Tensor]:
    return [released.token_rows(f(x)) for f in (module.conv_match1, module.conv_match2, module.conv_assembly)]


YARDSTICKS: Mapping[type, Callable[..., Tensor]] = {
    BucketedAttention: _bucketed,
    KernelAttention: _kernel,
    DenseAttention: _dense,
}


def measured(kind: str, size: str, *, channels: int, turns: int, backward: bool) -> list[Figures]:
    """All contenders of a kind, one after the other, `turns` times after a first time that is not counted."""
    calls = contenders(kind, channels, height_width(size), backward=backward)
    errors = {way: _error(call(), calls[YARDSTICK]()) for way, call in calls.items()}
    seconds: dict[str, list[float]] = {way: [] for way in calls}
    for _ in range(turns):
        for way, call in calls.items():
            seconds[way].append(_seconds(call))
    held = {way: _held(call) for way, call in calls.items()}
    return [
        Figures(
            kind=kind,
            way=way,
            size=size,
            median_s=statistics.median(seconds[way]),
            **_speedup(seconds[YARDSTICK], seconds[way]),
            peak_bytes=held[way],
            bytes_share=held[way] / held[YARDSTICK],
            error=errors[way],
        )
        for way in calls
    ]


def _seconds(call: Call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _speedup(yardstick: Sequence[float], own: Sequence[float]) -> dict[str, float]:
    ratios = np.array(yardstick) / np.array(own)
    interval = median_interval(ratios)
    low, high = (interval.low, interval.high) if interval else (ratios.min(), ratios.max())
    return {"speedup": float(np.median(ratios)), "speedup_low": float(low), "speedup_high": float(high)}


def _error(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True))


def _held(call: Call) -> float:
    def dropped() -> None:
        call()

    return peak(nn.Module(), dropped, "cpu")["peak_bytes"]


HEADS = ("attention", "size", "way", "time [ms]", "speed-up", "memory [MB]", "of released", "error")


def row(f: Figures) -> tuple[str, ...]:
    """A contender's figures as they are told; the yardstick has neither speed-up nor error."""
    first = f.way == YARDSTICK
    speedup = f"{f.speedup:.2f} ({f.speedup_low:.2f} to {f.speedup_high:.2f})"
    error = "" if first else f"{f.error:.0e}"
    time_ms, memory = f"{1e3 * f.median_s:.1f}", f"{f.peak_bytes / 1e6:.1f}"
    return f.kind, f.size, f.way, time_ms, "" if first else speedup, memory, f"{f.bytes_share:.0%}", error


def main() -> None:
    """Measure what the command line asks for, print it, and write it if a file is named."""
    parser = argparse.ArgumentParser(description="Attention cores side by side.")
    parser.add_argument("kinds", nargs="*", choices=[*WAYS, []], metavar="KIND", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--size", nargs="+", default=["96x96"], help="height x width of the maps")
    parser.add_argument("--channels", type=int, default=CHANNELS)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--backward", action="store_true", help="with the gradients of the maps")
    parser.add_argument("--to", type=Path, help="files NAME.json and NAME.md for the figures")
    asked = parser.parse_args()
    ways = {"channels": asked.channels, "turns": asked.turns, "backward": asked.backward}
    with concurrent.futures.ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as alone:
        each = [alone.submit(measured, kind, size, **ways) for size in asked.size for kind in asked.kinds or WAYS]
        found = [f for done in each for f in done.result()]
    shown = Table(*HEADS)
    for f in found:
        shown.add_row(*row(f))
    Console(width=120).print(shown)
    if asked.to:
        table = [HEADS, *map(row, found)]
        written("Attention cores side by side", table, found, where("attention") | ways, asked.to)


if __name__ == "__main__":
    main()
