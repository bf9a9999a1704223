"""Attention cores side by side: the released arithmetic, ours written out, ours fused; time, memory, error.

    python -m tests.benchmarks.attention [KIND ...] [--size 96x96 ...] [--device cuda] [--precision bf16] [--backward]
                                         [--to benchmarks/NAME]

A core is an attention without its convolutions, whose maps are given (`tests.benchmarks.released` is the yardstick).
All of one kind run in turn in a process of their own, on the same maps and with the same draws; a speed-up is the
median of the ratios of neighbours in time, with its 95 % bootstrap interval. Memory is the peak of live tensors that a
call makes, its result included; on a GPU, what its allocator says. The roof is the least time that the machine allows
(`harness.ceilings`), for the multiply-adds of the attention written out or for reading maps and writing results once,
three times that with `--backward`. The error is the largest difference from the yardstick in float32 as a part of
its largest entry, of the result and, with `--backward`, of the gradients of the maps.

On a GPU, FlexAttention runs beside ours (`tests.benchmarks.flex`). A contender that fails is told and left out.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import copy
import dataclasses
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from harness.ceilings import ceilings
from harness.grid_tables import height_width
from harness.inference import DTYPES, autocast, float32_products
from harness.profile.clock import stopwatch_of
from harness.profile.cost import FLOPS_PER_MAC
from harness.profile.memory import peak
from methods import build_attention
from methods.bucketed import BucketedAttention
from methods.dense import DenseAttention, Sparsemax
from methods.enlca.attention import KernelAttention
from methods.interface import feature_map, full_precision, tokens
from methods.parts import Layers
from methods.parts.assign import Assign, FlyHash, Layout
from methods.parts.kmeans import KMeans
from reports.stats import median_interval
from tests.benchmarks import flex, released
from tests.benchmarks.files import where, written

CHANNELS, TURNS, SEED = 256, 15, 1
WAYS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("gla", "dnlf", "nlsa", "dnla", "lcoa", "enlca", "nla"), ("plain", "fused")),
    "hspa": ("plain",),
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {"dnlf": {"fuse": "add"}}
"""DNLF's fusion is convolutions: it is left out like all others."""
YARDSTICK, FLEX = "released", "flex"
PASSES = 3
"""Forwards that one with its gradients is worth at least: each product has two for the gradients of its factors."""

