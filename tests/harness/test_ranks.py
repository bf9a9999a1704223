"""Several processes train one network as one process would."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import datasets
import methods
from datasets.cache import decoded
from datasets.patches import PatchSource
from harness import train as training
from harness.errors import UserError
from harness.grid_tables import TrainBudget
from harness.isolate import Worker
from harness.ranks import Meeting, Rank, Together, joined
from harness.train import Checkpoints, DivergedError, Stopped, train
from methods.interface import UnavailableError

STEPS, STOP = 9, 5
TOLERANCE = 2e-5
"""Of weights near 0.1 and losses near 0.4 in float32; half of the batch alone ends a hundred times as far away."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A training that shows whether processes do together what one does."""

    name: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    budget: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tolerance: float = TOLERANCE


CASES = {
    "edsr": Case(name="edsr", budget={"clip_norm": 0.01, "ema_decay": 0.9, "fused_adam": True}),
    "fp16": Case(name="edsr", budget={"precision": "fp16", "clip_norm": 1.0}, tolerance=1e-3),
    "nlsn": Case(name="nlsn", settings={"chunk_size": 8, "backend": "fused"}, budget={"channels_last": True}),
    "enlcn": Case(name="enlcn", settings={"contrastive_from": 0.0, "contrastive_weight": 0.1, "redraw_every": 3}),
    "lcoan": Case(
        name="lcoan",
        settings={"n_clusters": 4, "chunk_size": 12, "update_means": "ema", "ema_decay": 0.9, "n_resgroups": 2},
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """How a training ended: weights, curve, which weights had no gradient; or what it raised, after how many steps."""

    state: Mapping[str, Any]
    curve: Mapping[int | None, float | None]
    without: tuple[str, ...]
    raised: str = ""
    step: int = 0

    def differs(self, other: Seen) -> float:
        """The largest difference of a weight or of a point of the curve."""
        assert self.curve.keys() == other.curve.keys()
        losses = [abs(float(self.curve[step] or 0) - float(other.curve[step] or 0)) for step in self.curve]
        weights = [float(np.abs(self.state[name] - other.state[name]).max()) for name in self.state]
        return max(losses + weights)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """What one process of a training needs; `stop_at` is the step after which it, and it alone, is asked to stop."""

    images: Path
    folder: Path
    cases: tuple[str, ...]
    meeting: Meeting
    stop_at: int = 0


class Odd(nn.Module):
    """A network that does not do the same on each process, by `act` on what it sees and makes."""

    def __init__(self, act: Callable[[Odd, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)
        self.register_buffer("seen", torch.zeros(()))
        self.calls, self.act = 0, act

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.act(self, x, nn.functional.pixel_shuffle(self.conv(x), 2))


def remembers(odd: Odd, x: Tensor, y: Tensor) -> Tensor:
    """Keeps the mean of what it sees, which is another on each process."""
    odd.seen.fill_(x.mean())
    return y


def diverges(odd: Odd, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001
    """On rank 1 alone, from its fourth step on."""
    return y * float("nan") if Together.present().rank == 1 and odd.calls > 3 else y


ODD = {"remembers": remembers, "diverges": diverges}


def _train_all(part: Part, report: Callable[[Any], None]) -> None:
    """In a worker: each case in turn, in a meeting of its own."""
    torch.set_num_threads(1)
    training.CURVE_POINTS = 3
    names = {case: f"{part.meeting.name} {case}" for case in part.cases}
    report([_train_one(part, case, dataclasses.replace(part.meeting, name=names[case])) for case in part.cases])


def _train_one(part: Part, name: str, meeting: Meeting) -> Seen:
    torch.manual_seed(5)
    case = CASES.get(name, CASES["edsr"])
    small = {"n_feats": 8, "n_resblocks": 1, **case.settings}
    network = Odd(ODD[name]) if name in ODD else methods.build_network(case.name, 2, **small)
    ranks = 2 if name == "half" else meeting.count
    source = PatchSource(images=images_of(part), patch=9, batch=6, seed=3, rank=meeting.rank, ranks=ranks)
    steps: list[int] = []
    try:
        with joined(meeting, "cpu"):
            state, records = train(
                network,
                source,
                TrainBudget(**{"steps": STEPS, "learning_rate": 1e-3, **case.budget}),
                device="cpu",
                checkpoints=Checkpoints(file=part.folder / f"{name}.pt"),
                progress=lambda done, _: steps.append(done),
                stop=lambda: bool(steps) and steps[-1] == part.stop_at,
            )
    except (Stopped, RuntimeError, DivergedError) as error:
        return Seen(state={}, curve={}, without=(), raised=f"{type(error).__name__}: {error}", step=len(steps))
    curve = {record.step: record.value for record in records if record.metric == "train_loss"}
    without = tuple(name for name, weight in network.named_parameters() if weight.grad is None)
    return Seen(state={key: value.double().numpy() for key, value in state.items()}, curve=curve, without=without)


def images_of(part: Part) -> Any:
    return decoded(datasets.load(str(part.images), 2), part.folder.parent / "images")


Trainer = Callable[..., list[list[Seen]]]


@pytest.fixture(scope="module")
def trainer(image_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Trains cases by so many processes at once; returns, for each process, what it saw of each case."""
    public: Any = torch.distributed
    keys = public.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    base = tmp_path_factory.mktemp("trainings")

    def trained(count: int, cases: Iterable[str], folder: str, stops: tuple[int, int] = (0, 0)) -> list[list[Seen]]:
        """`stops` is a rank and the step after which it is asked to stop."""
        name = f"{folder} {count} {time.monotonic()}"
        meetings = [Meeting(host="localhost", port=keys.port, name=name, rank=r, count=count) for r in range(count)]
        with contextlib.ExitStack() as opened:
            workers = []
            for rank, meeting in enumerate(meetings):
                part = Part(
                    images=image_folder,
                    folder=base / folder,
                    cases=tuple(cases),
                    meeting=meeting,
                    stop_at=stops[1] if rank == stops[0] else 0,
                )
                workers.append(opened.enter_context(Worker(_train_all, part, base / f"{folder}.{rank}.log")))
            return [next(worker.messages(lambda: 120.0)) for worker in workers]

    return trained


@pytest.fixture(scope="module")
def alone(trainer: Trainer) -> dict[str, Seen]:
    """Each case by one process, and two more: half of a batch, and a network that remembers its batch."""
    names = [*CASES, "half", "remembers"]
    (seen,) = trainer(1, names, "1")
    return dict(zip(names, seen, strict=True))


@pytest.mark.parametrize("count", [2, 3])
def test_processes_do_together_what_one_does_alone(trainer: Trainer, alone: dict[str, Seen], count: int) -> None:
    for seen in trainer(count, CASES, str(count)):
        for (name, case), each in zip(CASES.items(), seen, strict=True):
            assert each.differs(alone[name]) < case.tolerance, name
            assert each.without == alone[name].without, name


def test_the_cases_would_show_a_difference(alone: dict[str, Seen]) -> None:
    assert alone["half"].differs(alone["edsr"]) > 100 * TOLERANCE
    assert len(alone["lcoan"].without) > 2 + len(alone["nlsn"].without), "its attentions share the first one's weights"


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_a_training_is_resumed_by_another_number_of_processes(
    trainer: Trainer, alone: dict[str, Seen], first: int, then: int
) -> None:
    """All stop after the same step when one of them is asked to, between two points of the curve."""
    folder, cases = f"{first} to {then}", ["lcoan", "nlsn"]
    for seen in trainer(first, cases, folder, stops=(first - 1, STOP)):
        assert [(each.raised, each.step) for each in seen] == [("Stopped: ", STOP)] * 2
    for seen in trainer(then, cases, folder):
        assert all(each.differs(alone[name]) < TOLERANCE for name, each in zip(cases, seen, strict=True))


@pytest.mark.fault(
    area="Training on several processes",
    what="a network keeps something that depends on a process's share of the batch",
    how="two processes train a network with a buffer that holds the mean of what it saw",
    kept="the training ends at the first point of its curve, and the reason names the buffer; one process may train it",
)
def test_what_each_process_remembers_of_its_share_ends_the_training(trainer: Trainer, alone: dict[str, Seen]) -> None:
    for (seen,) in trainer(2, ["remembers"], "remembers"):
        assert seen.raised.startswith("RuntimeError: seen is not the same on all ranks")
    assert not alone["remembers"].raised


@pytest.mark.fault(
    area="Training on several processes",
    what="the loss of one rank's share is not finite",
    how="the network of rank 1 of two returns NaN from its fourth step on",
    kept="both ranks find the same step at the same time; rank 0 keeps the last good weights",
)
def test_a_loss_that_is_not_finite_on_one_rank_ends_the_training_on_all(trainer: Trainer) -> None:
    for (seen,) in trainer(2, ["diverges"], "diverges"):
        assert (seen.raised, seen.step) == ("DivergedError: the loss is not finite, first seen at step 4", 5)


def test_shares_of_a_batch_are_the_batch(image_folder: Path, tmp_path: Path) -> None:
    images = decoded(datasets.load(str(image_folder), 2), tmp_path)
    whole = PatchSource(images=images, patch=9, batch=6, seed=3)
    for count in (2, 3, 6):
        shares = [dataclasses.replace(whole, rank=rank, ranks=count).at(4) for rank in range(count)]
        for name in ("lr", "hr"):
            together = np.concatenate([getattr(share, name) for share in shares])
            assert np.array_equal(together, getattr(whole.at(4), name))
    with pytest.raises(
        ValueError, match="4 processes cannot share a batch of 6 evenly: their number can be 1, 2, 3, 6"
    ):
        dataclasses.replace(whole, ranks=4)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(3), nn.Dropout(0.1)])
def test_layers_that_take_a_share_for_the_batch_are_refused(layer: nn.Module) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3), layer)
    with pytest.raises(
        UnavailableError, match=rf"1 is a {type(layer).__name__}: .* so 2 processes would train another"
    ):
        Together(rank=1, count=2).learning(network)
    assert Together().learning(network) is network


TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
ADDRESS = {"MASTER_ADDR": "node0", "MASTER_PORT": "29500"}


def environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Rank | None:
    for name in (*TORCHRUN, *ADDRESS, "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Rank.of_environment()


def test_a_rank_knows_its_place_from_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment(monkeypatch) is None
    assert environment(monkeypatch, **TORCHRUN | {"WORLD_SIZE": "1"}) is None
    rank = environment(monkeypatch, **TORCHRUN, **ADDRESS)
    assert rank == Rank(rank=3, count=4, local=1, local_count=2, host="node0", port=29500, hosting=False)
    first = environment(monkeypatch, **TORCHRUN | {"RANK": "0"}, **ADDRESS)
    assert first is not None
    assert first.hosting
    first = environment(monkeypatch, **TORCHRUN | {"RANK": "0"}, **ADDRESS, TORCHELASTIC_USE_AGENT_STORE="True")
    assert first is not None
    assert not first.hosting
    with pytest.raises(UserError, match="not MASTER_ADDR, MASTER_PORT: start several processes with torchrun"):
        environment(monkeypatch, **TORCHRUN)


def test_each_rank_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rank = Rank(rank=3, count=4, local=1, local_count=2, host="node0", port=29500, hosting=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (rank.device("cpu"), rank.device("cuda")) == ("cpu", "cuda:1")
    with pytest.raises(UserError, match="say --device cuda, not cuda:1"):
        rank.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="torchrun started 2 ranks on this machine, which has 1 GPUs"):
        rank.device("cuda")
