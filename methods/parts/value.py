"""Values: what a token passes on to those that attend to it."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from torch import nn

from methods.interface import Conv2d


class Value(Protocol):
    """A map `[b c h w] -> [b c h w]` kept in the attention under the key `conv_assembly`."""

    def build(self, channels: int) -> nn.Module:
        """The module for `channels` channels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointwiseValue:
    """A 1x1 convolution, key `conv_assembly.0`."""

    def build(self, channels: int) -> nn.Module:
        """The module for `channels` channels."""
        return nn.Sequential(Conv2d(channels, channels, 1))
