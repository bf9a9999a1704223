"""One training loop for all methods: L1 on random patches, Adam, exact resume, and a stop before weights are lost.

A batch is a pure function of seed and step, and a checkpoint holds every other state (weights, optimizer, schedule,
scaler, average, random generators, curve), so a resumed training equals an undisturbed one bit for bit on a CPU. Only
the forward call is compiled, where that is asked for: checkpoints and weights are the network's own.

Processes that joined a meeting (`harness.ranks`) train together: each has its share of the batch, and all do what one
would do with the whole. Rank 0 alone writes. A checkpoint does not know how many they were.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the usual name
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from datasets.cache import DecodedSet
from datasets.patches import Batch, PatchSource
from harness.cache import checkpoint_bytes, set_aside, state_of, whole
from harness.execution import Execution, graph_breaks
from harness.grid_tables import Precision, TrainBudget
from harness.inference import autocast, check_output, float32_products, to_tensor
from harness.last_good import LastGood, State, on_cpu
from harness.ranks import Together
from harness.records import Record
from methods.interface import attention_loss, attention_modules

CURVE_POINTS = 150
LONGEST_INTERVAL = 100
BETAS = (0.9, 0.999)

Progress = Callable[[int, int], None]


class DivergedError(FloatingPointError):
    """The loss or a weight is no longer finite. `state` are the last weights known to be good."""

    def __init__(self, step: int, state: State) -> None:
        super().__init__(f"the loss is not finite, first seen at step {step}")
        self.step, self.state = step, state


class Stopped(Exception):  # noqa: N818 - not an error: someone asked for it
    """Training was asked to stop; a checkpoint is written and a further run goes on from it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Where a training keeps its state, and how many seconds may pass between two states."""

    file: Path
    every_s: float = 20.0


def patches(images: DecodedSet, budget: TrainBudget, seed: int, *, rank: int = 0, ranks: int = 1) -> PatchSource:
    """What a training of that `seed` sees, or a rank of it."""
    return PatchSource(images=images, patch=budget.patch, batch=budget.batch, seed=seed, rank=rank, ranks=ranks)


def train(
    network: nn.Module,
    source: PatchSource,
    budget: TrainBudget,
    *,
    device: str,
    checkpoints: Checkpoints,
    progress: Progress,
    stop: Callable[[], bool],
) -> tuple[State, list[Record]]:
    """Train `network` to the end of `budget`, from its checkpoint if there is one; returns weights and curve.

    The checkpoint of the end stays until somebody has the curve safe: a finished training is never repeated.

    Raises:
        DivergedError: a loss or weight is not finite.
        Stopped: `stop()` became true, on any rank; the state is on disk.
        UnavailableError: the budget asks for a compiled network, and this machine or network cannot have one.
    """
    training = Training(network, budget, device)
    training.resume(checkpoints.file)
    saved = time.monotonic()
    for batch in source.batches(training.step, budget.steps):
        training.advance(batch)
        progress(training.step, budget.steps)
        stopped, due = training.together.any(stop(), time.monotonic() - saved > checkpoints.every_s)
        if stopped or due:
            training.save(checkpoints.file)
            saved = time.monotonic()
        if stopped:
            raise Stopped
    training.save(checkpoints.file)
    return training.weights(), training.records()


class Training:
    """The whole state of one training, and one step of it."""

    def __init__(self, network: nn.Module, budget: TrainBudget, device: str) -> None:
        self.budget, self.device = budget, device
        way = Execution(compile=budget.compile, channels_last=budget.channels_last)
        way.require(device)
        self.network = way.laid_out(network.to(device)).train()
        self.together = Together.present()
        self.loss = self.together.learning(_Loss(self.network, way, device, budget.precision))
        self.attentions = list(attention_modules(network).values())
        learnt = [p for p in network.parameters() if p.requires_grad]
        fused = budget.fused_adam or None
        self.optimizer = torch.optim.Adam(learnt, lr=budget.learning_rate, betas=BETAS, fused=fused)
        self.schedule = _schedule(self.optimizer, budget)
        self.scaler = torch.amp.GradScaler(torch.device(device).type, enabled=budget.precision == "fp16")
        self.average = _average(network, budget.ema_decay)
        self.interval = min(LONGEST_INTERVAL, max(1, budget.steps // CURVE_POINTS))
        self.step = 0
        self.pace, self.begun = Pace(), False
        self.broken = graph_breaks() if budget.compile else 0
        self.curve: list[tuple[int, float, float]] = []
        self.losses: list[Tensor] = []
        self.good = LastGood(network)

    def advance(self, batch: Batch) -> None:
        """One step: forward, backward, update; the curve and the check for divergence at intervals."""
        started = time.perf_counter()
        for module in self.attentions:
            module.begin_step(self.step, self.budget.steps)
        with float32_products(self.device, self.budget.precision):
            self.losses.append(self._update(batch))
        self.step += 1
        if self.step % self.interval == 0 or self.step == self.budget.steps:
            self._note()
        self.pace.note(time.perf_counter() - started, first=not self.begun)
        if self.budget.compile and not self.begun:
            self.pace.graph_breaks = graph_breaks() - self.broken
        self.begun = True

    def weights(self) -> State:
        """The trained weights on the CPU: the moving average if one is kept."""
        return on_cpu((self.network if self.average is None else self.average.module).state_dict())

    def records(self) -> list[Record]:
        """The training curve, and how long steps took."""
        curve = [
            Record(metric=metric, value=value, step=step)
            for step, loss, rate in self.curve
            for metric, value in (("train_loss", loss), ("learning_rate", rate))
        ]
        figures = {"step_s": self.pace.step_s, "first_step_s": self.pace.first_s}
        figures |= {"graph_breaks": float(self.pace.graph_breaks)} if self.budget.compile else {}
        return [*curve, *(Record(metric=metric, value=value) for metric, value in figures.items())]

    def save(self, file: Path) -> None:
        """Write the state beside `file` and put it in its place, so that a state on disk is always whole."""
        if self.losses:
            self.losses = list(self.together.mean(torch.stack(self.losses)))
        if self.together.rank == 0:
            with whole(file) as partial, partial.open("wb") as stream:
                torch.save(self._state(), stream)

    def resume(self, file: Path) -> None:
        """Take up the state in `file`, if rank 0 has one that can be used."""
        held = self.together.sent(checkpoint_bytes(file) if self.together.rank == 0 else b"")
        if not held:
            return
        state = state_of(held)
        if state.keys() != self._state().keys():
            if self.together.rank == 0:
                set_aside(file, "this version of nlbench has not written it")
            return
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step, self.pace = state["step"], Pace(**state["pace"])
        self.curve = [tuple(point) for point in state["curve"]]
        self.losses = [loss.to(self.device) for loss in state["losses"]]
        self.good.load(state["good"])
        torch.set_rng_state(state["generator"])
        if state["generator_cuda"] is not None:
            torch.cuda.set_rng_state(state["generator_cuda"], self.device)

    def _state(self) -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        progress = {
            "step": self.step,
            "pace": dataclasses.asdict(self.pace),
            "curve": self.curve,
            "losses": self.losses,
        }
        cuda = torch.cuda.get_rng_state(self.device) if self.device.startswith("cuda") else None
        random = {"generator": torch.get_rng_state(), "generator_cuda": cuda}
        return parts | progress | {"good": self.good.state()} | random

    def _parts(self) -> dict[str, Any]:
        parts = {"network": self.network, "optimizer": self.optimizer, "schedule": self.schedule, "scaler": self.scaler}
        return parts if self.average is None else parts | {"average": self.average}

    def _update(self, batch: Batch) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss, learnt = self.loss(to_tensor(batch.lr, self.device), to_tensor(batch.hr, self.device))
        self.scaler.scale(learnt).backward()
        if self.budget.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.budget.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        lone: Tensor = loss.detach()
        return lone

    def _note(self) -> None:
        """A point of the curve. Finite weights after finite losses are the new good ones; else training ends here."""
        losses = self.together.mean(torch.stack(self.losses)).float().cpu()
        self.together.require_same(self.network.state_dict())
        finite = torch.isfinite(losses)
        if not finite.all():
            first = self.step - len(losses) + int((~finite).nonzero()[0]) + 1
            raise DivergedError(first, self.good.state())
        if not self.good.renew():
            raise DivergedError(self.step, self.good.state())
        self.curve.append((self.step, float(losses.mean()), float(self.schedule.get_last_lr()[0])))
        self.losses = []


class _Loss(nn.Module):
    """From patches to the L1 loss, and to that with what attention modules add: all that learns is behind the second.

    One module for both, because several processes exchange the gradients of one module's forward.
    """

    def __init__(self, network: nn.Module, way: Execution, device: str, precision: Precision) -> None:
        super().__init__()
        self.network, self.device, self.precision = network, device, precision
        self.adding = nn.ModuleList(attention_modules(network).values())
        self.of_network = way.forward_of(network)

    def forward(self, lr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(self.device, self.precision):
            sr = self.of_network(lr)
            check_output(sr, hr.shape)
            loss = F.l1_loss(sr.float(), hr)
        return loss, loss + attention_loss(self.adding)


@dataclasses.dataclass(kw_only=True)
class Pace:
    """How long steps took, the first of each process apart: in it PyTorch prepares itself, and compiles."""

    first_s: float = 0.0
    seconds: float = 0.0
    steps: int = 0
    graph_breaks: int = 0

    @property
    def step_s(self) -> float:
        """The mean of all but first steps; the first if there was no other."""
        return self.seconds / self.steps if self.steps else self.first_s

    def note(self, seconds: float, *, first: bool) -> None:
        """One more step, the first of this process or another."""
        if first:
            self.first_s = seconds
        else:
            self.seconds, self.steps = self.seconds + seconds, self.steps + 1


def _schedule(optimizer: torch.optim.Optimizer, budget: TrainBudget) -> torch.optim.lr_scheduler.LRScheduler:
    """The learning rate over the steps: constant, halved (or `gamma`) at milestones, or one cycle of PyTorch's kind."""
    if budget.schedule == "one_cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, budget.learning_rate, total_steps=budget.steps + 1, cycle_momentum=False
        )
    fractions = budget.milestones if budget.schedule == "milestones" else ()
    milestones = [round(fraction * budget.steps) for fraction in fractions]
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, budget.gamma)


def _average(network: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential moving average of the weights, buffers copied; none for decay 0."""
    if not decay:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))
