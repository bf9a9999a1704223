"""Which network a state dict belongs to: sizes read from keys and shapes, then every known network tried on them.

What leaves no trace in a state dict (rounds, residual scale, chunk size without a learned score) stays as released.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from methods.catalogue import NETWORKS, method
from methods.settings import Scalar
from methods.trunks import ResidualTrunk

State = Mapping[str, Tensor]
Shapes = dict[str, tuple[int, ...]]
SHOWN = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """A network that a state dict fits exactly; `settings` are those that differ from the released ones."""

    name: str
    scale: int
    settings: Mapping[str, Scalar]

    def __str__(self) -> str:
        told = "".join(f", {name} = {value}" for name, value in self.settings.items())
        return f"{self.name} at scale {self.scale}{told}"

    def build(self) -> nn.Module:
        """The network, with weights of its own."""
        return method(self.name).build(self.scale, self.settings)


def fit(state: State) -> Fit | None:
    """The network of the catalogue whose keys and shapes are those of `state`; None if there is none."""
    found = nearest_fit(state)
    return found[0] if found and not found[1] else None


def nearest_fit(state: State) -> tuple[Fit, list[str]] | None:
    """The network that `state` comes nearest to, and what sets them apart; None if it is not of this family."""
    theirs = shapes_of(state)
    sizes = _sizes(theirs)
    scale = sizes.pop("scale", 0)
    found: list[tuple[Fit, list[str]]] = []
    for name in NETWORKS if scale else ():
        released = method(name).settings()
        settings = {k: v for k, v in sizes.items() if k in released and released[k] != v}
        ours = _shapes(name, scale, settings)
        if ours is not None:
            found.append((Fit(name=name, scale=scale, settings=settings), misfits(ours, theirs)))
    return min(found, key=lambda each: len(each[1]), default=None)


def misfits(ours: Shapes, theirs: Shapes) -> list[str]:
    """What a network's shapes and a file's have not in common, key by key, in words."""
    problems = [f"missing {key} {shape}" for key, shape in ours.items() if key not in theirs]
    problems += [f"unexpected {key} {shape}" for key, shape in theirs.items() if key not in ours]
    shared = ((key, shape, theirs[key]) for key, shape in ours.items() if key in theirs)
    return problems + [f"{key} is {there} in the file, {here} here" for key, here, there in shared if here != there]


def first_of(problems: list[str]) -> str:
    """The first few of `problems`, and how many more there are."""
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return "; ".join(problems[:SHOWN]) + more


def shapes_of(state: State) -> Shapes:
    """The shape of each tensor by key."""
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def _shapes(name: str, scale: int, settings: Mapping[str, Scalar]) -> Shapes | None:
    """What the network's state dict would hold; None if it cannot be built."""
    try:
        with torch.device("meta"):
            return shapes_of(method(name).build(scale, settings).state_dict())
    except ValueError:
        return None


def _sizes(shapes: Shapes) -> dict[str, int]:
    """Scale and settings as far as the shapes tell them; only weights have several axes, in a file that is honest."""
    shapes = {key: shape for key, shape in shapes.items() if len(shape) > 1}
    if "head.0.weight" not in shapes:
        return {}
    channels = shapes["head.0.weight"][0]
    found = {"n_feats": channels, **_scale(shapes, channels), **_depth(shapes)}
    attention = {key: shape for key, shape in shapes.items() if key.startswith("body.")}
    for suffix, axis, setting in (
        ("conv_match.0.weight", 0, "reduction"),
        ("conv_match1.0.weight", 0, "reduction"),
        ("conv_match.0.weight", -1, "k_size"),
        ("fc.2.weight", 0, "chunk_size"),
        ("kmeans.means", 0, "n_hashes"),
        ("kmeans.means", 1, "n_clusters"),
        ("attn_fn.projection_matrix", 0, "n_features"),
    ):
        shape = next((shape for key, shape in attention.items() if key.endswith(f".{suffix}")), None)
        if shape and shape[axis]:
            found[setting] = channels // shape[axis] if setting == "reduction" else shape[axis]
    return found


def _scale(shapes: Shapes, channels: int) -> dict[str, int]:
    """From the upsampler's convolutions: two make 4, one makes 2 or 3."""
    if "tail.0.2.weight" in shapes:
        return {"scale": 4}
    outputs = shapes.get("tail.0.0.weight", (0,))[0]
    scale = next((side for side in (2, 3) if outputs == side**2 * channels), 0)
    return {"scale": scale}


def _depth(shapes: Shapes) -> dict[str, int]:
    """How many groups and blocks there are, and after how many blocks an attention comes."""
    groups = _places(shapes, r"body\.(\d+)\.(?:local_body|body\.\d+\.body)\.\d+\.")
    blocks = _places(shapes, r"body\.0\.(?:local_body|body)\.(\d+)\.body\.0\.weight")
    if groups and blocks:
        return {"n_resgroups": len(groups), "n_resblocks": len(blocks)}
    attentions = sorted(_places(shapes, r"body\.(\d+)\.conv_assembly\."))
    flat = {"n_resblocks": len(_places(shapes, r"body\.(\d+)\.body\.0\.weight"))}
    if len(attentions) > 1:
        flat["attention_every"] = attentions[1] - attentions[0] - 1
    elif attentions and flat["n_resblocks"] >= ResidualTrunk.attention_every:
        flat["attention_every"] = flat["n_resblocks"] + 1  # one alone: any interval longer than the trunk has it
    return flat


def _places(shapes: Shapes, pattern: str) -> set[int]:
    return {int(match[1]) for key in shapes if (match := re.match(pattern, key))}
