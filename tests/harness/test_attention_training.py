"""What attention modules ask of the training loop: to know the step, and to add to the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import datasets
import methods
from datasets.cache import decoded
from datasets.patches import PatchSource
from harness.grid_tables import TrainBudget
from harness.train import Checkpoints, State, Stopped, attention_loss, train
from methods.interface import Carry, NonLocal, attention_modules

STEPS = 8


class Adds(NonLocal):
    """Adds a constant times a parameter to the loss, and notes what it is told."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.weight, self.amount = nn.Parameter(torch.ones(())), amount
        self.told: list[tuple[int, int]] = []

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:  # noqa: ARG002
        return x

    def begin_step(self, step: int, steps: int) -> None:
        self.told.append((step, steps))

    def training_loss(self) -> Tensor | None:
        return self.amount * self.weight if self.amount else None


@pytest.fixture(scope="module")
def source(image_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PatchSource:
    images = datasets.load(str(image_folder), 2)
    return PatchSource(images=decoded(images, tmp_path_factory.mktemp("cache")), patch=9, batch=2, seed=3)


def trained(network: nn.Module, source: PatchSource, folder: Path, stop_at: int = 0) -> State:
    calls = iter(range(1, 10**6))
    state, _ = train(
        network,
        source,
        TrainBudget(steps=STEPS, learning_rate=1e-3),
        device="cpu",
        checkpoints=Checkpoints(file=folder / "state.pt"),
        progress=lambda *_: None,
        stop=lambda: next(calls) == stop_at,
    )
    return state


def enlcn(**settings: Any) -> nn.Module:
    torch.manual_seed(5)
    return methods.build_network("enlcn", 2, n_feats=8, n_resblocks=1, n_features=8, **settings)


def test_the_mean_over_modules_is_added() -> None:
    network = nn.Sequential(Adds(2.0), Adds(0.0), Adds(4.0))
    assert attention_loss(network).item() == 3.0
    assert attention_loss(nn.Sequential(Adds(0.0), nn.ReLU())) == 0.0


def test_modules_are_told_each_step_and_their_loss_is_learnt_from(source: PatchSource, tmp_path: Path) -> None:
    network = nn.Sequential(Adds(1.0), methods.build_network("edsr", 2, n_feats=4, n_resblocks=1))
    state = trained(network, source, tmp_path)
    assert network[0].told == [(step, STEPS) for step in range(STEPS)]
    assert state["0.weight"] < 1 - 1e-3


def test_the_contrastive_loss_changes_what_is_learnt(source: PatchSource, tmp_path: Path) -> None:
    states = [
        trained(enlcn(contrastive_weight=weight, contrastive_from=start), source, tmp_path / f"{weight} {start}")
        for weight, start in ((1.0, 0.0), (1.0, 0.75), (0.0, 0.0))
    ]
    first, late, never = (state["body.0.conv_match1.0.weight"] for state in states)
    assert not torch.equal(first, late)
    assert not torch.equal(late, never)


def test_the_projection_is_redrawn_when_due(source: PatchSource, tmp_path: Path) -> None:
    (module,) = attention_modules(enlcn(redraw_every=3)).values()
    seen = [module.attn_fn.projection_matrix.clone()]
    for step in range(STEPS):
        module.begin_step(step, STEPS)
        if not torch.equal(module.attn_fn.projection_matrix, seen[-1]):
            seen.append(module.attn_fn.projection_matrix.clone())
    assert len(seen) == 1 + (STEPS - 1) // 3
    kept = trained(enlcn(redraw_every=0), source, tmp_path)["body.0.attn_fn.projection_matrix"]
    assert torch.equal(kept, enlcn().state_dict()["body.0.attn_fn.projection_matrix"])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("enlcn", {"redraw_every": 3, "contrastive_weight": 0.1, "n_features": 8}),
        ("lcoan", {"n_clusters": 4, "chunk_size": 12, "update_means": "ema", "ema_decay": 0.9, "n_resgroups": 2}),
    ],
)
def test_a_resumed_training_equals_an_undisturbed_one(
    name: str, settings: dict[str, Any], source: PatchSource, tmp_path: Path
) -> None:
    def network() -> nn.Module:
        torch.manual_seed(5)
        return methods.build_network(name, 2, n_feats=8, n_resblocks=1, **settings)

    undisturbed = trained(network(), source, tmp_path / "a")
    with pytest.raises(Stopped):
        trained(network(), source, tmp_path / "b", stop_at=5)
    torch.manual_seed(99)
    resumed = trained(network(), source, tmp_path / "b")
    assert all(torch.equal(undisturbed[key], resumed[key]) for key in undisturbed)


def test_too_small_a_patch_for_the_contrastive_loss_is_told(image_folder: Path, tmp_path: Path) -> None:
    images = decoded(datasets.load(str(image_folder), 2), tmp_path)
    source = PatchSource(images=images, patch=8, batch=1, seed=0)
    with pytest.raises(ValueError, match="it needs an input of at least 65 positions, not 64"):
        trained(enlcn(contrastive_from=0.0), source, tmp_path)
