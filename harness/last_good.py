"""The last weights that were finite, kept while training goes on: what is left when a training diverges."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


class LastGood:
    """A copy of `network`'s state on its device; made again in memory that was taken once.

    Tensors of one type lie side by side, so that a look at all of them is one operation, and one wait for a GPU.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._room, self._spare = (_Room(network.state_dict()) for _ in range(2))
        self._room.fill(network.state_dict())

    def renew(self) -> bool:
        """Take the present state, if all of it is finite; whether it is."""
        self._spare.fill(self._network.state_dict())
        if finite := self._spare.finite:
            self._room, self._spare = self._spare, self._room
        return finite

    def load(self, state: State) -> None:
        """Take `state`, as `state` returned it, without a look."""
        self._room.fill(state)

    def state(self) -> State:
        """A copy on the CPU."""
        return on_cpu(self._room.tensors)


class _Room:
    """Room for a copy of `state`."""

    def __init__(self, state: State) -> None:
        alike: dict[torch.dtype, list[str]] = {}
        for name, tensor in state.items():
            alike.setdefault(tensor.dtype, []).append(name)
        self._names = list(alike.values())
        self._stretches = [_stretch([state[name] for name in names]) for names in self._names]
        self.tensors: State = {}
        for names, stretch in zip(self._names, self._stretches, strict=True):
            parts = stretch.split([state[name].numel() for name in names])
            self.tensors |= {name: part.view(state[name].shape) for name, part in zip(names, parts, strict=True)}

    def fill(self, state: State) -> None:
        """Copy `state` here."""
        with torch.no_grad():
            for names in self._names:
                torch._foreach_copy_([self.tensors[name] for name in names], [state[name] for name in names])

    @property
    def finite(self) -> bool:
        """Whether every number here is finite; the largest magnitude of numbers of which one is NaN is NaN."""
        largest = [torch.linalg.vector_norm(s, math.inf) for s in self._stretches if s.is_floating_point() and len(s)]
        return bool(torch.isfinite(torch.stack([each.float() for each in largest])).all()) if largest else True


def _stretch(tensors: list[Tensor]) -> Tensor:
    like = tensors[0]
    return torch.empty(sum(tensor.numel() for tensor in tensors), dtype=like.dtype, device=like.device)


def on_cpu(state: State) -> State:
    """A copy of `state` on the CPU, each tensor by itself."""
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
