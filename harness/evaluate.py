"""Scores of one network on one image set, per image, and the crops that the report shows."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn

from datasets.resize import Image
from datasets.sets import ImageSet, Pair
from harness import metrics
from harness.inference import super_resolve
from harness.metrics import luma
from harness.records import Artifact, Record

CROP_SIDE = 40
"""Side of the report's crops in low-resolution pixels."""


def evaluate(
    network: nn.Module,
    images: ImageSet,
    spec: Mapping[str, Any],
    device: str,
    progress: Callable[[int, int], None],
) -> tuple[tuple[Record, ...], tuple[Artifact, ...]]:
    """Records of every image, artifacts of the first `spec["crops"]`.

    The generator is seeded by `spec["hash_seed"]` before each image, so that an image's score depends neither on
    its neighbours nor on their order.

    Raises:
        FloatingPointError: the network returned a value that is not finite; the message names the image.
    """
    records: list[Record] = []
    artifacts: list[Artifact] = []
    network.eval()
    for index, pair in enumerate(images):
        torch.manual_seed(spec["hash_seed"])
        sr = _answer(network, pair, images.scale, spec, device)
        records += scores(pair, sr, images)
        if index < spec["crops"]:
            artifacts += crops(pair, sr, images)
        progress(index + 1, len(images))
    return tuple(records), tuple(artifacts)


def scores(pair: Pair, sr: Image, images: ImageSet) -> list[Record]:
    """Every quality metric of one image."""
    values = metrics.scores(sr, pair.hr, crop=images.scale)._asdict()
    return [Record(metric=m, value=v, dataset=images.name, image=pair.name) for m, v in values.items()]


def crops(pair: Pair, sr: Image, images: ImageSet) -> list[Artifact]:
    """The same window of low-resolution, super-resolved and high-resolution image, where the latter varies most."""
    top, left = busiest(pair.hr, CROP_SIDE * images.scale)
    low = (top // images.scale, left // images.scale)
    windows = {
        "lr": _window(pair.lr, *low, CROP_SIDE),
        "sr": _window(sr, low[0] * images.scale, low[1] * images.scale, CROP_SIDE * images.scale),
        "hr": _window(pair.hr, low[0] * images.scale, low[1] * images.scale, CROP_SIDE * images.scale),
    }
    return [
        Artifact(name=name, dataset=images.name, image=pair.name, content=_png(window))
        for name, window in windows.items()
    ]


def busiest(image: Image, side: int) -> tuple[int, int]:
    """Top left of the `side`-pixel window with the largest sum of gradients; it depends on nothing but the image."""
    plane = luma(image)
    gradient = np.abs(np.diff(plane, axis=0))[:, :-1] + np.abs(np.diff(plane, axis=1))[:-1]
    rows, columns = (max(1, min(side, length)) for length in gradient.shape)
    total = np.pad(gradient.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    corners = sliding_window_view(total, (rows + 1, columns + 1))
    sums = corners[..., -1, -1] - corners[..., 0, -1] - corners[..., -1, 0] + corners[..., 0, 0]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(top), int(left)


def _answer(network: nn.Module, pair: Pair, scale: int, spec: Mapping[str, Any], device: str) -> Image:
    how = {name: spec[name] for name in ("tiling", "precision")}
    try:
        sr = super_resolve(network, pair.lr, scale=scale, device=device, **how)
    except FloatingPointError as error:
        raise FloatingPointError(f"{pair.name}: {error}") from error
    if sr.shape != pair.hr.shape:
        raise ValueError(f"{pair.name}: the network returned {sr.shape}, expected {pair.hr.shape}")
    return sr


def _window(image: Image, top: int, left: int, side: int) -> Image:
    return image[top : top + side, left : left + side]


def _png(image: Image) -> bytes:
    from PIL import Image as Pillow  # noqa: PLC0415 - encoding is needed by few images

    stream = io.BytesIO()
    Pillow.fromarray(image).save(stream, format="PNG", optimize=True)
    return stream.getvalue()
