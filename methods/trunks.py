"""Trunks: the residual networks that carry the attention, with the released state-dict keys."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from methods.interface import Conv2d, Recipe
from methods.settings import require_positive

RGB_MEAN = (0.4488, 0.4371, 0.4040)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualTrunk:
    """EDSR's flat body of residual blocks (Lim et al., CVPRW 2017), an attention first and after every 8th block.

    Without a recipe the body is EDSR's own. `res_scale` scales each block's branch.
    """

    n_feats: int = 256
    n_resblocks: int = 32
    res_scale: float = 0.1
    attention_every: int = 8

    def __post_init__(self) -> None:
        require_positive(self, "n_feats", "n_resblocks", "attention_every")

    def build(self, scale: int, recipe: Recipe | None) -> nn.Module:
        """The network at `scale`."""
        body: list[nn.Module] = [] if recipe is None else [recipe.build(self.n_feats)]
        for block in range(self.n_resblocks):
            body.append(ResidualBlock(self.n_feats, self.res_scale))
            if recipe is not None and (block + 1) % self.attention_every == 0:
                body.append(recipe.build(self.n_feats))
        body.append(Conv2d(self.n_feats, self.n_feats, 3))
        return SuperResolver(self.n_feats, nn.Sequential(*body), scale)


class SuperResolver(nn.Module):
    """`add_mean(tail(f + body(f)))` with `f = head(sub_mean(x))`: `[b 3 h w] -> [b 3 scale*h scale*w]`, not clamped."""

    def __init__(self, channels: int, body: nn.Module, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean = MeanShift(-1)
        self.head = nn.Sequential(Conv2d(3, channels, 3))
        self.body = body
        self.tail = nn.Sequential(upsampler(channels, scale), Conv2d(channels, 3, 3))
        self.add_mean = MeanShift(1)

    def forward(self, x: Tensor) -> Tensor:
        """RGB in [0, 1] to RGB at `scale` times the size."""
        features = self.head(self.sub_mean(x))
        out: Tensor = self.add_mean(self.tail(features + self.body(features)))
        return out


class MeanShift(nn.Conv2d):
    """Adds `sign` times the data set's mean colour; a frozen 1x1 convolution, so that released weights load."""

    def __init__(self, sign: int) -> None:
        super().__init__(3, 3, 1)
        with torch.no_grad():
            self.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
            torch.mul(torch.tensor(RGB_MEAN), sign, out=self.bias)
        self.requires_grad_(requires_grad=False)


class ResidualBlock(nn.Module):
    """`x + res_scale * conv3x3(relu(conv3x3(x)))`, keys `body.0` and `body.2`."""

    def __init__(self, channels: int, res_scale: float) -> None:
        super().__init__()
        self.res_scale = res_scale
        self.body = nn.Sequential(Conv2d(channels, channels, 3), nn.ReLU(), Conv2d(channels, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        """One residual step."""
        branch: Tensor = self.body(x)
        return x + self.res_scale * branch


def upsampler(channels: int, scale: int) -> nn.Sequential:
    """Pixel shuffle in steps of 2 (scale 2, 4) or one of 3, each after a 3x3 convolution; keys `0`, `2`."""
    steps = [3] if scale == 3 else [2] * (scale.bit_length() - 1)  # noqa: PLR2004 - the scale itself
    layers: list[nn.Module] = []
    for step in steps:
        layers += [Conv2d(channels, channels * step**2, 3), nn.PixelShuffle(step)]
    return nn.Sequential(*layers)
