"""Contenders: the attentions of a grid, each once, as modules of their own on features that their networks make."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import datasets
import methods
from harness.grid_tables import Scalar, height_width
from harness.inference import to_tensor
from harness.records import fingerprint
from harness.resolve import Resolved
from methods.interface import NonLocal, attention_modules

IMAGES, IMAGE = "builtin-test", "chelsea"
"""What features are made of; it is mirrored beyond its borders where a size is larger."""
CONTROL = "control"
"""The key of a 1x1 convolution that runs along: its time must grow with n."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """An attention by the network that it is the first attention of."""

    key: str
    label: str
    address: str
    scale: int
    settings: Mapping[str, Scalar]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runner:
    """A contender's module, and its input `[b c h w]`."""

    module: nn.Module
    x: Tensor


def contenders(resolved: list[Resolved], labels: Mapping[str, str]) -> dict[str, Contender]:
    """Every attention of the cells by its key: method, settings, code. Scale, seed and budget make no other one."""
    found: dict[str, Contender] = {}
    for cell in resolved:
        if cell.attends:
            key = fingerprint(identity(cell))
            found.setdefault(
                key,
                Contender(
                    key=key,
                    label=labels[cell.key],
                    address=cell.address,
                    scale=cell.cell.scale,
                    settings=cell.settings,
                ),
            )
    return found


def identity(cell: Resolved) -> dict[str, Any]:
    """What an attention's cost depends on besides the machine."""
    return {"method": cell.cell.method, "settings": cell.settings, "code": cell.function["code"]}


def runner(contender: Contender, size: str, batch: int, device: str) -> Runner:
    """The first attention of the contender's network, and what reaches it when the network is shown an image.

    The network has its initial weights, from seed 0; it runs no further than that.
    """
    torch.manual_seed(0)
    network = methods.method(contender.address).build(contender.scale, contender.settings).to(device).eval()
    module = next(iter(attention_modules(network).values()))
    return Runner(module=module, x=_reaching(network, module, _image(size, batch, device)))


def control(like: Runner) -> Runner:
    """A 1x1 convolution on the same input."""
    channels = like.x.shape[1]
    torch.manual_seed(0)
    return Runner(module=nn.Conv2d(channels, channels, 1).to(like.x.device).eval(), x=like.x)


class _Reached(Exception):  # noqa: N818 - no error: as far as the network need run
    pass


def _reaching(network: nn.Module, module: NonLocal, image: Tensor) -> Tensor:
    seen: list[Tensor] = []

    def stop(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        seen.append(arguments[0].clone())
        raise _Reached

    hook = module.register_forward_pre_hook(stop)
    try:
        with torch.no_grad():
            network(image)
    except _Reached:
        pass
    finally:
        hook.remove()
    return seen[0]


def _image(size: str, batch: int, device: str) -> Tensor:
    """`[b 3 h w]`; those of a batch are shifted against each other, so that none hashes like another."""
    (pair,) = [pair for pair in datasets.load(IMAGES, 1) if pair.name == IMAGE]
    height, width = height_width(size)
    rows, columns = (max(0, side - have) for side, have in zip((height, width), pair.hr.shape, strict=False))
    whole = np.pad(pair.hr, ((0, rows), (0, columns), (0, 0)), mode="symmetric")[:height, :width]
    return to_tensor(np.stack([np.roll(whole, 7 * i, axis=(0, 1)) for i in range(batch)]), device)
