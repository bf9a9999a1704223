"""What methods and harness know of each other: the plug-in, and the attention modules inside its networks.

`Plugin` is the whole contract: anything with these attributes can stand in a grid, built in or named as
`"package.module:METHOD"`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from methods.settings import Scalar

SCALES = (2, 3, 4)
RELEASED: Mapping[str, Scalar] = MappingProxyType({})
"""No setting chosen: all as released."""
BACKENDS = ("plain", "fused")
"""How an attention is computed: written out, or by a twin that gives the same and holds less in memory."""


class UnavailableError(Exception):
    """Something a method needs is not on this machine: its tasks are skipped, with this as the reason."""


@dataclasses.dataclass
class Carry:
    """What one forward of a network hands from attention to attention: how many came before, and a shared affinity.

    While it is `looked_at`, a shared affinity brings along what it was scored from, which costs memory.
    """

    attentions: int = 0
    affinity: object = None
    looked_at: bool = False


class Look(NamedTuple):
    """Whom queries attend to, as one forward does it; q queries, l tokens. Made by `NonLocal.look`.

    `weights [b q l]`, the share of its attention that a query gives to each token, all rounds and repeats together:
    none is negative and rows sum to one. `scores [b q l]`, the inner product of the query with every key, as dense
    attention would have it for logits. `reached [b q l]`, bool: the tokens that the method lets the query attend to,
    decided by its rule and not by `weights > 0`, since a weight may underflow.
    """

    weights: Tensor
    scores: Tensor
    reached: Tensor


class NonLocal(nn.Module):
    """An attention module `x [b c h w] -> y [b c h w]`; the type by which the harness finds attention in a network.

    A network passes every attention of one forward the same `carry`; alone, a module needs none.
    """

    @property
    def layers(self) -> dict[str, nn.Module]:
        """The layers of this module by the first component of their state-dict keys."""
        return dict(self.named_children())

    def begin_step(self, step: int, steps: int) -> None:
        """Told by the training loop before each step, `step` from 0 to `steps - 1`; most modules do not care."""

    def look(self, x: Tensor, queries: Tensor, carry: Carry | None = None) -> Look:
        """Whom the tokens `queries [q]` of `x [b c h w]` attend to; changes neither this module nor `carry`.

        It draws what a forward draws, from the same generator. `methods.look.looking` puts the generator back.

        Raises:
            NotImplementedError: this attention does not tell.
            ValueError: a query is no token of `x`, or `carry` brings an affinity that was made without a look at it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not tell whom it attends to")

    def training_loss(self) -> Tensor | None:
        """What the last forward adds to the loss, weighted; None for modules that learn from the image alone."""
        return None


class Recipe(Protocol):
    """A frozen choice of parts and numbers that builds one attention module."""

    def build(self, channels: int) -> NonLocal:
        """The module for feature maps of `channels` channels."""


class Trunk(Protocol):
    """A frozen choice of sizes that builds a network with a recipe's attention in its slots.

    `of_attention` names those settings that mean nothing without attention.
    """

    of_attention: ClassVar[frozenset[str]]

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

    def settings(self, chosen: Mapping[str, Scalar] = RELEASED) -> dict[str, Scalar]:
        """Every setting with its value when `chosen` replace released ones."""

    def build(self, scale: int, settings: Mapping[str, Scalar]) -> nn.Module:
        """The network `[b 3 h w] -> [b 3 scale*h scale*w]`, both in [0, 1]."""


@runtime_checkable
class FromFile(Protocol):
    """A plug-in whose weights file holds the architecture too: it has no network without one."""

    def open(self, scale: int, file: Path) -> nn.Module:
        """The network in `file`.

        Raises:
            ValueError: the file holds no network of this scale.
            UnavailableError: a library that reads it is missing.
        """


def attention_modules(network: nn.Module) -> dict[str, NonLocal]:
    """The attention modules of a network by name, those inside another left out."""
    found: dict[str, NonLocal] = {}
    for name, module in network.named_modules():
        inside = any(name.startswith(f"{outer}.") or not outer for outer in found)
        if isinstance(module, NonLocal) and not inside:
            found[name] = module
    return found


def attention_loss(network: nn.Module) -> Tensor | float:
    """The mean of what attention modules add to the loss in training (ENLCA's contrastive loss); 0 if none does."""
    added = [loss.float() for m in attention_modules(network).values() if (loss := m.training_loss()) is not None]
    return torch.stack(added).mean() if added else 0.0


def tokens(x: Tensor) -> Tensor:
    """Feature map `[b c h w]` as tokens `[b h*w c]`, pixels in row-major order."""
    return x.flatten(2).transpose(1, 2)


def feature_map(x: Tensor, like: Tensor) -> Tensor:
    """Tokens `[b h*w c]` as a feature map of `like`'s height and width."""
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], *like.shape[-2:])


def tokens_asked(queries: Tensor, x: Tensor) -> Tensor:
    """`queries [q]` on the device of `x [b c h w]`, after a look at whether there are such tokens.

    Raises:
        ValueError: there are not.
    """
    length = x.shape[-2] * x.shape[-1]
    if wrong := [index for index in queries.tolist() if not 0 <= index < length]:
        raise ValueError(f"query {wrong[0]} is no token of a feature map of {length}: they count from 0")
    return queries.to(x.device)


def reduced(channels: int, reduction: int) -> int:
    """Channels of a match embedding, `channels // reduction`.

    Raises:
        ValueError: none would be left.
    """
    if channels < reduction:
        raise ValueError(f"reduction {reduction} leaves no channel of {channels}")
    return channels // reduction


def full_precision(tensor: Tensor) -> contextlib.AbstractContextManager[object]:
    """Autocast switched off on the device of `tensor`, for sums and comparisons that half precision would spoil."""
    return contextlib.nullcontext() if tensor.is_meta else torch.autocast(tensor.device.type, enabled=False)


def has_data(tensor: Tensor) -> bool:
    """False for the tensors of shape alone (meta, fake) by which costs are counted: no question can be put to them."""
    from torch._subclasses import FakeTensor  # noqa: PLC0415 - heavy, and this is asked rarely

    return not (tensor.is_meta or isinstance(tensor, FakeTensor))


def Conv2d(inputs: int, outputs: int, size: int) -> nn.Conv2d:  # noqa: N802 - stands for the class it configures
    """A convolution with bias, stride 1 and "same" zero padding, as every convolution here."""
    return nn.Conv2d(inputs, outputs, size, padding=size // 2)
