"""What a state dict belongs to, and x2 weights as the start of x3 and x4."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from methods import Fit, build_network, fit, load_weights, method
from methods.catalogue import NETWORKS

SIZES: dict[str, dict[str, Any]] = {
    "edsr": {"n_feats": 12, "n_resblocks": 3},
    "nln": {"n_feats": 12, "n_resblocks": 5, "attention_every": 2, "reduction": 3},
    "nlsn": {"n_feats": 12, "n_resblocks": 4, "attention_every": 2, "reduction": 3, "k_size": 1},
    "enlcn": {"n_feats": 12, "n_resblocks": 8, "reduction": 2, "n_features": 20},
    "dnlan": {"n_feats": 12, "n_resgroups": 3, "n_resblocks": 2, "reduction": 6},
    "lcoan": {"n_feats": 12, "n_resgroups": 2, "n_resblocks": 3, "n_clusters": 5, "n_hashes": 2, "k_size": 5},
    "dlsn": {"n_feats": 12, "n_resgroups": 2, "n_resblocks": 1, "chunk_size": 9, "reduction": 2},
    "dtfn": {"n_feats": 16, "n_resgroups": 1, "n_resblocks": 1, "chunk_size": 7},
    "hspan": {"n_feats": 12, "n_resgroups": 2, "n_resblocks": 2, "reduction": 4},
}


def small(name: str, scale: int, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(name, scale, **SIZES[name])


def differing(name: str) -> dict[str, Any]:
    """The settings of `SIZES` that are not the released ones."""
    released = method(name).settings()
    return {key: value for key, value in SIZES[name].items() if value != released[key]}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_network_scale_and_sizes_are_read_from_the_keys(name: str, scale: int) -> None:
    found = fit(small(name, scale).state_dict())
    assert found == Fit(name=name, scale=scale, settings=differing(name))
    assert found.build().load_state_dict(small(name, scale).state_dict())


@pytest.mark.parametrize("every", [1, 3, 4, 10, 11, 20])
@pytest.mark.parametrize("blocks", [4, 8, 10])
def test_any_interval_between_attentions_has_a_fit(blocks: int, every: int) -> None:
    state = build_network("nlsn", 2, n_feats=8, n_resblocks=blocks, attention_every=every).state_dict()
    found = fit(state)
    assert found is not None
    assert found.build().load_state_dict(state)


@pytest.mark.parametrize("name", NETWORKS)
def test_released_sizes_need_no_settings(name: str) -> None:
    with torch.device("meta"):
        state = build_network(name, 2).state_dict()
    assert fit(state) == Fit(name=name, scale=2, settings={})


@pytest.mark.parametrize(
    "state",
    [{}, {"head.0.weight": torch.ones(8, 3, 3, 3)}, small("nlsn", 2).state_dict() | {"z": torch.ones(3)}],
    ids=["nothing", "a head", "one key too many"],
)
def test_what_fits_nothing_is_none(state: dict[str, Tensor]) -> None:
    assert fit(state) is None


def test_a_misfit_tells_what_the_file_does_fit(tmp_path: Path) -> None:
    save_file(small("dlsn", 3).state_dict(), tmp_path / "w.safetensors")
    told = (
        "missing body.0.conv_match.0.weight (4, 12, 1, 1); missing body.0.conv_match.0.bias (4,); "
        "missing body.0.conv_assembly.0.weight (12, 12, 1, 1); and "
    )
    advice = (
        ". The file fits dlsn at scale 3, n_feats = 12, n_resgroups = 2, n_resblocks = 1, reduction = 2, chunk_size = 9"
    )
    with pytest.raises(ValueError, match=f"{re.escape(told)}.*{re.escape(advice)}$"):
        load_weights(small("nlsn", 3), tmp_path / "w.safetensors")


def starts(name: str, source: int, target: int, folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], nn.Module]:
    """The weights in the file, those before loading, and the network that was started from the file."""
    file, network = folder / "w.safetensors", small(name, target, seed=1)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    save_file(small(name, source).state_dict(), file)
    network.fresh = load_weights(network, file, new_upsampler=True).fresh
    return dict(small(name, source).state_dict()), before, network


@pytest.mark.parametrize(
    ("source", "target", "fresh"),
    [
        (2, 3, {"tail.0.0.weight", "tail.0.0.bias"}),
        (2, 4, {"tail.0.2.weight", "tail.0.2.bias"}),
        (4, 2, set()),
        (4, 3, {"tail.0.0.weight", "tail.0.0.bias"}),
        (2, 2, set()),
    ],
)
@pytest.mark.parametrize("name", NETWORKS)
def test_another_scale_starts_with_a_new_upsampler(
    name: str, source: int, target: int, fresh: set[str], tmp_path: Path
) -> None:
    brought, before, network = starts(name, source, target, tmp_path)
    assert set(network.fresh) == fresh
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[key] if key in fresh else brought[key]), key


def test_another_scale_is_a_misfit_unless_asked_for(tmp_path: Path) -> None:
    save_file(small("edsr", 2).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(
        ValueError, match=re.escape("tail.0.0.weight is (48, 12, 3, 3) in the file, (108, 12, 3, 3) here")
    ):
        load_weights(small("edsr", 3), tmp_path / "w.safetensors")


def test_a_new_upsampler_excuses_nothing_else(tmp_path: Path) -> None:
    state = small("edsr", 2).state_dict()
    del state["tail.1.bias"]
    save_file(state, tmp_path / "w.safetensors")
    network = small("edsr", 3, seed=1)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match=re.escape("missing tail.1.bias (3,).")):
        load_weights(network, tmp_path / "w.safetensors", new_upsampler=True)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
