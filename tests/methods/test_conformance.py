"""What every method of the catalogue keeps, whatever it computes; and no method escapes."""

from __future__ import annotations

import contextlib
import importlib
import math
import pkgutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import methods
from harness.profile.cost import count
from methods import load_weights, method
from methods.catalogue import ATTENTIONS, NETWORKS
from methods.interface import NonLocal, attention_modules
from methods.look import looking
from methods.published import Method
from tests.methods.probes import mixed, sharpen

TINY = {
    "n_feats": 8,
    "n_resblocks": 1,
    "n_resgroups": 2,
    "attention_every": 1,
    "chunk_size": 4,
    "n_clusters": 5,
    "n_features": 16,
}
SIZES = [(1, 1), (1, 7), (6, 1), (5, 3), (13, 9)]
ORDERS = {"n": 1, "n^2": 2}
FUSED = " fused"
"""After a name: the network with the other backend of its attention."""
FUSIBLE = [f"{name}{FUSED}" for name in NETWORKS if "backend" in method(name).settings()]
every = pytest.mark.parametrize("name", [*NETWORKS, *FUSIBLE])


def published(name: str) -> Method:
    found = method(name.removesuffix(FUSED))
    assert isinstance(found, Method)
    return found


def tiny(name: str, **chosen: Any) -> dict[str, Any]:
    """Two attentions of eight channels, several chunks even in small images."""
    known = published(name).settings()
    backend = {"backend": "fused"} if name.endswith(FUSED) else {}
    return {key: value for key, value in TINY.items() if key in known} | backend | chosen


def network(name: str, scale: int = 2, *, seed: int = 0, **chosen: Any) -> nn.Module:
    torch.manual_seed(seed)
    return published(name).build(scale, tiny(name, **chosen))


def image(height: int, width: int, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height * width))


