"""Parity with reference data that the authors' released code computed: see README.md in this folder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from datasets import imresize
from methods import build_attention, build_network

HERE = Path(__file__).parent
ENTRIES = json.loads((HERE / "index.json").read_text(encoding="utf-8"))
RELEASED = json.loads((HERE / "released-keys-x2.json").read_text(encoding="utf-8"))
FACTORS = {"down2": 1 / 2, "down3": 1 / 3, "down4": 1 / 4, "up2": 2, "up3": 3, "up4": 4}
ATOL = 1e-5


def entries(level: str) -> list[Any]:
    return [pytest.param(entry, id=entry["file"]) for entry in ENTRIES if entry["level"] == level]


def read(entry: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of an entry's file: the state dict, and everything else."""
    tensors = load_file(HERE / entry["file"])
    state = {key.removeprefix("state."): tensors.pop(key) for key in list(tensors) if key.startswith("state.")}
    return state, tensors


def attention_of(entry: dict[str, Any], **execution: str) -> nn.Module:
    settings = {{"channel": "channels"}.get(name, name): value for name, value in entry["hyperparameters"].items()}
    return build_attention(entry["kind"], **settings, **execution).eval()


def assert_parity(module: nn.Module, entry: dict[str, Any]) -> None:
    """Same output from the same seed; same gradient of the input where the file has one."""
    state, tensors = read(entry)
    module.load_state_dict(state)
    x = tensors["input"].requires_grad_()
    torch.manual_seed(entry["forward_seed"])
    output = module(x)
    torch.testing.assert_close(output, tensors["output"], rtol=0, atol=ATOL)
    if "cotangent" in tensors:
        (grad,) = torch.autograd.grad(output, x, tensors["cotangent"])
        torch.testing.assert_close(grad, tensors["grad_input"], rtol=0, atol=ATOL)


@pytest.mark.parametrize("entry", entries("module"))
def test_attention_gives_the_released_output_and_gradient(entry: dict[str, Any]) -> None:
    assert_parity(attention_of(entry), entry)


def test_fused_dense_attention_gives_the_released_output_and_gradient() -> None:
    entry = next(entry for entry in ENTRIES if entry["kind"] == "nla")
    assert_parity(attention_of(entry, backend="fused"), entry)


@pytest.mark.parametrize("entry", entries("network"))
def test_network_gives_the_released_output(entry: dict[str, Any]) -> None:
    network = build_network(entry["kind"], **entry["args"]).eval()
    assert sum(p.numel() for p in network.parameters()) == entry["params"]
    assert_parity(network, entry)


@pytest.mark.parametrize(("name", "parameters"), [("edsr", 40_729_627), ("nlsn", 41_796_187)])
def test_default_settings_are_the_released_ones(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = build_network(name, 2)
    assert {key: list(tensor.shape) for key, tensor in network.state_dict().items()} == RELEASED[name]
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_the_mean_colour_is_the_released_one() -> None:
    entry = next(entry for entry in ENTRIES if entry["kind"] == "edsr")
    ours, (theirs, _) = build_network("edsr", **entry["args"]).state_dict(), read(entry)
    for key in ("sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias"):
        torch.testing.assert_close(ours[key], theirs[key], rtol=0, atol=0)


def test_every_reference_file_is_used() -> None:
    assert {path.name for path in HERE.glob("*.safetensors")} == {entry["file"] for entry in ENTRIES}
    assert all(math.isinf(entry["margin"]) or entry["margin"] > ATOL for entry in ENTRIES)


@pytest.mark.parametrize("name", FACTORS)
def test_imresize_equals_the_public_port(name: str) -> None:
    with np.load(HERE / "imresize-reference.npz") as reference:
        image, expected = reference[f"{name}.input"], reference[f"{name}.output"]
    np.testing.assert_array_equal(imresize(image, FACTORS[name]), expected)
