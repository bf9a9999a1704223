"""Parity with reference data that the authors' released code computed: see README.md in this folder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from datasets import imresize
from harness.errors import UserError
from harness.verify import Parity, compare, has_fused, known_settings, verify
from methods import build_network
from methods.catalogue import ATTENTIONS, NETWORKS

HERE = Path(__file__).parent
ENTRIES = json.loads((HERE / "index.json").read_text(encoding="utf-8"))
RELEASED = json.loads((HERE / "released-keys-x2.json").read_text(encoding="utf-8"))
FACTORS = {"down2": 1 / 2, "down3": 1 / 3, "down4": 1 / 4, "up2": 2, "up3": 3, "up4": 4}
ATOL = 1e-5


def entries() -> list[Any]:
    return [pytest.param(entry, id=entry["file"]) for entry in ENTRIES]


def assert_parity(parity: Parity, *compared: str) -> None:
    assert tuple(parity.differences) == compared
    assert parity.passed, parity.differences


@pytest.mark.parametrize("entry", entries())
def test_the_released_output_gradient_and_loss_come_out(entry: dict[str, Any]) -> None:
    compared = ("output",) if entry["level"] == "network" else ("output", "gradient")
    also = {"module-enlca-train": ("loss",), "module-lcoa-base": ("shared", "weights", "log mass")}
    assert_parity(compare(HERE, entry), *compared, *also.get(entry["file"].removesuffix(".safetensors"), ()))


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if has_fused(entry)], ids=lambda e: e["file"])
def test_fused_attention_gives_the_released_output_gradient_and_loss(entry: dict[str, Any]) -> None:
    parity = compare(HERE, entry, backend="fused")
    assert parity.passed, parity.differences
    assert parity.differences.keys() == compare(HERE, entry).differences.keys()


def test_all_have_a_fused_twin_but_those_that_hold_their_matrix_or_none() -> None:
    assert {entry["kind"] for entry in ENTRIES if not has_fused(entry)} == {"hspa", "hspan", "edsr"}


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry["level"] == "network"], ids=lambda e: e["file"])
def test_networks_have_the_released_number_of_parameters(entry: dict[str, Any]) -> None:
    network = build_network(entry["kind"], **known_settings(entry["args"]))
    assert sum(p.numel() for p in network.parameters()) == entry["params"]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("edsr", 40_729_627),
        ("nlsn", 41_796_187),
        ("enlcn", 41_223_067),
        ("dnlan", 14_930_588),
        ("lcoan", 15_668_508),
        ("dlsn", 69_842_588),
        ("dtfn", 77_369_578),
        ("hspan", 32_288_698),
    ],
)
def test_default_settings_are_the_released_ones(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = build_network(name, 2)
    assert {key: list(tensor.shape) for key, tensor in network.state_dict().items()} == RELEASED[name]
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_every_reference_is_verified() -> None:
    found = list(verify(HERE))
    each = [entry["kind"] for entry in ENTRIES for _ in range(1 + has_fused(entry))]
    assert [parity.method for parity in found] == each + list(RELEASED)
    assert all(parity.passed for parity in found)
    assert {parity.method for parity in found} == {*ATTENTIONS, *NETWORKS} - {"nln"}


def test_a_difference_is_seen(tmp_path: Path) -> None:
    """Each tensor that is compared is disturbed in turn."""
    entry = next(entry for entry in ENTRIES if entry["file"] == "module-lcoa-base.safetensors")
    for name in ("output", "grad_input", "output2", "attention_map", "bucket_score"):
        tensors = load_file(HERE / entry["file"])
        tensors[name].view(-1)[0] += 1e-3
        save_file(tensors, tmp_path / entry["file"])
        failed = [what for what, difference in compare(tmp_path, entry).differences.items() if difference > 1e-5]
        assert len(failed) == 1, name


def test_not_a_number_is_no_parity() -> None:
    assert not Parity(reference="r", method="m", differences={"output": float("nan")}).passed


def test_a_folder_without_references_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no reference tensors at"):
        next(verify(tmp_path))


def test_the_mean_colour_is_the_released_one() -> None:
    entry = next(entry for entry in ENTRIES if entry["kind"] == "edsr")
    ours, theirs = build_network("edsr", **entry["args"]).state_dict(), load_file(HERE / entry["file"])
    for key in ("sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias"):
        torch.testing.assert_close(ours[key], theirs[f"state.{key}"], rtol=0, atol=0)


def test_every_reference_file_is_used() -> None:
    assert {path.name for path in HERE.glob("*.safetensors")} == {entry["file"] for entry in ENTRIES}
    assert all(math.isinf(entry["margin"]) or entry["margin"] > ATOL for entry in ENTRIES)


@pytest.mark.parametrize("name", FACTORS)
def test_imresize_equals_the_public_port(name: str) -> None:
    with np.load(HERE / "imresize-reference.npz") as reference:
        image, expected = reference[f"{name}.input"], reference[f"{name}.output"]
    np.testing.assert_array_equal(imresize(image, FACTORS[name]), expected)
