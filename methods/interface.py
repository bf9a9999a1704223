"""What a method is, as the harness sees it.

`Plugin` is the whole contract: anything with these attributes can stand in a grid, built in or named as
`"package.module:METHOD"`. `Method` is the plug-in made of a trunk and an attention recipe.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from methods.settings import Scalar, settings_of, unknown_name, with_settings

SCALES = (2, 3, 4)


class NonLocal(nn.Module):
    """An attention module `x [b c h w] -> y [b c h w]`; the type by which the profiler finds attention in a network."""


class Recipe(Protocol):
    """A frozen choice of parts and numbers that builds one attention module."""

    def build(self, channels: int) -> NonLocal:
        """The module for feature maps of `channels` channels."""


class Trunk(Protocol):
    """A frozen choice of sizes that builds a network with a recipe's attention in its slots."""

    def build(self, scale: int, recipe: Recipe | None) -> nn.Module:
        """The network `[b 3 h w] -> [b 3 scale*h scale*w]`, both in [0, 1]."""


@runtime_checkable
class Plugin(Protocol):
    """What the harness needs of a method, published or foreign."""

    name: str
    title: str
    trainable: bool
    """False for a method without weights to learn, such as an interpolation."""
    execution: frozenset[str]
    """Settings that change how the function is computed, never which function: they share trained weights."""

    def settings(self) -> dict[str, Scalar]:
        """Every setting with its default."""

    def build(self, scale: int, settings: Mapping[str, Scalar]) -> nn.Module:
        """The network `[b 3 h w] -> [b 3 scale*h scale*w]`, both in [0, 1]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """A published network: a trunk with a recipe in its attention slots.

    `code` names the repository the arithmetic was checked against; `order` is the declared cost of the attention in
    the number of positions `n = h*w`; `deviations` lists in one sentence each where we differ from paper or code.
    """

    name: str
    title: str
    paper: str
    code: str
    trunk: Trunk
    recipe: Recipe | None = None
    order: str = "n"
    min_positions: int = 1
    deviations: tuple[str, ...] = ()
    execution: frozenset[str] = frozenset()
    trainable: bool = True

    def settings(self) -> dict[str, Scalar]:
        """Every setting of trunk and recipe with its released value."""
        return settings_of(self.trunk, self.recipe)

    def build(self, scale: int, settings: Mapping[str, Scalar]) -> nn.Module:
        """The network at `scale`, with `settings` replacing released values.

        Raises:
            ValueError: an unknown scale or setting, or a value that the trunk or the recipe refuses.
        """
        if scale not in SCALES:
            raise ValueError(f"scale must be one of {SCALES}, not {scale!r}")
        known = self.settings()
        for name in settings:
            if name not in known:
                raise unknown_name(f"setting of {self.name}", name, known)
        recipe = with_settings(self.recipe, settings) if self.recipe is not None else None
        return with_settings(self.trunk, settings).build(scale, recipe)


def tokens(x: Tensor) -> Tensor:
    """Feature map `[b c h w]` as tokens `[b h*w c]`, pixels in row-major order."""
    return x.flatten(2).transpose(1, 2)


def feature_map(x: Tensor, like: Tensor) -> Tensor:
    """Tokens `[b h*w c]` as a feature map of `like`'s height and width."""
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], *like.shape[-2:])


def reduced(channels: int, reduction: int) -> int:
    """Channels of a match embedding, `channels // reduction`.

    Raises:
        ValueError: none would be left.
    """
    if channels < reduction:
        raise ValueError(f"reduction {reduction} leaves no channel of {channels}")
    return channels // reduction


def Conv2d(inputs: int, outputs: int, size: int) -> nn.Conv2d:  # noqa: N802 - stands for the class it configures
    """A convolution with bias, stride 1 and "same" zero padding, as every convolution here."""
    return nn.Conv2d(inputs, outputs, size, padding=size // 2)
