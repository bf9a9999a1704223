"""Fusions: how the attention's result joins the stream."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from methods.interface import Conv2d
from methods.parts import Layers, Part, Sizes

SQUEEZE = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fuse(Part):
    """Joins the stream `x [b c h w]` and the attention's result `merged [b c h w]`, scaled by `res_scale`."""

    res_scale: float = 1.0

    def fuse(self, layers: Layers, x: Tensor, merged: Tensor) -> Tensor:
        """The attention's output `[b c h w]`."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualAdd(Fuse):
    """`x + res_scale * merged`."""

    def fuse(self, layers: Layers, x: Tensor, merged: Tensor) -> Tensor:  # noqa: ARG002 - no weights
        """The attention's output `[b c h w]`."""
        return torch.add(x, merged, alpha=self.res_scale)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextureFidelity(Fuse):
    """`x + res_scale * shrink(z + fusion(z))` with `z = concat(x, merged)`: DTFN's texture-fidelity block.

    It weighs channels by their contrast and mixes stream and attention, so that attention can be held back where it
    would harm the texture (DTFN, 2024).
    """

    def layers(self, sizes: Sizes) -> dict[str, nn.Module]:
        """`fusion.0.0.conv_du`, `fusion.0.1.body`, `fusion.0.2.body`, `shrink.0`."""
        both = 2 * sizes.channels
        steps = (ContrastAttention(both), PointwiseResidual(both), PointwiseResidual(both))
        return {
            "fusion": nn.Sequential(nn.Sequential(*steps)),
            "shrink": nn.Sequential(Conv2d(both, sizes.channels, 1)),
        }

    def fuse(self, layers: Layers, x: Tensor, merged: Tensor) -> Tensor:
        """The attention's output `[b c h w]`."""
        z = torch.cat([x, merged], dim=1)
        out: Tensor = layers["shrink"](z + layers["fusion"](z))
        return x + self.res_scale * out


class ContrastAttention(nn.Module):
    """`x * sigmoid(conv_du(mean + std))` over space, population standard deviation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < SQUEEZE:
            raise ValueError(f"texture fidelity needs at least {SQUEEZE // 2} channels, not {channels // 2}")
        inner = channels // SQUEEZE
        self.conv_du = nn.Sequential(Conv2d(channels, inner, 1), nn.ReLU(), Conv2d(inner, channels, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """`[b c h w] -> [b c h w]`."""
        deviation, mean = _std_mean(x)
        gate: Tensor = self.conv_du(deviation + mean)
        return x * gate


class PointwiseResidual(nn.Module):
    """`x + conv1x1(relu(conv1x1(x)))` through half the channels, keys `body.0` and `body.2`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(Conv2d(channels, channels // 2, 1), nn.ReLU(), Conv2d(channels // 2, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`[b c h w] -> [b c h w]`."""
        branch: Tensor = self.body(x)
        return x + branch


def _std_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    """Population standard deviation and mean over space, `[b c 1 1]`; the gradient of a constant channel is 0."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(2, 3), keepdim=True)
    flat = variance == 0
    deviation = torch.where(flat, torch.ones_like(variance), variance).sqrt()
    return torch.where(flat, torch.zeros_like(variance), deviation), mean


FUSES = {"add": ResidualAdd(), "texture": TextureFidelity()}
