"""Training loops side by side: a plain one, ours, and ours with each option that may make it faster; steps a second.

    python -m tests.benchmarks.training [NETWORK ...] [--way WAY ...] [--turns 15] [--to benchmarks/NAME]

The plain loop is what one writes by hand: forward, L1, backward, Adam. Ours does the same steps bit for bit, and also
keeps the curve, the schedule, the last good weights and the look for divergence. All loops of a network run in turn in
this process on the same batches, which are made beforehand; a turn is as many steps as lie between two points of the
curve, so that what is done once in a while has its share. A speed-up is the median of the ratios of neighbours in time,
with its 95 % bootstrap interval: below 1 a way loses, and is called so. What compiling takes is told apart.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the usual name

from datasets.patches import Batch
from harness.execution import forget_compiled
from harness.grid_tables import TrainBudget
from harness.train import BETAS, Training
from methods import build_network
from methods.interface import UnavailableError
from reports.stats import median_interval
from tests.benchmarks.files import where, written

SCALE, TURNS, SEED, BATCHES = 2, 15, 1, 4
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "edsr": {"n_feats": 32, "n_resblocks": 4},
    "nlsn": {"n_feats": 32, "n_resblocks": 4, "chunk_size": 36, "backend": "fused"},
    "dlsn": {"n_feats": 32, "n_resblocks": 2, "n_resgroups": 2, "chunk_size": 36, "backend": "fused"},
}
"""As in the default grid."""
BUDGET: Mapping[str, Any] = {"steps": 600, "batch": 8, "patch": 24, "learning_rate": 1e-3, "schedule": "constant"}
PLAIN, OURS = "plain", "ours"
WAYS: Mapping[str, Mapping[str, Any]] = {
    OURS: {},
    "average": {"ema_decay": 0.999},
    "fused_adam": {"fused_adam": True},
    "channels_last": {"channels_last": True},
    "bf16": {"precision": "bf16"},
    "compile": {"compile": True},
    "all": {"fused_adam": True, "channels_last": True, "precision": "bf16", "compile": True},
}

Step = Callable[[Batch], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """What is told of one loop, `speedup` with its interval over the plain loop; or a `reason` why it did not run."""

    network: str
    way: str
    steps_per_s: float = 0.0
    speedup: float = 0.0
    speedup_low: float = 0.0
    speedup_high: float = 0.0
    first_s: float = 0.0
    reason: str = ""

    @property
    def verdict(self) -> str:
        """What the interval says."""
        if self.reason or self.way == PLAIN:
            return self.reason
        if self.speedup_low > 1.0:
            return "faster"
        return "slower" if self.speedup_high < 1.0 else "no difference"


def network(name: str) -> nn.Module:
    """A small one with the same initial weights each time."""
    torch.manual_seed(SEED)
    return build_network(name, SCALE, **NETWORKS[name])


def batches() -> list[Batch]:
    """Noise."""
    random = np.random.default_rng(SEED)
    count, side = BUDGET["batch"], BUDGET["patch"]
    shapes = (count, side, side, 3), (count, SCALE * side, SCALE * side, 3)
    return [Batch(*(random.integers(0, 256, shape, dtype=np.uint8) for shape in shapes)) for _ in range(BATCHES)]


def plain_loop(made: nn.Module) -> Step:
    """The loop that one writes by hand."""
    optimizer = torch.optim.Adam(
        (p for p in made.parameters() if p.requires_grad), lr=BUDGET["learning_rate"], betas=BETAS
    )
    made.train()

    def step(batch: Batch) -> None:
        lr, hr = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 for images in batch)
        optimizer.zero_grad()
        F.l1_loss(made(lr), hr).backward()
        optimizer.step()

    return step


def our_loop(made: nn.Module, **way: Any) -> Training:
    """Ours, in a way of `WAYS`.

    Raises:
        UnavailableError: this machine cannot compile.
    """
    return Training(made, TrainBudget(**{**BUDGET, **way}), "cpu")


def measured(name: str, ways: Sequence[str], turns: int) -> list[Figures]:
    """All loops of a network in turn, after a first turn that is told apart."""
    forget_compiled()
    given = batches()
    loops, missing = _loops(name, ways)
    first = {way: _seconds(step, given[:1]) for way, step in loops.items()}
    turn = [given[i % BATCHES] for i in range(our_loop(network(name)).interval)]
    seconds: dict[str, list[float]] = {way: [] for way in loops}
    for number in range(turns + 1):
        for way, step in _rotated(loops, number):
            spent = _seconds(step, turn)
            seconds[way] += [spent / len(turn)] if number else []
    found = {
        way: Figures(
            network=name,
            way=way,
            steps_per_s=1 / statistics.median(each),
            **_speedup(seconds[PLAIN], each),
            first_s=first[way],
        )
        for way, each in seconds.items()
    }
    return [found.get(way) or missing[way] for way in (PLAIN, *ways)]


def _loops(name: str, ways: Sequence[str]) -> tuple[dict[str, Step], dict[str, Figures]]:
    """The loops that can run, by their first step; and the others with the reason."""
    loops, missing = {PLAIN: plain_loop(network(name))}, {}
    for way in ways:
        try:
            loops[way] = our_loop(network(name), **WAYS[way]).advance
        except UnavailableError as error:
            missing[way] = Figures(network=name, way=way, reason=str(error))
    return loops, missing


def _rotated(loops: Mapping[str, Step], number: int) -> list[tuple[str, Step]]:
    """Each round begins with another, so that none always follows the same one."""
    pairs = list(loops.items())
    start = number % len(pairs)
    return pairs[start:] + pairs[:start]


def _seconds(step: Step, turn: Sequence[Batch]) -> float:
    started = time.perf_counter()
    for batch in turn:
        step(batch)
    return time.perf_counter() - started


def _speedup(plain: Sequence[float], own: Sequence[float]) -> dict[str, float]:
    ratios = np.array(plain) / np.array(own)
    interval = median_interval(ratios)
    low, high = (interval.low, interval.high) if interval else (ratios.min(), ratios.max())
    return {"speedup": float(np.median(ratios)), "speedup_low": float(low), "speedup_high": float(high)}


HEADS = ("network", "way", "steps/s", "speed-up", "first step [s]", "over the plain loop")


def row(f: Figures) -> tuple[str, ...]:
    """A loop's figures as they are told."""
    if f.reason:
        return f.network, f.way, "", "", "", f.reason
    speedup = "" if f.way == PLAIN else f"{f.speedup:.3f} ({f.speedup_low:.3f} to {f.speedup_high:.3f})"
    return f.network, f.way, f"{f.steps_per_s:.1f}", speedup, f"{f.first_s:.2f}", f.verdict


def main() -> None:
    """Measure what the command line asks for, print it, and write it if a file is named."""
    parser = argparse.ArgumentParser(description="Training loops side by side.")
    parser.add_argument("networks", nargs="*", choices=[*NETWORKS, []], metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--way", nargs="+", choices=WAYS, default=list(WAYS), help="beside the plain loop")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--to", type=Path, help="files NAME.json and NAME.md for the figures")
    asked = parser.parse_args()
    torch.compiler.config.force_disable_caches = True  # compiling takes what it takes a first time
    found = [f for name in asked.networks or NETWORKS for f in measured(name, asked.way, asked.turns)]
    shown = Table(*HEADS)
    for f in found:
        shown.add_row(*row(f))
    Console(width=120).print(shown)
    if asked.to:
        told = where("training") | {"turns": asked.turns, "budget": dict(BUDGET), "networks": dict(NETWORKS)}
        written("Training loops side by side", [HEADS, *map(row, found)], found, told, asked.to)


if __name__ == "__main__":
    main()
