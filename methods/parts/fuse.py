"""Fusions: how the attention's result joins the stream."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from torch import Tensor


class Fuse(Protocol):
    """Joins the stream `x [b c h w]` and the attention's result `[b c h w]`."""

    def fuse(self, x: Tensor, merged: Tensor) -> Tensor:
        """The module's output `[b c h w]`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualAdd:
    """`x + res_scale * merged`."""

    res_scale: float = 1.0

    def fuse(self, x: Tensor, merged: Tensor) -> Tensor:
        """The module's output `[b c h w]`."""
        return x + self.res_scale * merged
