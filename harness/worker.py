"""The tasks of one cell, carried out in this process. Every end of a task is an outcome with a status and a reason."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

import methods
from datasets.cache import decoded
from datasets.sets import ImageSet
from harness import count
from harness.answers import Asked, Shelf, shelves
from harness.attend import attend
from harness.cache import Cache, save_weights
from harness.endings import blocked
from harness.evaluate import evaluate
from harness.grid_tables import Scalar
from harness.harm import UPPER, WINDOW, harms
from harness.inference import tiling_told
from harness.isolate import Stop
from harness.networks import built
from harness.plan import PlannedCell, image_set
from harness.profile import profile, protocol
from harness.race import Races
from harness.race import protocol as race_protocol
from harness.raised import status_of, told
from harness.ranks import ALONE, Meeting, joined
from harness.records import Outcome, Status, Task
from harness.sources import code_version
from harness.train import Checkpoints, DivergedError, Stopped, patches, train
from methods.agreement import check_agreement
from methods.interface import FromFile, Plugin, attention_modules
from methods.weights import load_weights, state_hash

PROGRESS_EVERY_S = 0.1
LOSS = "L1, and the mean of what attention modules add"
ASKED = (
    "dataset",
    "data",
    "degradation",
    "noise_seed",
    "border",
    "tiling",
    "precision",
    "self_ensemble",
    "hash_seed",
    "size",
)
"""What a task's specification says that belongs to its protocol."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """The pending tasks of one cell, and what is known of tasks that ended before."""

    cell: PlannedCell
    tasks: tuple[Task, ...]
    known: Mapping[str, str]
    cache: Path
    device: str
    threads: int
    data: Mapping[str, str]
    """Where each data set of the grid is found: its name in the store, and the name or path in the grid."""
    shared: frozenset[Asked] = frozenset()
    """Of what the job's tasks ask networks, that which several tasks of the run ask."""
    checkpoint_s: float = 20.0
    meeting: Meeting = ALONE
    """Where trainings of this job find the other processes that share their batches."""


@dataclasses.dataclass(frozen=True)
class Started:
    """A task has begun."""

    task: Task


@dataclasses.dataclass(frozen=True)
class Progress:
    """So much of the present task is done."""

    done: int
    total: int


Event = Started | Progress | Outcome


def run_cell(job: Job, report: Callable[[Event], None]) -> None:
    """Carry out the job's tasks in order and report each. SIGTERM ends it at the next training step or task."""
    stop = Stop()
    torch.set_num_threads(job.threads)
    work = _Work(job, stop, report)
    known = dict(job.known)
    for task in job.tasks:
        report(Started(task))
        try:
            outcome = work.attempt(task, blocked(task, job.cell, known))
        except Stopped:
            return
        known[task.key] = outcome.status
        report(outcome)
        if stop.asked():
            return


