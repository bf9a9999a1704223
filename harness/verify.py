"""Parity: every method against reference tensors that the authors' released code computed.

A folder of references holds `index.json` (what was built, from which settings and seed) and one safetensors file for
each entry: weights, input, output, and for single attentions the gradient of `sum(output * cotangent)` with respect to
the input. `released-keys-x2.json` lists keys and shapes of the released networks.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from harness.errors import UserError
from methods import build_attention, build_network
from methods.fit import shapes_of
from methods.interface import Carry, NonLocal
from methods.settings import settings_of

TOLERANCE = 1e-5
NO_SETTINGS = frozenset({"topk"})
"""What the released code is told of how to search, and ours needs not: the result is the same."""
Tensors = dict[str, Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parity:
    """Largest absolute differences to one reference; by what was compared: output, gradient, loss, keys."""

    reference: str
    method: str
    differences: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether every difference is within 1e-5; not a number is not."""
        return all(difference <= TOLERANCE for difference in self.differences.values())


def verify(folder: Path) -> Iterator[Parity]:
    """Compare with every reference in `folder`, then keys and shapes of the released networks.

    Raises:
        UserError: there are no references in `folder`.
    """
    if not (index := folder / "index.json").is_file():
        raise UserError(f"no reference tensors at {folder}: they come with a checkout, in tests/golden")
    for entry in json.loads(index.read_text(encoding="utf-8")):
        yield compare(folder, entry)
        if has_fused(entry):
            yield compare(folder, entry, backend="fused")
    released = json.loads((folder / "released-keys-x2.json").read_text(encoding="utf-8"))
    for name, shapes in released.items():
        yield _compare_keys(name, shapes)


def compare(folder: Path, entry: Mapping[str, Any], **execution: str) -> Parity:
    """Build what `entry` of the index describes, load its weights, run it once, and compare."""
    tensors = load_file(folder / entry["file"])
    module: Any = _built(entry, execution)
    module.train(entry.get("train_mode", False)).load_state_dict(_taken(tensors, "state."))
    x = tensors["input"].requires_grad_()
    torch.manual_seed(entry["forward_seed"])
    output = module(x)
    differences = {"output": _difference(output, tensors["output"])}
    if "cotangent" in tensors:
        (gradient,) = torch.autograd.grad(output, x, tensors["cotangent"], retain_graph=True)
        differences["gradient"] = _difference(gradient, tensors["grad_input"])
    if "contrastive_loss" in tensors:
        differences["loss"] = _difference(module.contrastive_loss, tensors["contrastive_loss"].squeeze())
    if "output2" in tensors:
        differences |= _shared(module, entry, tensors, execution)
    reference = " ".join([entry["file"].removesuffix(".safetensors"), *execution.values()])
    return Parity(reference=reference, method=entry["kind"], differences=differences)


def has_fused(entry: Mapping[str, Any]) -> bool:
    """Whether what `entry` describes has attention with a choice of backend."""
    with torch.device("meta"):
        recipes = [module.recipe for module in _built(entry, {}).modules() if isinstance(module, NonLocal)]
    return any("backend" in settings_of(recipe) for recipe in recipes)


def _built(entry: Mapping[str, Any], execution: Mapping[str, Any]) -> nn.Module:
    if entry["level"] == "network":
        return build_network(entry["kind"], **known_settings(entry["args"]), **execution)
    settings = known_settings(entry["hyperparameters"])
    channels = settings.pop("channel", None) or settings.pop("channels")
    return build_attention(entry["kind"], channels, **settings, **execution)


def known_settings(told: Mapping[str, Any]) -> dict[str, Any]:
    """What a reference was built from, as far as it is a setting here."""
    return {name: value for name, value in told.items() if name not in NO_SETTINGS}


def _shared(
    first: nn.Module, entry: Mapping[str, Any], tensors: Tensors, execution: Mapping[str, str]
) -> dict[str, float]:
    """LCoA's collaboration: a second attention that is fed with the first one's output and reuses its affinity."""
    second, carry = _built(entry, execution).eval(), Carry()
    second.load_state_dict(_taken(tensors, "state2."))
    output = second(first(tensors["input"], carry), carry)
    affinity: Any = carry.affinity
    return {
        "shared": _difference(output, tensors["output2"]),
        "weights": _difference(affinity.weights, tensors["attention_map"]),
        "log mass": _difference(affinity.lse.flatten(2), tensors["bucket_score"]),
    }


def _compare_keys(name: str, shapes: Mapping[str, list[int]]) -> Parity:
    """How many keys of the released network at scale 2 are missing here, unexpected, or of another shape."""
    with torch.device("meta"):
        ours = shapes_of(build_network(name, 2).state_dict())
    theirs = {key: tuple(shape) for key, shape in shapes.items()}
    unlike = len(ours.items() ^ theirs.items())
    return Parity(reference=f"released-{name}-x2", method=name, differences={"keys": float(unlike)})


def _taken(tensors: Tensors, prefix: str) -> Tensors:
    return {key.removeprefix(prefix): tensors.pop(key) for key in list(tensors) if key.startswith(prefix)}


def _difference(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float((ours.detach() - theirs).abs().max())
