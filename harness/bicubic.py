"""The baseline of every table: MATLAB's bicubic enlargement, as a plug-in without weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from datasets.resize import taps
from harness.grid_tables import Scalar
from methods.interface import RELEASED

LEVELS = 255.0


class BicubicMethod:
    """Bicubic interpolation in the place of a network; it has no settings and no trunk."""

    name = "bicubic"
    title = "Bicubic"
    trainable = False
    execution: frozenset[str] = frozenset()

    def settings(self, chosen: Mapping[str, Scalar] = RELEASED) -> dict[str, Scalar]:  # noqa: ARG002 - none to choose
        """None at all."""
        return {}

    def build(self, scale: int, settings: Mapping[str, Scalar]) -> nn.Module:
        """The enlargement by `scale`.

        Raises:
            ValueError: a setting was given.
        """
        if settings:
            raise ValueError(f"bicubic has no settings, so no {next(iter(settings))!r} either")
        return Bicubic(scale)


class Bicubic(nn.Module):
    """`[b 3 h w] -> [b 3 scale*h scale*w]`, equal to `datasets.imresize` on 8-bit images."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Rows first, then columns, on 0-255 values."""
        levels = _rounded(x.double() * LEVELS)
        for axis in (-2, -1):
            levels = _rounded(self._enlarged(levels, axis))
        return (levels / LEVELS).to(x.dtype)

    def _enlarged(self, x: Tensor, axis: int) -> Tensor:
        plan = taps(int(x.shape[axis]), float(self.scale))
        source = torch.as_tensor(plan.source, device=x.device)
        weight = torch.as_tensor(plan.weight, device=x.device)
        shape = (-1, 1) if axis == -2 else (-1,)  # noqa: PLR2004 - the axis of rows
        terms = (weight[:, k].view(shape) * x.index_select(axis, source[:, k]) for k in range(source.shape[1]))
        return torch.stack(list(terms)).sum(dim=0)


def _rounded(x: Tensor) -> Tensor:
    return (x + 0.5).floor().clamp(0, LEVELS)


METHOD = BicubicMethod()
