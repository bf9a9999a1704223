"""The group trunk under the names that LCoAN's released checkpoints give to its layers."""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from methods.interface import Carry, Conv2d, Recipe
from methods.trunks import Chain, Group, GroupTrunk, ResidualBlock, SuperResolver, with_unused_scalar


@dataclasses.dataclass(frozen=True, kw_only=True)
class CollaborativeTrunk(GroupTrunk):
    """Computes what `GroupTrunk` does; keys `body.{g}.local_body`, `.attention.0`, `.m_conv.0`, and `m_conv.0`."""

    def build(self, scale: int, recipe: Recipe | None) -> nn.Module:
        """The network at `scale`."""
        groups = Chain(*(self.group(recipe) for _ in range(self.n_resgroups)))
        return with_unused_scalar(CollaborativeResolver(self.n_feats, groups, scale))

    def group(self, recipe: Recipe | None) -> nn.Module:
        """One group; without a recipe it has no attention."""
        attention = [] if recipe is None else [recipe.build(self.n_feats)]
        blocks = [ResidualBlock(self.n_feats, 1.0) for _ in range(self.n_resblocks)]
        return CollaborativeGroup(Chain(*blocks), Chain(*attention), self.n_feats, self.res_scale)


class CollaborativeGroup(Group):
    """A group whose three steps have names."""

    def __init__(self, blocks: Chain, attention: Chain, channels: int, res_scale: float) -> None:
        nn.Module.__init__(self)
        self.res_scale = res_scale
        self.local_body, self.attention = blocks, attention
        self.m_conv = nn.Sequential(Conv2d(channels, channels, 3))

    def branch(self, x: Tensor, carry: Carry) -> Tensor:
        """Blocks, attention, convolution."""
        out: Tensor = self.m_conv(self.attention(self.local_body(x), carry))
        return out


class CollaborativeResolver(SuperResolver):
    """A network whose last convolution before the tail has a name of its own."""

    def __init__(self, channels: int, groups: Chain, scale: int) -> None:
        super().__init__(channels, groups, scale)
        self.m_conv = nn.Sequential(Conv2d(channels, channels, 3))

    def deep(self, features: Tensor) -> Tensor:
        """What groups and last convolution make of the head's features."""
        out: Tensor = self.m_conv(self.body(features))
        return out
