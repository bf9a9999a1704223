"""A network whose attentions do nothing: what it saves of the time is what attention takes, seen from outside."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from methods.interface import Carry, NonLocal, attention_modules


class PassThrough(NonLocal):
    """`y = x`, in an attention's place."""

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:  # noqa: ARG002 - as every attention
        """`x [b c h w] -> x`."""
        return x


def bypassed(network: nn.Module) -> nn.Module:
    """A copy of `network` with `PassThrough` for every attention; the weights of all else are shared, not copied."""
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    copied = copy.deepcopy(network, shared)
    for name in attention_modules(copied):
        parent, _, child = name.rpartition(".")
        setattr(copied.get_submodule(parent), child, PassThrough())
    return copied
