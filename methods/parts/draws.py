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
        return kind(shape, generator=generator, dtype=torch.float32).to(like.device)
    return kind(shape, dtype=torch.promote_types(like.dtype, torch.float32), device=like.device)


class Axes(nn.Module):
    """Keeps the axes of a frozen draw, once for each layout and device that was ever asked for.

    What is drawn depends on `seed` and the layout alone, so a network rebuilt from its weights hashes as before. They
    are no buffers, because a module that is turned to half precision would round them, and hash otherwise.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.kept: dict[tuple[Any, torch.device], Tensor] = {}

    def drawn(self, drawer: Drawer, match: Tensor, layout: Any) -> Tensor:
        """The axes for `layout`, drawn the first time."""
        key = (layout, match.device)
        if key not in self.kept:
            with torch.inference_mode(mode=False):
                self.kept[key] = drawer(match, layout, torch.Generator().manual_seed(self.seed))
        return self.kept[key]
