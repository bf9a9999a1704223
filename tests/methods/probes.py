"""Attention measured from outside: its matrix, read off what a forward makes of values that name their position."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from methods.interface import attention_modules, tokens
from methods.parts.fuse import ResidualAdd


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that an operation made."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.elements = max([self.elements, *(t.numel() for t in tree_leaves(out) if isinstance(t, Tensor))])
        return out


def sharpen(network: nn.Module, factor: float) -> None:
    """Spread the scores of every attention wide enough to matter, as they are after training."""
    with torch.no_grad():
        for module in attention_modules(network).values():
            for key, parameter in module.named_parameters():
                parameter.mul_(factor if key.startswith("conv_match") else 1)


def mixed(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The matrix `[b l l]` by which each attention mixes values in a coming forward, filled in while that runs.

    The value of position `j` is made one in channel `j`, and what is merged is added to the stream: there must be as
    many channels as positions in `x [b c h w]`.
    """
    found: dict[str, Tensor] = {}
    values = torch.eye(x.shape[-2] * x.shape[-1]).to(x).unflatten(1, x.shape[-2:]).expand(len(x), -1, -1, -1)
    for name, module in attention_modules(network).items():
        module.recipe = dataclasses.replace(module.recipe, fuse=ResidualAdd())
        module.conv_assembly.register_forward_hook(lambda _module, _args, _out: values)
        module.register_forward_hook(lambda _, args, out, name=name: found.update({name: tokens(out - args[0])}))
    return found
