"""Values: what a token passes on to those that attend to it."""

from __future__ import annotations

import dataclasses

from torch import nn

from methods.interface import Conv2d
from methods.parts import Part, Sizes
from methods.parts.deformable import ModulatedDeformableConv


@dataclasses.dataclass(frozen=True, kw_only=True)
class Value(Part):
    """A map `[b c h w] -> [b c h w]`, kept in the attention under the key `conv_assembly`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pointwise(Value):
    """A 1x1 convolution, key `conv_assembly.0`."""

    def layers(self, sizes: Sizes) -> dict[str, nn.Module]:
        """The convolution."""
        return {"conv_assembly": nn.Sequential(Conv2d(sizes.channels, sizes.channels, 1))}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spatial(Value):
    """A `k_size x k_size` convolution and a ReLU, key `conv_assembly.0`."""

    def layers(self, sizes: Sizes) -> dict[str, nn.Module]:
        """The convolution and the ReLU."""
        return {"conv_assembly": nn.Sequential(Conv2d(sizes.channels, sizes.channels, sizes.k_size), nn.ReLU())}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deformable(Value):
    """A modulated deformable 3x3 convolution, keys `conv_assembly.{offset,modulator,regular}_conv`."""

    def layers(self, sizes: Sizes) -> dict[str, nn.Module]:
        """The convolution."""
        return {"conv_assembly": ModulatedDeformableConv(sizes.channels)}