class _Work:
    """What the tasks of a cell share: the cache, and the network with its weights once they are there."""

    def __init__(self, job: Job, stop: Stop, report: Callable[[Event], None]) -> None:
        self.job, self.stop, self.report = job, stop, report
        self.cache = Cache(job.cache)
        self.race = Races(job.cell.contenders, job.device)
        self.loaded: nn.Module | None = None
        self.agreed = False
        """Whether fused attention of this cell is known to give what it gives written out, on this device."""
        self.told = 0.0

    def attempt(self, task: Task, obstacle: str | None) -> Outcome:
        """Do `task`, unless there is an `obstacle`; whatever happens becomes its outcome."""
        started = time.monotonic()
        if obstacle is not None:
            return Outcome(task=task, status=Status.SKIPPED, seconds=0.0, reason=obstacle)
        tasks = {
            "train": self._train,
            "evaluate": self._evaluate,
            "harm": self._harm,
            "attention": self._attention,
            "profile": self._profile,
            "count": self._count,
            "race": self._race,
        }
        try:
            found = tasks[task.kind](task)
        except Stopped:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a method may raise anything, and the rest must go on
            with contextlib.suppress(OSError):  # the log may be on a full disk
                traceback.print_exc()
            found = {"status": status_of(error), "reason": told(error)}
        return Outcome(**{"task": task, "status": Status.DONE, **found, "seconds": time.monotonic() - started})

    def _train(self, task: Task) -> dict[str, Any]:
        job, budget, rank = self.job, self.job.cell.budget, self.job.meeting.rank
        assert budget is not None
        degraded = (budget.degradation, budget.noise_seed)
        found = image_set(job.data[budget.data], job.cell.scale, *degraded)
        images = decoded(found, self.cache.images, code_version("datasets.sets"))
        source = patches(images, budget, task.spec["seed"], rank=rank, ranks=job.meeting.count)
        network = self._build(task.spec["seed"])
        if job.cell.start is not None:
            load_weights(network, job.cell.start, new_upsampler=True)
        self._gate(network)
        kept, stop = Checkpoints(file=self.cache.checkpoint(task.key), every_s=job.checkpoint_s), self.stop.asked
        try:
            with joined(job.meeting, job.device):
                state, records = train(
                    network, source, budget, device=job.device, checkpoints=kept, progress=self._progress, stop=stop
                )
        except DivergedError as error:
            if rank == 0:
                save_weights(error.state, self.cache.last_good(task.key))
            raise
        if rank == 0:
            save_weights(state, self.cache.weights(task.key))
        seen = f"{len(source.large)} of {len(images.pairs)}, the rest being smaller than a patch"
        protocol = {"loss": LOSS, "images": seen, "device": job.device, "threads": job.threads}
        protocol |= {"processes": job.meeting.count, "weights": state_hash(state)}
        return {"records": tuple(records), "protocol": protocol}

    def _evaluate(self, task: Task) -> dict[str, Any]:
        network = self._network()
        (shelf,) = self._shelves(task)
        asked = (network, self._images(task), task.spec, self.job.device, self._progress)
        records, artifacts = evaluate(*asked, shelf=shelf)
        measured = {
            "crop": self.job.cell.scale,
            "channel": "Y of BT.601, studio range, not rounded unless the metric says so",
            "rounding": "SR clamped and rounded to 8 bit",
            "resize": "MATLAB bicubic, antialiased, rounded after each pass",
            "perceptual": ", ".join(task.spec["perceptual"]) or "none",
            "weights": state_hash(network.state_dict()),
        }
        return {"records": records, "artifacts": artifacts, "protocol": self._asked(task) | measured}

    def _harm(self, task: Task) -> dict[str, Any]:
        network, twin = self._network(), self._twin()
        own, of_twin = self._shelves(task)
        asked = (network, twin, self._images(task), task.spec, self.job.device, self._progress)
        records, artifacts = harms(*asked, shelves=(own, of_twin))
        measured = {
            "crop": self.job.cell.scale,
            "channel": "RGB, each sub-pixel for itself",
            "rounding": "SR clamped and rounded to 8 bit",
            "regions": f"above the {UPPER:g}th percentile of their image, windows of {WINDOW} pixels",
            "weights": state_hash(network.state_dict()),
        }
        return {"records": records, "artifacts": artifacts, "protocol": self._asked(task) | measured}

    def _attention(self, task: Task) -> dict[str, Any]:
        network = self._network()
        records, artifacts = attend(network, self._images(task), task.spec, self.job.device, self._progress)
        measured = {name: task.spec[name] for name in ("images", "queries", "top")}
        measured["weights"] = state_hash(network.state_dict())
        return {"records": records, "artifacts": artifacts, "protocol": self._asked(task) | measured}

    def _shelves(self, task: Task) -> list[Shelf | None]:
        return shelves(task, self.job.cache, self.job.shared)

    def _images(self, task: Task) -> ImageSet:
        spec = task.spec
        name = self.job.data[spec["dataset"]]
        return image_set(name, self.job.cell.scale, spec["degradation"], spec["noise_seed"])

    def _asked(self, task: Task) -> dict[str, Any]:
        """That part of a protocol which the grid decides."""
        how = {name: task.spec[name] for name in ASKED if name in task.spec}
        how |= tiling_told(str(task.spec.get("tiling")))
        return how | {"scale": self.job.cell.scale, "tf32": task.spec["precision"] == "tf32"}

    def _profile(self, task: Task) -> dict[str, Any]:
        if not self.agreed:
            self._gate(self._build(0))
        if isinstance(self.plugin, FromFile):
            opened = self._build(0)
            records = profile(lambda: opened, task.spec, self.job.device)
        else:
            records = profile(lambda: self._build(0), task.spec, self.job.device)
        return {"records": records, "protocol": protocol(task.spec, self.job.device, self.job.threads)}

    def _count(self, task: Task) -> dict[str, Any]:
        records = count.counts(self.job.cell.contenders[task.spec["contender"]], task.spec)
        return {"records": records, "protocol": count.protocol(task.spec)}

    def _race(self, task: Task) -> dict[str, Any]:
        records = self.race.measure(task.spec, self._progress)
        return {"records": records, "protocol": race_protocol(task.spec, self.job.device, self.job.threads)}

    @functools.cached_property
    def plugin(self) -> Plugin:
        """The cell's method."""
        return methods.method(self.job.cell.address)

    def _network(self) -> nn.Module:
        """The network with its trained or given weights, on the device; loaded once for all of a cell's tasks."""
        if self.loaded is None:
            cell = self.job.cell
            trained = next((task.key for task in cell.tasks if task.kind == "train"), None)
            self.loaded = self._ready(self.plugin, cell.settings, cell.weights, trained)
        return self.loaded

    def _twin(self) -> nn.Module:
        """The same without attention."""
        twin = self.job.cell.twin
        assert twin is not None
        return self._ready(methods.method(twin.address), twin.settings, twin.weights, twin.train)

    def _ready(
        self, plugin: Plugin, settings: Mapping[str, Scalar], given: Path | None, trained: str | None
    ) -> nn.Module:
        """A network with the weights of the training `trained`, or of the file `given`, or with none to load."""
        network = built(plugin, self.job.cell.scale, settings, given, 0)
        file = self.cache.sound_weights(trained) if trained else given
        if file is not None and not isinstance(plugin, FromFile):
            load_weights(network, file)
        self._gate(network)
        return network.eval()

    def _gate(self, network: nn.Module) -> None:
        """Bring `network` to the device; nothing runs with fused attention that was not compared with its judge there.

        Raises:
            DisagreementError: it gives something else.
        """
        network.to(self.job.device)
        if not self.agreed:
            check_agreement(network)
            self.agreed = bool(attention_modules(network))

    def _build(self, seed: int) -> nn.Module:
        cell = self.job.cell
        return built(self.plugin, cell.scale, cell.settings, cell.weights, seed)

    def _progress(self, done: int, total: int) -> None:
        """Report, but not more often than people can read."""
        if done == total or time.monotonic() - self.told > PROGRESS_EVERY_S:
            self.told = time.monotonic()
            self.report(Progress(done, total))
