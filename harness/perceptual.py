"""LPIPS and DISTS, as the library torchmetrics computes them; an optional extra, since networks are downloaded.

LPIPS (Zhang et al., 2018, https://arxiv.org/abs/1801.03924) is version 0.1 on AlexNet, which tables of super-resolution
report; DISTS (Ding et al., 2020, https://arxiv.org/abs/2004.07728) is on VGG16, at the size that images have. Both are
distances: 0 for identical images, less is better. Both networks come from torchvision, which downloads them at their
first use into the folder of `torch.hub`. An image of 2040x1356 takes 4 GiB and a minute of two cores on VGG16, 1 GiB
and 8 s on AlexNet.
"""

from __future__ import annotations

import dataclasses
import http.client
import importlib
import importlib.util
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from datasets.naming import nearest
from datasets.resize import Image
from harness.errors import UserError
from harness.metrics import PEAK, inner

LIBRARIES = ("torchmetrics", "torchvision")
INSTALL = "pip install -c constraints.txt '.[perceptual]'"
NOT_LOADED = (OSError, RuntimeError, EOFError, http.client.HTTPException, pickle.UnpicklingError)
"""What comes of no network, of a download cut short, and of a file that is not the one it is called."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distance:
    """A network of the library: `[1 3 h w]` twice, values in [0, 1], to one number.

    It is `factory(**options)` of `module`, needs images of at least `least` pixels a side, and stands on the network
    that torchvision downloads from `weights`.
    """

    title: str
    module: str
    factory: str
    options: Mapping[str, Any]
    weights: str
    least: int


PERCEPTUAL: Mapping[str, Distance] = MappingProxyType(
    {
        "lpips": Distance(
            title="LPIPS",
            module="torchmetrics.image.lpip",
            factory="LearnedPerceptualImagePatchSimilarity",
            options={"net_type": "alex", "normalize": True},
            weights="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            least=31,  # AlexNet's second pooling has nothing to pool below
        ),
        # The library's `DeepImageStructureAndTextureSimilarity` reads VGG16 from disk for every image.
        "dists": Distance(
            title="DISTS",
            module="torchmetrics.functional.image.dists",
            factory="DISTSNetwork",
            options={},
            weights="https://download.pytorch.org/models/vgg16-397923af.pth",
            least=17,  # its last features, a sixteenth of the side, are one pixel below, which has no variance
        ),
    }
)


def available() -> str | None:
    """Why nothing of this module can be computed here, or None if it can; no library is imported to tell.

    A library that is installed may still fail to import, as torchvision does beside some builds of torch; `perceptual`
    tells that.
    """
    titles = " and ".join(distance.title for distance in PERCEPTUAL.values())
    return _needed(titles, missing) if (missing := _missing()) else None


def perceptual(
    names: Iterable[str], device: str | torch.device, *, crop: int = 0
) -> Callable[[Image, Image], dict[str, float]]:
    """A function of `sr` and `hr`, uint8 `[h w 3]`, to the distances `names` of `PERCEPTUAL`, computed on `device`.

    `crop` pixels are left out on each side, as in `harness.metrics`. The networks are read once, here. The function
    raises ValueError for images whose shapes differ, that are not uint8 RGB, or that are too small once cropped.

    Raises:
        UserError: a distance that does not exist, a library that is missing or cannot be imported, or a network that
            cannot be downloaded; the message says what to do.
    """
    chosen = {name: _known(name) for name in names}
    assert chosen
    networks = {name: _built(distance).to(device).eval() for name, distance in chosen.items()}

    def distances(sr: Image, hr: Image) -> dict[str, float]:
        ours, theirs = (_tensor(image).to(device) for image in _cropped(sr, hr, crop, chosen.values()))
        with torch.inference_mode():
            return {name: float(network(ours, theirs)) for name, network in networks.items()}

    return distances


def _known(name: str) -> Distance:
    if name not in PERCEPTUAL:
        raise UserError(f"unknown perceptual distance {name!r}: {nearest(name, PERCEPTUAL)}")
    return PERCEPTUAL[name]


def _built(distance: Distance) -> nn.Module:
    factory = _factory(distance)
    try:
        network: nn.Module = factory(**distance.options)
    except NOT_LOADED as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise UserError(
            f"{distance.title} cannot load its network ({_first_line(error)}): "
            f"download {distance.weights} and put it into {folder}"
        ) from error
    return network


def _factory(distance: Distance) -> Callable[..., nn.Module]:
    if missing := _missing():
        raise UserError(_needed(distance.title, missing))
    try:
        factory: Callable[..., nn.Module] = getattr(importlib.import_module(distance.module), distance.factory)
    except (ImportError, RuntimeError, AttributeError) as error:
        raise UserError(_needed(distance.title, f"cannot be imported here: {_first_line(error)}")) from error
    return factory


def _missing() -> str:
    missing = [library for library in LIBRARIES if importlib.util.find_spec(library) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def _needed(titles: str, reason: str) -> str:
    return f"{titles} cannot be had without the extra `perceptual` ({reason}): {INSTALL}"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _cropped(sr: Image, hr: Image, crop: int, distances: Iterable[Distance]) -> tuple[Image, Image]:
    neediest = max(distances, key=lambda distance: distance.least)
    try:
        return inner(sr, hr, crop, neediest.least)
    except ValueError as error:
        raise ValueError(f"{neediest.title}: {error}") from error


def _tensor(image: Image) -> Tensor:
    """`[h w 3]` on 0-255 as `[1 3 h w]` on 0-1."""
    return torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None] / PEAK
