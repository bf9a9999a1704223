"""Attentions with faults that a watch over exact costs must see."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import methods
from methods.foreign import ForeignMethod
from methods.interface import NonLocal, attention_modules

SMALL = {"n_feats": 16, "n_resblocks": 1, "chunk_size": 36}


def network(scale: int, *, fault: str) -> nn.Module:
    """NLSN, small, with one fault or none."""
    changed = {"n_hashes": 3} if fault == "round" else {}
    built = methods.method("nlsn").build(scale, {**SMALL, **changed})
    for module in attention_modules(built).values():
        if fault == "temporary":
            module.register_forward_hook(_temporary)
        if fault == "channels":
            module.register_forward_hook(_twice)
    return built


def _temporary(_: NonLocal, arguments: tuple[Any, ...], y: Tensor) -> Tensor:
    """A matrix of all positions against all, of which nothing comes."""
    tokens = arguments[0].flatten(2)
    return y + 0.0 * (tokens.transpose(1, 2) @ tokens).mean()


def _twice(module: NonLocal, arguments: tuple[Any, ...], y: Tensor) -> Tensor:
    """The values computed on both copies of the input's channels."""
    doubled = torch.cat([arguments[0], arguments[0]])
    return y + 0.0 * module.layers["conv_assembly"](doubled).mean()


NONE, TEMPORARY, ROUND, CHANNELS = (
    ForeignMethod(name=f"faulty-{fault}", title="NLSN", network=network, defaults={"fault": fault})
    for fault in ("none", "temporary", "round", "channels")
)