Call = Callable[[], tuple[Tensor, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class How:
    """In which way cores run: on maps of so many channels, where, in which precision, with gradients or without."""

    channels: int = CHANNELS
    device: str = "cpu"
    precision: str = "fp32"
    backward: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """What is told of one contender; `speedup` with its interval is over the yardstick, as is `bytes_share`."""

    kind: str
    way: str
    size: str
    median_s: float
    speedup: float
    speedup_low: float
    speedup_high: float
    roof_s: float
    peak_bytes: float
    bytes_share: float
    error: float


class Given(nn.Module):
    """In the place of a convolution: the map that it made, whatever is asked."""

    def __init__(self, made: Tensor, *, learned: bool) -> None:
        super().__init__()
        self.made = nn.Parameter(made, requires_grad=learned)

    def forward(self, _: Tensor) -> Tensor:
        """`[b c h w]`."""
        return self.made


@dataclasses.dataclass(frozen=True, kw_only=True)
class Known(Assign):
    """Codes `found [b r l]` before: a product in half precision sends some tokens to other buckets."""

    found: Tensor

    def codes(self, layers: Layers, match: Tensor, layout: Layout) -> Tensor:  # noqa: ARG002 - nothing is asked
        """As found."""
        return self.found


class Cores:
    """The contenders of one kind of attention on the same features `[1 c h w]`, and the maps that they are given."""

    def __init__(self, kind: str, size: tuple[int, int], how: How) -> None:
        torch.manual_seed(SEED)
        self.kind, self.how = kind, how
        x = torch.randn(1, how.channels, *size)
        self.module = build_attention(kind, how.channels, **SETTINGS.get(kind, {})).eval()
        self.x, self.module = x.to(how.device), self.module.to(how.device)
        with torch.no_grad(), autocast(how.device, how.precision):
            self.module(self.x)
            for name, child in self.module.named_children():
                if name.startswith("conv"):
                    setattr(self.module, name, Given(child(self.x), learned=how.backward))

    @property
    def maps(self) -> list[Tensor]:
        """What convolutions have made."""
        return [child.made for child in self.module.children() if isinstance(child, Given)]

    @property
    def ways(self) -> tuple[str, ...]:
        """The yardstick, ours, and on a GPU FlexAttention if it can say the same."""
        flexible = isinstance(self.module, BucketedAttention) and torch.device(self.how.device).type == "cuda"
        return (YARDSTICK, *WAYS[self.kind], *((FLEX,) if flexible else ()))

    def call(self, way: str, precision: str | None = None) -> Call:
        """The result `[b c h w]`, and with `backward` the gradients of the maps."""
        core, how = self._core(way), dataclasses.replace(self.how, precision=precision or self.how.precision)
        return _call(core, self.maps if how.backward else [], how)

    def exact(self) -> tuple[Tensor, ...]:
        """What the yardstick gives in float32, for maps as they are and the buckets that they are sent to."""
        twin = copy.copy(self)
        twin.module = copy.deepcopy(self.module).float()
        if isinstance(self.module, BucketedAttention) and DTYPES[self.how.precision] != torch.float32:
            recipe = self.module.recipe
            twin.module.recipe = dataclasses.replace(
                recipe, assign=Known(n_hashes=recipe.assign.n_hashes, found=self._codes())
            )
        return twin.call(YARDSTICK, "fp32")()

    def roof_s(self) -> float:
        """The least seconds in which this machine could do what the attention says."""
        twin = copy.copy(self)
        twin.module = copy.deepcopy(self.module).requires_grad_(requires_grad=False)
        twin.how = dataclasses.replace(self.how, backward=False)
        with FlopCounterMode(display=False) as counter:
            results = twin.call(WAYS[self.kind][0])()
        most = ceilings(self.how.device, self.how.precision)
        passes = PASSES if self.how.backward else 1
        moved = passes * sum(t.nbytes for t in (self.x, *self.maps, *results))
        macs = passes * counter.get_total_flops() / FLOPS_PER_MAC
        return max(macs / most["ceiling_macs_per_s"], moved / most["ceiling_bytes_per_s"])

    def _codes(self) -> Tensor:
        torch.manual_seed(SEED)
        match, recipe = tokens(self.module.conv_match(self.x)), self.module.recipe
        return recipe.assign.codes(self.module.layers, match.detach(), Layout(*self.x.shape[-2:], recipe.chunk_size))

    def _core(self, way: str) -> Callable[[], Tensor]:
        module, x = self.module, self.x
        if way not in {YARDSTICK, FLEX}:
            twin = copy.copy(module)
            chosen = {"backend": way} if len(WAYS[self.kind]) > 1 else {}
            settings = {**SETTINGS.get(self.kind, {}), **chosen}
            twin.recipe = build_attention(self.kind, self.how.channels, **settings).recipe  # type: ignore[assignment]
            return lambda: twin(x)
        merged: Callable[[Any, Tensor], Tensor] = flex.core if way == FLEX else YARDSTICKS[type(module)]
        scale: float = module.recipe.fuse.res_scale  # type: ignore[union-attr,assignment]
        return lambda: x + scale * feature_map(merged(module, x), x)


def _call(core: Callable[[], Tensor], maps: Sequence[Tensor], how: How) -> Call:
    def drawn() -> tuple[Tensor, ...]:
        torch.manual_seed(SEED)
        with float32_products(how.device, how.precision), torch.set_grad_enabled(bool(maps)):
            with autocast(how.device, how.precision):
                result = core()
            gradients = torch.autograd.grad(result, maps, torch.ones_like(result)) if maps else ()
        return (result.detach(), *gradients)

    return drawn


def _bucketed(module: BucketedAttention, x: Tensor) -> Tensor:
    match, recipe = released.token_rows(module.conv_match(x)), module.recipe
    with full_precision(match):  # else half precision would send tokens to other buckets
        codes = _codes(recipe.assign, module, match.detach(), Layout(*x.shape[-2:], recipe.chunk_size))
    layers = module.layers
    learned = (released.token_rows(layers["conv_assembly_fc"](x)), layers["fc"]) if "fc" in layers else ()
    return released.bucketed(codes, recipe.chunk_size, match, released.token_rows(layers["conv_assembly"](x)), *learned)


def _codes(assign: Assign, module: BucketedAttention, match: Tensor, layout: Layout) -> Tensor:
    if isinstance(assign, FlyHash) and layout.buckets > 1:
        return released.fly_codes(assign.axes(match, layout, None), match)
    if isinstance(assign, KMeans):
        return released.nearest_codes(module.kmeans.means, match)
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


def measured(kind: str, size: str, how: How, turns: int) -> list[Figures]:
    """All contenders of a kind, one after the other, `turns` times after a first time that is not counted."""
    cores = Cores(kind, height_width(size), how)
    calls, errors = _begun(cores)
    seconds: dict[str, list[float]] = {way: [] for way in calls}
    stopwatch = stopwatch_of(how.device)
    for _ in range(turns):
        for way, call in calls.items():
            stopwatch.start(way)
            call()
            stopwatch.stop(way)
        stopwatch.lap()
        for way, taken in stopwatch.read()[0].items():
            seconds[way].append(taken)
    held, roof = {way: _held(call, how.device) for way, call in calls.items()}, cores.roof_s()
    return [
        Figures(
            kind=kind,
            way=way,
            size=size,
            median_s=statistics.median(seconds[way]),
            **_speedup(seconds[YARDSTICK], seconds[way]),
            roof_s=roof,
            peak_bytes=held[way],
            bytes_share=held[way] / held[YARDSTICK],
            error=errors[way],
        )
        for way in calls
    ]


def _begun(cores: Cores) -> tuple[dict[str, Call], dict[str, float]]:
    """Every contender after its first call, and its error; the yardstick must run, others are left out if they fail."""
    exact = cores.exact()
    calls: dict[str, Call] = {}
    errors: dict[str, float] = {}
    for way in cores.ways:
        try:
            call = cores.call(way)
            errors[way] = _error(call(), exact)
        except Exception as error:
            if way == YARDSTICK:
                raise
            print(f"{cores.kind}, {way}: {type(error).__name__}: {str(error).strip()[:300]}", file=sys.stderr)  # noqa: T201 - a command line
        else:
            calls[way] = call
    return calls, errors


def _speedup(yardstick: Sequence[float], own: Sequence[float]) -> dict[str, float]:
    ratios = np.array(yardstick) / np.array(own)
    interval = median_interval(ratios)
    low, high = (interval.low, interval.high) if interval else (ratios.min(), ratios.max())
    return {"speedup": float(np.median(ratios)), "speedup_low": float(low), "speedup_high": float(high)}


def _error(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True))


def _held(call: Call, device: str) -> float:
    def dropped() -> None:
        call()

    return peak(nn.Module(), dropped, device)["peak_bytes"]


HEADS = ("attention", "size", "way", "time [ms]", "of the roof", "speed-up", "memory [MB]", "of released", "error")


def row(f: Figures) -> tuple[str, ...]:
    """A contender's figures as they are told; the yardstick has no speed-up, and an error where it is not exact."""
    first = f.way == YARDSTICK
    speedup = f"{f.speedup:.2f} ({f.speedup_low:.2f} to {f.speedup_high:.2f})"
    error = f"{f.error:.0e}" if f.error or not first else ""
    time_ms, roof, memory = f"{1e3 * f.median_s:.1f}", f"{f.roof_s / f.median_s:.0%}", f"{f.peak_bytes / 1e6:.1f}"
    return f.kind, f.size, f.way, time_ms, roof, "" if first else speedup, memory, f"{f.bytes_share:.0%}", error


def main() -> None:
    """Measure what the command line asks for, print it, and write it if a file is named."""
    parser = argparse.ArgumentParser(description="Attention cores side by side.")
    parser.add_argument("kinds", nargs="*", choices=[*WAYS, []], metavar="KIND", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--size", nargs="+", default=["96x96"], help="height x width of the maps")
    parser.add_argument("--channels", type=int, default=CHANNELS)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--device", default="cpu", help="cpu, cuda")
    parser.add_argument("--precision", default="fp32", choices=DTYPES)
    parser.add_argument("--backward", action="store_true", help="with the gradients of the maps")
    parser.add_argument("--to", type=Path, help="files NAME.json and NAME.md for the figures")
    asked = parser.parse_args()
    if asked.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {asked.device}: PyTorch sees no GPU here, only cpu")
    if asked.precision == "tf32" and asked.device == "cpu":
        parser.error("--precision tf32 needs an NVIDIA GPU: fp32, bf16 or fp16 on cpu")
    how = How(**{field.name: getattr(asked, field.name) for field in dataclasses.fields(How)})
    with concurrent.futures.ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as alone:
        each = [
            alone.submit(measured, kind, size, how, asked.turns) for size in asked.size for kind in asked.kinds or WAYS
        ]
        found = [f for done in each for f in done.result()]
    shown = Table(*HEADS)
    for f in found:
        shown.add_row(*row(f))
    Console(width=120).print(shown)
    if asked.to:
        table = [HEADS, *map(row, found)]
        told = where("attention", how.device) | {"turns": asked.turns, **dataclasses.asdict(how)}
        written("Attention cores side by side", table, found, told, asked.to)


if __name__ == "__main__":
    main()