def seeded(built: nn.Module, x: Tensor, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return built(x)


def trainable_sizes(name: str) -> list[tuple[int, int]]:
    fewest = published(name).min_positions
    return [(1, fewest), *(size for size in SIZES if math.prod(size) >= fewest)]


@every
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size_goes_in_and_scale_times_that_comes_out(name: str, size: tuple[int, int]) -> None:
    for scale in (2, 3):
        with torch.inference_mode():
            out = network(name, scale).eval()(image(*size, batch=2))
        assert out.shape == (2, 3, scale * size[0], scale * size[1])
        assert out.isfinite().all()


@every
def test_training_passes_finite_gradients_back_from_any_size(name: str) -> None:
    for size in trainable_sizes(name):
        built, x = network(name), image(*size).requires_grad_()
        loss = built(x).square().mean()
        added = [module.training_loss() for module in attention_modules(built).values()]
        (loss + sum(term for term in added if term is not None)).backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert x.grad.any()
        assert all(p.grad.isfinite().all() for p in built.parameters() if p.grad is not None)


@every
def test_a_black_image_has_finite_gradients(name: str) -> None:
    """Equal tokens everywhere: no contrast, no nearest bucket, no spread of scores."""
    built = network(name)
    built(torch.zeros(1, 3, 9, 8)).square().mean().backward()
    assert all(p.grad.isfinite().all() for p in built.parameters() if p.grad is not None)


@every
def test_every_attention_learns(name: str) -> None:
    built = network(name)
    built(image(13, 9)).square().mean().backward()
    for place, module in enumerate(attention_modules(built).values()):
        reached = [key for key, p in module.named_parameters() if p.grad is not None and p.grad.any()]
        assert any(key.startswith("conv_assembly") for key in reached)
        assert any(key.startswith("conv_match") for key in reached) or place > 0


@every
@pytest.mark.parametrize("training", [False, True])
def test_the_same_seed_gives_the_same_bits(name: str, training: bool) -> None:
    first, second = (seeded(network(name).train(training), image(13, 9)) for _ in range(2))
    assert torch.equal(first, second)


@every
def test_images_of_a_batch_do_not_see_each_other(name: str) -> None:
    """After a first forward, which may find something in its batch, as k-means does."""
    built, x = network(name).double().eval(), image(9, 8, batch=3).double()
    built(x)
    together = seeded(built, x)
    alone = torch.cat([seeded(built, x[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone)


@every
def test_fewer_positions_than_its_minimum_are_refused_in_training_alone(name: str) -> None:
    fewest = published(name).min_positions
    network(name)(image(1, fewest))
    if fewest > 1:
        with pytest.raises(ValueError, match=f"at least {fewest} positions, not {fewest - 1}"):
            network(name)(image(1, fewest - 1))
        network(name).eval()(image(1, fewest - 1))


@every
def test_settings_are_a_fixed_point(name: str) -> None:
    found = published(name)
    released = found.settings()
    assert found.settings(released) == released
    chosen = found.settings(tiny(name))
    assert chosen.items() >= tiny(name).items()
    assert found.settings(chosen) == chosen
    assert all(isinstance(value, bool | int | float | str) for value in released.values())


@every
def test_settings_told_and_settings_chosen_give_the_same_bits(name: str) -> None:
    chosen = tiny(name, res_scale=0.5)
    told = published(name).settings(chosen)
    outputs = []
    for settings in (chosen, told):
        torch.manual_seed(0)
        outputs.append(published(name).build(2, settings)(image(9, 8)))
    assert torch.equal(*outputs)


def test_an_attention_with_a_name_of_its_own_for_a_setting_takes_it_by_that_alone() -> None:
    """DLSN's groups are scaled by 0.1, their attention is not."""
    released = published("dlsn").settings()
    assert (released["res_scale"], released["attention_res_scale"]) == (0.1, 1.0)
    told = published("dlsn").settings({"res_scale": 0.25})
    assert (told["res_scale"], told["attention_res_scale"]) == (0.25, 1.0)
    built = network("dlsn", res_scale=0.25, attention_res_scale=0.5)
    assert {group.res_scale for group in built.body[:-1]} == {0.25}
    assert {module.recipe.fuse.res_scale for module in attention_modules(built).values()} == {0.5}


@every
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_settings_build_the_network_they_describe(name: str, scale: int) -> None:
    with torch.device("meta"):
        first = published(name).build(scale, tiny(name)).state_dict()
        again = published(name).build(scale, published(name).settings(tiny(name))).state_dict()
    assert {k: t.shape for k, t in first.items()} == {k: t.shape for k, t in again.items()}


@every
def test_weights_carry_all_that_the_output_depends_on(name: str, tmp_path: Path) -> None:
    trained, other = network(name).eval(), network(name, seed=5).eval()
    trained(image(9, 8))
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(seeded(trained, image(13, 9)), seeded(other, image(13, 9)))


@every
def test_attention_is_found_by_its_type(name: str) -> None:
    found = attention_modules(network(name))
    assert len(found) == (0 if name == "edsr" else 2)
    assert all(isinstance(module, NonLocal) for module in found.values())


@every
def test_every_attention_tells_whom_it_attends_to(name: str) -> None:
    """In one and the same forward, with the draws of that forward."""
    built, x = network(name, n_feats=35).double().eval(), image(5, 7, batch=2).double()
    sharpen(built, 5)
    queries, matrices = torch.tensor([34, 0, 17]), mixed(built, x)
    with torch.inference_mode(), looking(built, queries) as looks:
        seeded(built, x)
    assert list(looks) == list(attention_modules(built)) == list(matrices)
    for place, (weights, scores, reached) in looks.items():
        torch.testing.assert_close(weights, matrices[place][:, queries], rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3).double())
        assert (weights >= 0).all()
        assert not weights[~reached].any()
        assert scores.shape == reached.shape == weights.shape


@every
@pytest.mark.parametrize("training", [False, True])
def test_looking_changes_no_bit(name: str, training: bool) -> None:
    """Neither of the output nor of what the network and the generator are left with, twice over."""
    seen = []
    for watched in (False, True):
        built = network(name).train(training)
        looks = looking(built, torch.tensor([3, 0])) if watched else contextlib.nullcontext()
        with looks:
            out = [seeded(built, image(13, 9, batch=2)), built(image(9, 8))]
        seen.append([*out, torch.get_rng_state(), *built.state_dict().values()])
    assert all(torch.equal(*pair) for pair in zip(*seen, strict=True))


def macs(name: str, side: int, **chosen: Any) -> float:
    """Of the attention; of the whole network where there is none."""
    counted = count(partial(network, name, **chosen), side, side)
    return counted["attention_macs"] or counted["macs"]


def slope(name: str, sides: tuple[int, int], **chosen: Any) -> float:
    """By how many powers cost grows with the number of positions."""
    small, large = (macs(name, side, **chosen) for side in sides)
    return math.log(large / small) / (2 * math.log(sides[1] / sides[0]))


@every
def test_cost_grows_as_declared(name: str) -> None:
    """Beyond 128 chunks of 4 positions, where the number of buckets has reached its cap."""
    assert slope(name, (64, 256)) == pytest.approx(ORDERS[published(name).order], abs=0.05)


BUCKETED = ["spherical", "superbit", "flyhash", "kmeans", "random", "window"]
QUADRATIC = {"spherical", "superbit"}


def hashing(assign: str, side: int) -> float:
    """What finding the codes costs beyond drawing them blindly."""
    return macs("nlsn", side, assign=assign) - macs("nlsn", side, assign="random")


@pytest.mark.parametrize("assign", BUCKETED)
def test_buckets_keep_attention_linear_beyond_the_cap(assign: str) -> None:
    assert slope("nlsn", (64, 256), assign=assign) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("assign", BUCKETED)
def test_hashing_is_quadratic_below_the_cap_where_each_bucket_has_an_axis(assign: str) -> None:
    """From 16 to 64 chunks, one bucket each; from 256 to 1024 chunks, 128 buckets."""
    below, beyond = ([hashing(assign, side) for side in sides] for sides in ((8, 16), (32, 64)))
    if assign in {"random", "window"}:
        assert not any(below + beyond)
    else:
        assert below[1] / below[0] == pytest.approx(16 if assign in QUADRATIC else 4)
        assert beyond[1] / beyond[0] == pytest.approx(4)


def test_no_method_escapes() -> None:
    """Every package of methods that holds one is in the catalogue, and every attention with it."""
    packages = [importlib.import_module(f"methods.{found.name}") for found in pkgutil.iter_modules(methods.__path__)]
    for constant, catalogue in (("METHOD", NETWORKS), ("ATTENTION", ATTENTIONS)):
        there = {f"{p.__name__}:{constant}" for p in packages if hasattr(p, constant)}
        assert there == set(catalogue.values())
    assert {name: published(name).name for name in NETWORKS} == dict(zip(NETWORKS, NETWORKS, strict=True))
    assert {published(name).order for name in NETWORKS} == set(ORDERS)
