"""Random draws of the assignments: from the global generator, or seeded and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Drawer(Protocol):
    """What an assignment draws its axes with."""

    def __call__(self, match: Tensor, layout: Any, generator: torch.Generator | None) -> Tensor:
        """Axes for tokens that lie as `layout` says, from `generator` or the global one."""


def draw(
    kind: Callable[..., Tensor], shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None
) -> Tensor:
    """`kind(shape)`, such as `torch.rand`, on the device of `like`, in float32 or the type of `like` if it is wider.

    A seeded draw is made in float32 on the CPU, so that precision and device do not change it.
    """
    if generator is not None:
        return kind(shape, generator=generator).to(like.device)
    return kind(shape, dtype=torch.promote_types(like.dtype, torch.float32), device=like.device)


class Axes(nn.Module):
    """Keeps the axes of a frozen draw: one non-persistent buffer for each shape that was ever asked for.

    What is drawn depends on `seed` and the shape alone, so a network rebuilt from its weights hashes as before.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def drawn(self, drawer: Drawer, match: Tensor, layout: Any) -> Tensor:
        """The axes for `layout`, drawn the first time."""
        name = f"for_{layout.height}x{layout.width}"
        if name not in self._buffers:
            with torch.inference_mode(mode=False):
                generator = torch.Generator().manual_seed(self.seed)
                self.register_buffer(name, drawer(match, layout, generator), persistent=False)
        return self.get_buffer(name)
