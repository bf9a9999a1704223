"""Trunks: the residual networks that carry the attention, with the released state-dict keys."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor, nn

from methods.interface import Carry, Conv2d, NonLocal, Recipe
from methods.settings import require_at_most, require_positive

RGB_MEAN = (0.4488, 0.4371, 0.4040)
MOST_BLOCKS = 1000
"""Some fifty times what papers have; planning builds a network to know it, and a grid may say a million."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualTrunk:
    """EDSR's flat body of residual blocks (Lim et al., CVPRW 2017), an attention first and after every 8th block.

    Without a recipe the body is EDSR's own, and `attention_every` no setting. `res_scale` scales each block's branch.
    """

    of_attention: ClassVar = frozenset({"attention_every"})

    n_feats: int = 256
    n_resblocks: int = 32
    res_scale: float = 0.1
    attention_every: int = 8

    def __post_init__(self) -> None:
        require_positive(self, "n_feats", "n_resblocks", "attention_every")
        require_at_most(self, MOST_BLOCKS, "n_resblocks")

    def build(self, scale: int, recipe: Recipe | None) -> nn.Module:
        """The network at `scale`."""
        body: list[nn.Module] = [] if recipe is None else [recipe.build(self.n_feats)]
        for block in range(self.n_resblocks):
            body.append(ResidualBlock(self.n_feats, self.res_scale))
            if recipe is not None and (block + 1) % self.attention_every == 0:
                body.append(recipe.build(self.n_feats))
        body.append(Conv2d(self.n_feats, self.n_feats, 3))
        return SuperResolver(self.n_feats, Chain(*body), scale)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupTrunk:
    """Groups of local blocks, each group with an attention near its end: the trunk of DNLAN, DLSN, DTFN and HSPAN.

    A group returns `x + res_scale * conv3x3(attention(blocks(x)))`; its blocks are residual with scale 1.
    """

    of_attention: ClassVar = frozenset[str]()

    n_feats: int = 256
    n_resgroups: int = 10
    n_resblocks: int = 4
    res_scale: float = 0.1

    def __post_init__(self) -> None:
        require_positive(self, "n_feats", "n_resgroups", "n_resblocks")
        require_at_most(self, MOST_BLOCKS, "n_resgroups", "n_resblocks")

    def build(self, scale: int, recipe: Recipe | None) -> nn.Module:
        """The network at `scale`."""
        groups = [self.group(recipe) for _ in range(self.n_resgroups)]
        network = SuperResolver(self.n_feats, Chain(*groups, Conv2d(self.n_feats, self.n_feats, 3)), scale)
        return with_unused_scalar(network)

    def group(self, recipe: Recipe | None) -> nn.Module:
        """One group; without a recipe it has no attention."""
        attention = [] if recipe is None else [recipe.build(self.n_feats)]
        blocks = (ResidualBlock(self.n_feats, 1.0) for _ in range(self.n_resblocks))
        return Group(Chain(*blocks, *attention, Conv2d(self.n_feats, self.n_feats, 3)), self.res_scale)


TRUNKS = {"residual": ResidualTrunk(), "group": GroupTrunk()}


class Chain(nn.Sequential):
    """Layers in sequence; those that hold attention are handed the `carry` of this forward."""

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:
        """`[b c h w] -> [b c h w]`."""
        carry = carry or Carry()
        for layer in self:
            x = layer(x, carry) if isinstance(layer, NonLocal | Chain | Group) else layer(x)
        return x


class Group(nn.Module):
    """`x + res_scale * body(x)`."""

    def __init__(self, body: Chain, res_scale: float) -> None:
        super().__init__()
        self.body, self.res_scale = body, res_scale

    def forward(self, x: Tensor, carry: Carry) -> Tensor:
        """One residual step over a group of layers."""
        return x + self.res_scale * self.branch(x, carry)

    def branch(self, x: Tensor, carry: Carry) -> Tensor:
        """What is scaled and added."""
        out: Tensor = self.body(x, carry)
        return out


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
        out: Tensor = self.add_mean(self.tail(features + self.deep(features)))
        return out

    def deep(self, features: Tensor) -> Tensor:
        """What the body makes of the head's features."""
        out: Tensor = self.body(features)
        return out


class MeanShift(nn.Conv2d):
    """Adds `sign` times the data set's mean colour; a frozen 1x1 convolution, so that released weights load."""

    def __init__(self, sign: int) -> None:
        super().__init__(3, 3, 1)
        with torch.no_grad():
            nn.init.dirac_(self.weight)
            self.bias = nn.Parameter(torch.tensor([sign * mean for mean in RGB_MEAN]))
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


def with_unused_scalar(network: nn.Module) -> nn.Module:
    """`network` with the scalar parameter `a` that released checkpoints of group trunks hold and nothing reads."""
    network.register_parameter("a", nn.Parameter(torch.zeros(1)))
    return network


def upsampler(channels: int, scale: int) -> nn.Sequential:
    """Pixel shuffle in steps of 2 (scale 2, 4) or one of 3, each after a 3x3 convolution; keys `0`, `2`."""
    steps = [3] if scale == 3 else [2] * (scale.bit_length() - 1)  # noqa: PLR2004 - the scale itself
    layers: list[nn.Module] = []
    for step in steps:
        layers += [Conv2d(channels, channels * step**2, 3), nn.PixelShuffle(step)]
    return nn.Sequential(*layers)
