"""Contenders: what a grid times in turn. Attentions by themselves, on features of their networks, or whole networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import datasets
import methods
from harness.grid_tables import Scalar, Scope, height_width
from harness.inference import to_tensor
from harness.networks import built
from harness.records import Task, fingerprint
from harness.resolve import Resolved
from methods.interface import FromFile, NonLocal, attention_modules

IMAGES, IMAGE = "builtin-test", "chelsea"
"""What is shown to networks; it is mirrored beyond its borders where a size is larger."""
CONTROL = "control"
"""The key of a 1x1 convolution that runs along: its time must grow with n."""
SEED = 0
"""Of initial weights."""
RGB, PROBE = 3, 12
"""Channels of an image, and the side of one that any network takes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """An attention, by the network that it is the first attention of, or that network; `file` holds it if one does.

    `changed` are the settings that are not as released.
    """

    key: str
    label: str
    method: str
    address: str
    scale: int
    settings: Mapping[str, Scalar]
    changed: Mapping[str, Scalar]
    file: Path | None = None

    @property
    def dense(self) -> bool:
        """Whether it is exact dense attention, written out: what others are compared with."""
        return (self.settings.get("weighting"), self.settings.get("backend")) == ("softmax", "plain")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """One process that counts or times many: what the store is told of it, its tasks, and all contenders by key."""

    spec: Mapping[str, Any]
    tasks: tuple[Task, ...]
    contenders: Mapping[str, Contender]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runner:
    """A contender's module, and its input: features `[b c h w]` of an attention, images `[b 3 h w]` of a network."""

    module: nn.Module
    x: Tensor


def contenders(resolved: list[Resolved], labels: Mapping[str, str], scope: Scope) -> dict[str, Contender]:
    """Every attention, or every network that can be trained, of the cells by its key; seed and budget make no other."""
    found: dict[str, Contender] = {}
    for cell in resolved:
        if cell.attends if scope == "attention" else cell.plugin.trainable:
            key = fingerprint(identity(cell, scope))
            found.setdefault(key, _contender(key, cell, labels[cell.key]))
    return found


def told(kind: str, title: str, found: Mapping[str, Contender], number: int = 0) -> dict[str, Any]:
    """What the store is told of the cell that times or counts all of `found`; `number` tells several such apart."""
    each = {
        key: {"label": c.label, "method": c.method, "settings": dict(c.settings), "changed": dict(c.changed)}
        for key, c in found.items()
    }
    blank = {"settings": {}, "scale": 0, "seed": number, "weights": None, "start": None, "train": None}
    return {"method": kind, "title": title, "contenders": each, "order": list(found), **blank}


def identity(cell: Resolved, scope: Scope) -> dict[str, Any]:
    """What the cost depends on besides the machine; the attention of a network is the same at every scale."""
    kept = {name: value for name, value in cell.function.items() if scope == "network" or name != "scale"}
    return kept | {"scope": scope, "settings": cell.settings}


def _contender(key: str, cell: Resolved, label: str) -> Contender:
    file = cell.cell.weights if isinstance(cell.plugin, FromFile) else None
    return Contender(
        key=key,
        label=label,
        method=cell.cell.method,
        address=cell.address,
        scale=cell.cell.scale,
        settings=cell.settings,
        changed=cell.changed,
        file=Path(file) if file else None,
    )


def runner(contender: Contender, scope: Scope, size: str, batch: int, device: str) -> Runner:
    """The network and an image; or its first attention and what reaches it then, the network running no further."""
    network, image = _network(contender).to(device), _image(size, batch, device)
    if scope == "network":
        return Runner(module=network, x=image)
    module = next(iter(attention_modules(network).values()))
    return Runner(module=module, x=_reaching(network, module, image))


def blank_runner(contender: Contender, scope: Scope, size: str, batch: int) -> Runner:
    """The same without anything to look at, for tensors that have shapes alone: channels are found on a small image."""
    network, (height, width) = _network(contender), height_width(size)
    if scope == "network":
        return Runner(module=network, x=torch.empty(batch, RGB, height, width))
    module = next(iter(attention_modules(network).values()))
    channels = _reaching(network, module, torch.empty(1, RGB, PROBE, PROBE)).shape[1]
    return Runner(module=module, x=torch.empty(batch, channels, height, width))


def _network(contender: Contender) -> nn.Module:
    plugin = methods.method(contender.address)
    return built(plugin, contender.scale, contender.settings, contender.file, SEED).eval()


def control(like: Runner) -> Runner:
    """A 1x1 convolution on the same input."""
    channels = like.x.shape[1]
    torch.manual_seed(SEED)
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
