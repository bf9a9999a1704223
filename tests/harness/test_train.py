from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import datasets
import methods
from datasets.cache import decoded
from datasets.patches import PatchSource
from harness import execution
from harness.grid_tables import TrainBudget
from harness.last_good import LastGood, State
from harness.records import Record
from harness.train import Checkpoints, DivergedError, Pace, Stopped, train
from methods.interface import UnavailableError

STEPS = 12


@pytest.fixture(scope="module")
def source(image_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PatchSource:
    images = datasets.load(str(image_folder), 2)
    return PatchSource(images=decoded(images, tmp_path_factory.mktemp("cache")), patch=8, batch=2, seed=3)


def network(name: str = "nlsn") -> nn.Module:
    torch.manual_seed(5)
    settings = {"chunk_size": 8} if name == "nlsn" else {}
    return methods.build_network(name, 2, n_feats=8, n_resblocks=1, **settings)


def trained(
    source: PatchSource,
    checkpoint: Path,
    stop: Callable[[], bool] = lambda: False,
    net: nn.Module | None = None,
    every_s: float = 1e9,
    **budget: Any,
) -> tuple[State, list[Record]]:
    return train(
        network() if net is None else net,
        source,
        TrainBudget(**{"steps": STEPS, "learning_rate": 1e-3, **budget}),
        device="cpu",
        checkpoints=Checkpoints(file=checkpoint, every_s=every_s),
        progress=lambda *_: None,
        stop=stop,
    )


def after(calls: int) -> Callable[[], bool]:
    """False for `calls - 1` calls, then True."""
    count = iter(range(1, 10**6))
    return lambda: next(count) == calls


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def curve(records: list[Record], metric: str = "train_loss") -> dict[int | None, float | None]:
    return {record.step: record.value for record in records if record.metric == metric}


@pytest.mark.parametrize(
    "budget",
    [
        {},
        {"ema_decay": 0.9},
        {"schedule": "milestones", "milestones": (0.4, 0.7)},
        {"clip_norm": 0.01, "schedule": "constant"},
        {"precision": "bf16", "channels_last": True},
        {"precision": "fp16", "clip_norm": 1.0},
        {"fused_adam": True, "channels_last": True, "ema_decay": 0.9},
        {"fused_adam": True, "precision": "fp16", "clip_norm": 1.0},
    ],
    ids=["one_cycle", "ema", "milestones", "clipped", "bf16", "fp16", "fused", "fused fp16"],
)
@pytest.mark.parametrize("stops", [(1,), (5,), (STEPS,), (3, 4, 1)], ids=str)
def test_a_resumed_training_equals_an_undisturbed_one_bit_for_bit(
    source: PatchSource, tmp_path: Path, budget: dict[str, Any], stops: tuple[int, ...]
) -> None:
    state, records = trained(source, tmp_path / "undisturbed.pt", **budget)
    for stop in stops:
        torch.manual_seed(99)
        with pytest.raises(Stopped):
            trained(source, tmp_path / "resumed.pt", after(stop), **budget)
    torch.manual_seed(1234)
    resumed, resumed_records = trained(source, tmp_path / "resumed.pt", **budget)
    assert same(state, resumed)
    assert curve(records) == curve(resumed_records)
    assert curve(records, "learning_rate") == curve(resumed_records, "learning_rate")


@pytest.mark.usefixtures("traced")
def test_a_compiled_training_resumes_bit_for_bit_and_keeps_the_keys_of_the_network(
    source: PatchSource, tmp_path: Path
) -> None:
    state, records = trained(source, tmp_path / "undisturbed.pt", compile=True, ema_decay=0.9)
    with pytest.raises(Stopped):
        trained(source, tmp_path / "resumed.pt", after(5), compile=True, ema_decay=0.9)
    checkpoint = torch.load(tmp_path / "resumed.pt", weights_only=True)
    torch.manual_seed(1234)
    resumed, _ = trained(source, tmp_path / "resumed.pt", compile=True, ema_decay=0.9)
    assert same(state, resumed)
    keys = network().state_dict().keys()
    assert keys == state.keys() == checkpoint["network"].keys() == checkpoint["good"].keys()
    assert [r.value for r in records if r.metric == "graph_breaks"] == [0.0]


@pytest.mark.usefixtures("traced")
def test_compiled_or_fused_a_training_goes_the_same_way(source: PatchSource, tmp_path: Path) -> None:
    """But for rounding: traced operation by operation there is none."""
    plain, records = trained(source, tmp_path / "plain.pt")
    compiled, _ = trained(source, tmp_path / "compiled.pt", compile=True)
    fused, _ = trained(source, tmp_path / "fused.pt", fused_adam=True)
    for key, tensor in plain.items():
        torch.testing.assert_close(compiled[key], tensor, msg=key)
        torch.testing.assert_close(fused[key], tensor, rtol=1e-3, atol=1e-5, msg=key)
    assert not same(plain, fused), "it was another operation"
    assert not [r for r in records if r.metric == "graph_breaks"]


def test_a_training_that_cannot_be_compiled_ends_before_its_first_step(
    source: PatchSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "compiler_missing", lambda _: "there is no compiler")
    with pytest.raises(UnavailableError, match="there is no compiler"):
        trained(source, tmp_path / "state.pt", lambda: pytest.fail("a step was made"), compile=True)


def test_the_first_step_of_each_process_is_kept_apart() -> None:
    pace = Pace()
    assert pace.step_s == 0.0
    pace.note(9.0, first=True)
    assert (pace.first_s, pace.step_s) == (9.0, 9.0)
    for seconds, first in ((1.0, False), (2.0, False), (7.0, True), (6.0, False)):
        pace.note(seconds, first=first)
    assert (pace.first_s, pace.step_s) == (7.0, 3.0)


def test_a_finished_training_is_read_back_not_repeated(source: PatchSource, tmp_path: Path) -> None:
    state, records = trained(source, tmp_path / "end.pt")
    again, again_records = trained(source, tmp_path / "end.pt", stop=lambda: pytest.fail("a step was made"))
    assert same(state, again)
    assert records == again_records


def test_a_checkpoint_is_written_on_the_way(source: PatchSource, tmp_path: Path) -> None:
    seen = []
    file = tmp_path / "state.pt"

    def look() -> bool:
        seen.append(torch.load(file, weights_only=True)["step"] if file.is_file() else 0)
        return False

    trained(source, file, look, every_s=0.0)
    assert seen == list(range(STEPS)), "before each step the state of the one before is on disk"


@pytest.mark.fault(
    area="Training",
    what="There is no room for a checkpoint",
    how="an error of the disk in the middle of writing one",
    kept="the checkpoint before it",
)
def test_a_checkpoint_cut_short_is_never_in_place(
    source: PatchSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "state.pt"
    with pytest.raises(Stopped):
        trained(source, file, after(2))
    before = file.read_bytes()

    def half(_: object, stream: Any) -> None:
        stream.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="no space left"):
        trained(source, file, after(2))
    assert file.read_bytes() == before


def test_the_loss_falls_and_the_curve_covers_the_training(source: PatchSource, tmp_path: Path) -> None:
    _, records = trained(source, tmp_path / "state.pt", net=network("edsr"), steps=200, learning_rate=3e-3)
    losses = curve(records)
    assert max(step for step in losses if step is not None) == 200
    values = [value for value in losses.values() if value is not None]
    assert sum(values[-20:]) < 0.5 * sum(values[:20])
    for metric in ("step_s", "first_step_s"):
        (seconds,) = [record.value for record in records if record.metric == metric]
        assert seconds is not None
        assert 0 < seconds < math.inf


def test_milestones_lower_the_rate_at_their_fractions(source: PatchSource, tmp_path: Path) -> None:
    budget = {"schedule": "milestones", "milestones": (0.25, 0.5), "gamma": 0.1}
    _, records = trained(source, tmp_path / "state.pt", net=network("edsr"), **budget)
    rates = curve(records, "learning_rate")
    assert [rates[step] for step in (2, 3, 6, STEPS)] == pytest.approx([1e-3, 1e-4, 1e-5, 1e-5])


def test_the_average_differs_from_the_weights_and_smooths_them(source: PatchSource, tmp_path: Path) -> None:
    plain, _ = trained(source, tmp_path / "plain.pt", net=network("edsr"))
    averaged, _ = trained(source, tmp_path / "averaged.pt", net=network("edsr"), ema_decay=0.999)
    start = network("edsr").state_dict()
    key = "head.0.weight"
    assert (averaged[key] - start[key]).norm() < 0.2 * (plain[key] - start[key]).norm()
    assert not torch.equal(averaged[key], start[key])


def test_clipping_bounds_each_step(source: PatchSource, tmp_path: Path) -> None:
    free, _ = trained(source, tmp_path / "free.pt", net=network("edsr"))
    clipped, _ = trained(source, tmp_path / "clipped.pt", net=network("edsr"), clip_norm=1e-9)
    start = network("edsr").state_dict()
    key = "body.0.body.0.weight"
    assert (clipped[key] - start[key]).norm() < (free[key] - start[key]).norm()


class _Fails(nn.Module):
    """Finite until its `good` forwards are used up."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self.good, self.calls = good, 0
        self.conv = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        y = nn.functional.pixel_shuffle(self.conv(x), 2)
        return y if self.calls <= self.good else y * float("nan")


@pytest.mark.fault(
    area="Training",
    what="The loss is no longer finite",
    how="NaN from the eighth step on",
    kept="the last weights known to be good; a row `diverged` with the step",
)
def test_a_loss_that_is_not_finite_ends_the_training_with_the_last_good_weights(
    source: PatchSource, tmp_path: Path
) -> None:
    net = _Fails(good=7)
    with pytest.raises(DivergedError, match="first seen at step 8") as diverged:
        trained(source, tmp_path / "state.pt", net=net)
    assert all(torch.isfinite(tensor).all() for tensor in diverged.value.state.values())
    assert not torch.isfinite(next(net.parameters())).all(), "the step with the bad loss had spoilt the weights"


def test_weights_that_are_not_finite_after_finite_losses_count_as_divergence(
    source: PatchSource, tmp_path: Path
) -> None:
    net = network("edsr")
    net.register_parameter("unused", nn.Parameter(torch.tensor([float("inf")])))
    with pytest.raises(DivergedError, match="step 1"):
        trained(source, tmp_path / "state.pt", net=net)


class _Mixed(nn.Module):
    """Parameters in two layouts, and buffers of other types."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("exact", torch.rand(2, dtype=torch.float64))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["conv.weight", "conv.bias", "exact"])
def test_the_last_good_state_is_kept_when_any_number_goes_bad(where: str, bad: float) -> None:
    net = _Mixed()
    kept = LastGood(net)
    first = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with torch.no_grad():
        net.conv.weight += 1
        net.count += 1
    assert same(kept.state(), first), "until it is renewed"
    assert kept.renew()
    second = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert same(kept.state(), second)
    with torch.no_grad():
        net.state_dict()[where][(-1,) * net.state_dict()[where].dim()] = bad
    assert not kept.renew()
    assert same(kept.state(), second)
    assert {name: tensor.dtype for name, tensor in kept.state().items()}["exact"] == torch.float64
    kept.load(first)
    assert same(kept.state(), first)
