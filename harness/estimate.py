"""What a grid will take, before anything runs: seconds and bytes, from counted multiply-adds and this machine's pace.

The pace is measured in a fraction of a second on a convolution, which real networks nearly reach; memory
traffic, sorting and softmax are charged per element. Good to a factor of about two, and said so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the usual name

import methods
from harness.answers import Asked, asked_by
from harness.grid_tables import Scalar, height_width
from harness.inference import quadrant
from harness.isolate import Worker, WorkerDiedError
from harness.plan import PlannedCell, data_names, image_set
from harness.profile import cost
from harness.records import Task
from harness.run import Run

BACKWARD = 3.0
"""Forward and backward together cost about this many forwards."""
EFFICIENCY = 0.8
MACS_PER_ELEMENT = 40.0
"""An element of an operation without multiply-adds takes about as long as this many multiply-adds."""
PROFILE_OVERHEAD_S, CELL_OVERHEAD_S, COUNT_S, COMPARE_S = 0.5, 1.0, 0.2, 0.5
COMPILE_S = 40.0
"""What `torch.compile` takes for one small network on two CPU cores."""
TIMED_FORWARDS, UNTIMED_FORWARDS = 15, 5
STATES_PER_WEIGHT = 4
"""Weights, two moments of Adam in the checkpoint, and the checkpoint's last good weights."""
RECORD_BYTES, RECORDS_PER_TASK = 200, 100
PICTURE_BYTES = 250_000
"""Of one image as one network rebuilt it, without loss, up to 512 pixels a side."""
PATIENCE_S = 15.0
COUNTED_SIDES = (48, 192)
"""Of the inputs that work is counted at."""
ENSEMBLE = 8
"""Forwards of one self-ensemble."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds and bytes."""

    seconds: float = 0.0
    disk_bytes: float = 0.0

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(seconds=self.seconds + other.seconds, disk_bytes=self.disk_bytes + other.disk_bytes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimator:
    """Estimates on one `device`; `places` are the grid's data sets by their name in the store.

    `evaluated` is what evaluations of the same run ask of networks, whose answers comparisons find kept.
    """

    device: str
    threads: int
    places: Mapping[str, str]
    evaluated: frozenset[Asked] = frozenset()

    def of(self, cell: PlannedCell, task: Task) -> Estimate:
        """What `task` of `cell` will take."""
        kinds = {
            "train": self._train_s,
            "evaluate": self._evaluate_s,
            "harm": self._harm_s,
            "attention": self._attention_s,
            "profile": self._profile_s,
            "count": self._count_s,
            "race": self._race_s,
        }
        disk = float(RECORD_BYTES * RECORDS_PER_TASK)
        if task.kind == "train":
            disk += STATES_PER_WEIGHT * 4 * sum(p.numel() for p in _meta(cell).parameters())
        if task.kind == "evaluate":
            disk += PICTURE_BYTES * task.spec["crops"]
        return Estimate(seconds=kinds[task.kind](cell, task), disk_bytes=disk)

    def _train_s(self, cell: PlannedCell, task: Task) -> float:
        budget = task.spec["train"]
        forward = self._forward_s(cell, f"{budget['patch']}x{budget['patch']}")
        begin = CELL_OVERHEAD_S + (COMPILE_S if budget["compile"] else 0.0)
        return begin + BACKWARD * float(budget["steps"] * budget["batch"]) * forward

    def _evaluate_s(self, cell: PlannedCell, task: Task) -> float:
        images = image_set(self.places[task.spec["dataset"]], cell.scale)
        tiled = [_tile(*images.lr_size(file), task.spec["tiling"]) for file in images.files]
        copies = ENSEMBLE if task.spec["self_ensemble"] else 1
        return copies * sum(parts * self._forward_s(cell, size) for size, parts in tiled)

    def _harm_s(self, cell: PlannedCell, task: Task) -> float:
        """What network and twin answer, taken to be as slow, unless an evaluation has asked it."""
        new = sum(asked not in self.evaluated for asked in asked_by(task))
        return COMPARE_S + new * self._evaluate_s(cell, task)

    def _attention_s(self, cell: PlannedCell, task: Task) -> float:
        """Looking into attention does part of its work a second time."""
        return 2 * float(task.spec["images"]) * self._forward_s(cell, task.spec["size"])

    def _profile_s(self, cell: PlannedCell, task: Task) -> float:
        forward = self._forward_s(cell, task.spec["size"])
        timed: float = task.spec["warm_up_s"] + min(task.spec["budget_s"], TIMED_FORWARDS * forward)
        return PROFILE_OVERHEAD_S + _compile_s(task) + timed + UNTIMED_FORWARDS * forward

    def _count_s(self, _: PlannedCell, task: Task) -> float:  # noqa: ARG002 - each is much like another
        return COUNT_S

    def _race_s(self, _: PlannedCell, task: Task) -> float:
        """The budget, and for each contender the network up to its attention, warm-up and counting."""
        each = PROFILE_OVERHEAD_S + float(task.spec["warm_up_s"]) + _compile_s(task)
        return float(task.spec["budget_s"]) + each * len(task.spec["contenders"])

    def _forward_s(self, cell: PlannedCell, size: str) -> float:
        height, width = height_width(size)
        return _work(cell.address, cell.scale, tuple(sorted(cell.settings.items())))(height * width) / pace(self.device)


def _compile_s(task: Task) -> float:
    return COMPILE_S if task.spec["compile"] else 0.0


def estimates(run: Run) -> dict[str, Estimate]:
    """The estimate of every task that `run` has to do, by key.

    Made in a process of its own: a method's code runs here for the first time, and may hang or take the GPU. What is
    not known after some seconds is taken to be as much as the known tasks of its kind on average.
    """
    pending = run.pending()
    evaluated = {asked for _, task in pending.values() if task.kind == "evaluate" for asked in asked_by(task)}
    estimator = Estimator(
        device=run.place.device,
        threads=run.place.threads,
        places=data_names(run.grid),
        evaluated=frozenset(evaluated),
    )
    known: dict[str, Estimate] = {}
    end = time.monotonic() + PATIENCE_S
    work = (estimator, list(pending.values()))
    with (
        Worker(_report_estimates, work, Path(os.devnull)) as worker,
        contextlib.suppress(TimeoutError, WorkerDiedError),
    ):
        known.update(worker.messages(lambda: end - time.monotonic()))
    return {key: known.get(key) or _average(known, pending, task.kind) for key, (_, task) in pending.items()}


def _report_estimates(
    argument: tuple[Estimator, list[tuple[PlannedCell, Task]]], report: Callable[[tuple[str, Estimate]], None]
) -> None:
    estimator, tasks = argument
    torch.set_num_threads(estimator.threads)
    for cell, task in tasks:
        report((task.key, estimator.of(cell, task)))


def _average(known: Mapping[str, Estimate], pending: Mapping[str, tuple[PlannedCell, Task]], kind: str) -> Estimate:
    alike = [found for key, found in known.items() if pending[key][1].kind == kind]
    total, count = sum(alike, Estimate()), max(1, len(alike))
    return Estimate(seconds=total.seconds / count, disk_bytes=total.disk_bytes / count)


@functools.cache
def pace(device: str) -> float:
    """Multiply-adds a second of a 3x3 convolution at 64 channels on `device`, measured now and once."""
    x, weight = torch.rand(1, 64, 96, 96, device=device), torch.rand(64, 64, 3, 3, device=device)
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        F.conv2d(x, weight, padding=1).sum().item()
        seconds.append(time.perf_counter() - started)
    return 9 * 64 * 64 * 96 * 96 / min(seconds)


@functools.cache
def _work(address: str, scale: int, settings: tuple[tuple[str, Scalar], ...]) -> Callable[[int], float]:
    """Work of one forward on so many positions, in multiply-adds of the kind that `pace` measures.

    Counted at two sizes, and `a n + b n^2` through both: image sets have a hundred sizes, of which each takes as long
    to count as a small network takes to run. Of the published networks it is a third too much at most. Attention is
    counted written out, since the blocks of its fused twin take several times as long to count: up to half too much.
    """
    plugin, values = methods.method(address), dict(settings)
    if values.get("backend") == "fused":
        values["backend"] = "plain"
    try:
        small, large = (_per_position(lambda: plugin.build(scale, values), side) for side in COUNTED_SIDES)
    except Exception:  # noqa: BLE001 - a method that fails does so in its own process, as a row; here it counts as nothing
        return lambda positions: 0.0 * positions
    least, most = (side**2 for side in COUNTED_SIDES)
    slope = max(0.0, large - small) / (most - least)
    return lambda positions: positions * (small + slope * (positions - least))


def _per_position(build: Callable[[], nn.Module], side: int) -> float:
    counted = cost.count(build, side, side)
    return (counted["macs"] + MACS_PER_ELEMENT * counted["uncounted_elements"]) / EFFICIENCY / side**2


def _tile(height: int, width: int, tiling: str) -> tuple[str, int]:
    """The size that attention sees under `tiling`, and how many such parts make the image."""
    if tiling == "chop":
        return "{}x{}".format(*quadrant(height, width)), 4
    if tiling == "whole":
        return f"{height}x{width}", 1
    side, _, overlap = tiling.removeprefix("tile:").partition("+")
    reach = int(side) + 2 * int(overlap or 0)
    return f"{min(height, reach)}x{min(width, reach)}", -(-height // int(side)) * -(-width // int(side))


def _meta(cell: PlannedCell) -> nn.Module:
    with torch.device("meta"):
        return methods.method(cell.address).build(cell.scale, cell.settings)
