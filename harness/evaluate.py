"""Scores of one network on one image set, per image, and the pictures that the report cuts its crops from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from datasets.resize import Image
from datasets.sets import ImageSet, Pair
from harness import metrics
from harness.inference import How, super_resolve
from harness.perceptual import perceptual
from harness.pictures import kept
from harness.records import Artifact, Figures, Record

Progress = Callable[[int, int], None]
RGB_MARGIN = 6
"""Beyond the scale, what the challenge on DIV2K leaves out on each side."""


def evaluate(
    network: nn.Module,
    images: ImageSet,
    spec: Mapping[str, Any],
    device: str,
    progress: Progress,
) -> Figures:
    """Records of every image, pictures of the first `spec["crops"]` and of those that `spec["at"]` names.

    Raises:
        FloatingPointError: the network returned a value that is not finite; the message names the image.
    """
    records: list[Record] = []
    artifacts: list[Artifact] = []
    further = perceptual(spec["perceptual"], device, crop=images.scale) if spec["perceptual"] else None
    for index, pair in enumerate(images):
        sr = answer(network, pair, images.scale, spec, device)
        values = scores(pair, sr, images) | (further(sr, pair.hr) if further else {})
        records += [Record(metric=m, value=v, dataset=images.name, image=pair.name) for m, v in values.items()]
        if index < spec["crops"] or (spec["crops"] and pair.name in spec["at"]):
            artifacts += kept(pair, sr, images.name, images.scale, spec["at"].get(pair.name))
        progress(index + 1, len(images))
    return tuple(records), tuple(artifacts)


def scores(pair: Pair, sr: Image, images: ImageSet) -> dict[str, float]:
    """Every quality metric of one image; on DIV2K also that of its challenge."""
    values: dict[str, float] = metrics.scores(sr, pair.hr, crop=images.scale)._asdict()
    if images.name.startswith("DIV2K"):
        values["psnr_rgb_div2k"] = metrics.psnr(sr, pair.hr, crop=images.scale + RGB_MARGIN, channel="rgb")
    return values


def answer(network: nn.Module, pair: Pair, scale: int, spec: Mapping[str, Any], device: str) -> Image:
    """What `network` makes of one image, asked as `spec` says.

    The generator is seeded by `spec["hash_seed"]` before each image, so that an image's score depends neither on
    its neighbours nor on their order.

    Raises:
        FloatingPointError: the network returned a value that is not finite; the message names the image.
        ValueError: the network returned another size.
    """
    torch.manual_seed(spec["hash_seed"])
    how = How(**{name: spec[name] for name in ("tiling", "precision", "self_ensemble")})
    try:
        sr = super_resolve(network.eval(), pair.lr, how, scale=scale, device=device)
    except FloatingPointError as error:
        raise FloatingPointError(f"{pair.name}: {error}") from error
    if sr.shape != pair.hr.shape:
        raise ValueError(f"{pair.name}: the network returned {sr.shape}, expected {pair.hr.shape}")
    return sr
