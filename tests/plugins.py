"""Methods that tests put into grids: a tiny network, and networks that fail in every way a method can."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from harness.grid_tables import Scalar
from methods import load_weights
from methods.bucketed import BucketedAttention, BucketRecipe
from methods.foreign import ForeignMethod
from methods.interface import RELEASED, UnavailableError


class Tiny(nn.Module):
    """A 3x3 convolution and a pixel shuffle, with `act` called on the result before it is returned."""

    def __init__(self, scale: int, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3 * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.shuffle(self.conv(x)))


class Plugin:
    trainable = True
    execution: frozenset[str] = frozenset()

    def __init__(self, name: str, act: Callable[[Tensor], Tensor] = lambda y: y) -> None:
        self.name, self.title, self.act = name, name.title(), act

    def settings(self, chosen: Mapping[str, Scalar] = RELEASED) -> dict[str, Scalar]:
        return {"width": 3} | {name: value for name, value in chosen.items() if name == "width"}

    def build(self, scale: int, settings: Mapping[str, Scalar]) -> nn.Module:
        if settings.get("width", 3) != 3:
            raise ValueError(f"width must be 3, not {settings['width']}")
        return Tiny(scale, self.act)


def _large(y: Tensor, limit: int) -> bool:
    return y.device.type == "cpu" and not isinstance(y, torch._subclasses.FakeTensor) and y.shape[-1] > limit


def _raise(y: Tensor) -> Tensor:
    if y.device.type != "meta":
        raise RuntimeError("as it was told to\nsecond line")
    return y


def _out_of_memory(y: Tensor) -> Tensor:
    """Runs out of memory above 40 pixels of output."""
    if _large(y, 40):
        raise torch.OutOfMemoryError("CUDA out of memory: as it was told to")
    return y


def _die(y: Tensor) -> Tensor:
    if _large(y, 40):
        os.kill(os.getpid(), signal.SIGKILL)
    return y


def _hang(y: Tensor) -> Tensor:
    if _large(y, 40):
        time.sleep(600)
    return y


def _hang_when_counted(y: Tensor) -> Tensor:
    if isinstance(y, torch._subclasses.FakeTensor):
        time.sleep(600)
    return y


def _chatter(y: Tensor) -> Tensor:
    os.write(1, b"x" * 100_000)
    return y


def _slow(y: Tensor) -> Tensor:
    time.sleep(0.02)
    return y


class Unavailable(Plugin):
    """A plug-in that needs a library nobody has."""

    def build(self, scale: int, settings: Mapping[str, Scalar]) -> nn.Module:
        network = super().build(scale, settings)
        if next(network.parameters()).is_meta:
            return network
        raise UnavailableError("the library of nobody is not installed\nsecond line")


class Stored(Plugin):
    """A plug-in that reads its network's width from its weights file."""

    trainable = False

    def build(self, scale: int, settings: Mapping[str, Scalar]) -> nn.Module:  # noqa: ARG002
        raise ValueError("its network is read from a file: give one as weights")

    def open(self, scale: int, file: Path) -> nn.Module:
        network = Tiny(scale, lambda y: y)
        load_weights(network, file)
        return network


TINY = Plugin("tiny")
UNAVAILABLE = Unavailable("unavailable")
STORED = Stored("stored")
RAISES = Plugin("raises", _raise)
NOT_A_NUMBER = Plugin("nan", lambda y: y * float("nan"))
WRONG_SHAPE = Plugin("wrong", lambda y: y[..., 1:] if not torch.is_grad_enabled() else y)
ONE_CHANNEL = Plugin("one", lambda y: y[:, :1])
A_TUPLE = Plugin("tuple", lambda y: (y, y))
OUT_OF_MEMORY = Plugin("memory", _out_of_memory)
DIES = Plugin("dies", _die)
HANGS = Plugin("hangs", _hang)
SLOW_TO_START = Plugin("counted", _hang_when_counted)
CHATTERS = Plugin("chatters", _chatter)
SLOW = Plugin("slow", _slow)
NOT_A_METHOD = 3


class Disagreeing(BucketedAttention):
    """Fused, it gives a hundredth more than written out."""

    def _windowed(self, x: Tensor, values: Tensor) -> Tensor:
        return 1.01 * super()._windowed(x, values)


def _disagreeing(scale: int, **settings: Scalar) -> nn.Module:
    attention = Disagreeing(3, BucketRecipe(reduction=1, chunk_size=8, backend=str(settings["backend"])))
    return nn.Sequential(attention, Tiny(scale, lambda y: y))


DISAGREES = ForeignMethod(name="disagrees", title="Disagrees", network=_disagreeing, defaults={"backend": "fused"})
