"""Every part beside every other, on both trunks, by names alone: what the ablation grids rely on."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from methods import build_network, method
from methods.bucketed import ASSIGNS, SCORES, VALUES, aggregate
from methods.interface import attention_modules, tokens
from methods.parts.fuse import FUSES
from methods.published import Method
from methods.trunks import TRUNKS, ResidualTrunk

Settings = dict[str, Any]
HEIGHT, WIDTH = 5, 6
SIZES: dict[str, Settings] = {
    "residual": {"n_feats": 8, "n_resblocks": 1, "attention_every": 1},
    "group": {"n_feats": 8, "n_resgroups": 2, "n_resblocks": 1},
}
ASSIGNMENTS: dict[str, Settings] = {
    "spherical": {"assign": "spherical"},
    "superbit": {"assign": "superbit"},
    "flyhash": {"assign": "flyhash"},
    "centred": {"assign": "flyhash", "centred": True, "hash_length": 0},
    "kmeans": {"assign": "kmeans", "n_clusters": 3, "update_means": "frozen"},
    "ema": {"assign": "kmeans", "n_clusters": 3, "update_means": "ema", "ema_decay": 0.5},
    "random": {"assign": "random"},
    "window": {"assign": "window"},
}
COMBINATIONS = list(itertools.product(TRUNKS, ASSIGNMENTS, SCORES, VALUES, FUSES, (0, 1)))


def network(name: str, chosen: Settings) -> nn.Module:
    torch.manual_seed(0)
    return build_network(name, 2, **chosen)


def image(height: int = HEIGHT, width: int = WIDTH, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def bucketed(trunk: str, **chosen: Any) -> Settings:
    """Two attentions of two rounds, several chunks and a padded one."""
    return {"trunk": trunk, **SIZES[trunk], "chunk_size": 4, "n_hashes": 2, **chosen}


def assert_runs(name: str, chosen: Settings, x: Tensor) -> None:
    """Forward and backward in training; every attention is there; settings tell what was chosen and build it again."""
    settings = method(name).settings(chosen)
    assert settings.items() >= chosen.items()
    built = network(name, chosen)
    out = built(x.requires_grad_())
    assert out.shape == (1, 3, 2 * x.shape[2], 2 * x.shape[3])
    assert out.isfinite().all()
    (grad,) = torch.autograd.grad(out.square().sum(), x)
    assert grad.isfinite().all()
    assert grad.any()
    assert len(attention_modules(built)) == 2
    assert network(name, settings).state_dict().keys() == built.state_dict().keys()


@pytest.mark.parametrize(("trunk", "assign", "score", "value", "fuse", "share"), COMBINATIONS)
def test_every_part_runs_beside_every_other(
    trunk: str, assign: str, score: str, value: str, fuse: str, share: int
) -> None:
    parts = {"score": score, "value": value, "fuse": fuse, "share_from": share}
    assert_runs("nlsn", bucketed(trunk, **ASSIGNMENTS[assign], **parts), image())


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("name", ["enlcn", "nln", "hspan"])
def test_texture_fidelity_runs_on_every_attention(name: str, trunk: str) -> None:
    assert_runs(name, {"trunk": trunk, **SIZES[trunk], "fuse": "texture"}, image(9, 8))


def test_no_part_escapes() -> None:
    assert {chosen["assign"] for chosen in ASSIGNMENTS.values()} == set(ASSIGNS)
    assert len(COMBINATIONS) == len(set(COMBINATIONS)) == 2 * 8 * 2 * 3 * 2 * 2
    assert set(SIZES) == set(TRUNKS)


def learned(built: nn.Module) -> list[set[str]]:
    """For each attention, the layers that a backward pass reaches."""
    torch.manual_seed(0)
    built(image()).square().sum().backward()
    return [
        {name.split(".")[0] for name, p in module.named_parameters() if p.grad is not None and p.grad.any()}
        for module in attention_modules(built).values()
    ]


EVERYTHING = {"conv_match", "conv_assembly", "conv_assembly_fc", "fc"}
THREE: dict[str, Settings] = {"residual": {"n_resblocks": 2}, "group": {"n_resgroups": 3}}


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("share", [0, 1, 2, 3])
def test_layers_after_the_shared_attention_compute_values_alone(trunk: str, share: int) -> None:
    built = network("nlsn", bucketed(trunk, **THREE[trunk], score="learned", share_from=share))
    computing = share or 3
    assert learned(built) == [EVERYTHING] * computing + [{"conv_assembly"}] * (3 - computing)


@pytest.mark.parametrize("share", [0, 1, 2])
def test_shared_means_are_found_only_where_they_are_used(share: int) -> None:
    chosen = bucketed("group", **THREE["group"], **ASSIGNMENTS["kmeans"], share_from=share)
    built = network("nlsn", chosen)
    built(image())
    found = [bool(module.get_buffer("kmeans.initted")) for module in attention_modules(built).values()]
    assert found == [share == 0 or place < share for place in range(3)]


def test_sharing_draws_once_and_changes_the_output() -> None:
    outputs, states = [], []
    for share in (0, 1, 2):
        built = network("nlsn", bucketed("group", res_scale=1.0, share_from=share))
        torch.manual_seed(0)
        outputs.append(built(image()))
        states.append(torch.get_rng_state())
    assert not torch.allclose(outputs[0], outputs[1])
    assert not torch.equal(states[0], states[1])
    # Of two attentions, the second is the last: there is none left to share with.
    assert torch.equal(outputs[0], outputs[2])


def test_what_is_shared_ends_with_the_forward() -> None:
    built = network("nlsn", bucketed("residual", share_from=1, draw="frozen")).eval()
    first, other = built(image()), built(image(7, 4))
    assert other.shape == (1, 3, 14, 8)
    assert torch.equal(built(image()), first)


def test_a_shared_attention_is_the_first_ones() -> None:
    """The second passes its own values on, by the affinity of the first and of what the first was fed."""
    built = network("nlsn", bucketed("residual", share_from=1, draw="frozen", res_scale=1.0)).double().eval()
    attentions = list(attention_modules(built).values())
    seen: list[Tensor] = []
    hooks = [module.register_forward_hook(lambda _, x, y: seen.extend((x[0], y))) for module in attentions]
    built(image().double())
    for hook in hooks:
        hook.remove()
    first_in, _, second_in, second_out = seen
    expected = aggregate(attentions[0].affinity(first_in), tokens(attentions[1].conv_assembly(second_in)))
    torch.testing.assert_close(tokens(second_out - second_in), expected)


@pytest.mark.parametrize("name", ["nlsn", "dnlan", "lcoan", "dlsn", "dtfn"])
@pytest.mark.parametrize("assign", ASSIGNS)
def test_another_assignment_keeps_the_rounds_of_its_method(name: str, assign: str) -> None:
    released = method(name).settings()
    assert method(name).settings({"assign": assign})["n_hashes"] == released["n_hashes"]
    assert method(name).settings({"assign": assign, "n_hashes": 5})["n_hashes"] == 5


@pytest.mark.parametrize("name", ["nlsn", "dnlan", "dlsn", "dtfn", "enlcn", "nln", "hspan"])
@pytest.mark.parametrize("trunk", TRUNKS)
def test_another_trunk_or_fusion_keeps_width_and_scale(name: str, trunk: str) -> None:
    released = method(name).settings()
    kept = {"n_feats", "res_scale", "attention_res_scale"} & released.keys()
    other = method(name).settings({"trunk": trunk, "fuse": "texture"})
    assert {key: other[key] for key in kept} == {key: released[key] for key in kept}


def test_another_trunk_keeps_what_its_method_differs_in() -> None:
    edsr = method("edsr")
    assert isinstance(edsr, Method)
    thin = dataclasses.replace(edsr, trunk=ResidualTrunk(n_feats=24, res_scale=0.3))
    told = thin.settings({"trunk": "group"})
    assert (told["n_feats"], told["res_scale"], told["n_resgroups"]) == (24, 0.3, 10)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"assign": "spherica"}, "unknown assign 'spherica'. Did you mean 'spherical'"),
        ({"assign": 3}, "assign must be a name, not 3"),
        ({"value": "deformed"}, "unknown value 'deformed'. Did you mean 'deformable'"),
        ({"trunk": "groups"}, "unknown trunk 'groups'. Did you mean 'group'"),
        ({"n_clusters": 3}, "unknown setting of nlsn 'n_clusters'"),
        ({"assign": "kmeans", "draw": "frozen"}, "unknown setting of nlsn 'draw'"),
        ({"trunk": "group", "attention_every": 2}, "unknown setting of nlsn 'attention_every'"),
        ({"share_from": -1}, "share_from must be at least 0, not -1"),
        ({"k_size": 2}, "k_size must be odd to keep the size of an image, not 2"),
        ({"fuse": "texture", "n_feats": 4}, "texture fidelity needs at least 8 channels, not 4"),
    ],
)
def test_combinations_that_cannot_be_are_told(chosen: Settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network("nlsn", {"n_feats": 8} | chosen)
