"""Whom queries attend to inside a network with its weights, on real images: entropy, recall of exact attention, maps.

Each image is cut to the asked size around one position of interest, so that every method answers on the same input.
Figures are means over queries: that position and others drawn at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from datasets.layouts import image_name
from datasets.resize import Image
from datasets.sets import ImageSet, Pair
from harness.evaluate import Progress
from harness.grid_tables import height_width
from harness.inference import autocast, to_tensor
from harness.pictures import CROP_SIDE, Plane, busiest, levels, png, tinted
from harness.records import Artifact, Figures, Record
from methods.interface import Look, UnavailableError
from methods.look import entropy, looking, mass_recall, recall

ATTENDED, QUERY = (196, 81, 0), (0, 114, 178)
REACH = 2
"""Half the side of the square that marks the query, in low-resolution pixels."""


def attend(network: nn.Module, images: ImageSet, spec: Mapping[str, Any], device: str, progress: Progress) -> Figures:
    """Records of every attention and image, and a map of the last attention for `spec["maps"]` images."""
    records: list[Record] = []
    artifacts: list[Artifact] = []
    chosen = _chosen(images, spec)
    for index, file in enumerate(chosen):
        pair = images.pair(file)
        part, query = cut(pair, spec["at"].get(pair.name), *height_width(spec["size"]))
        looks = _looks(network, part, [query, *_others(part, spec)], spec, device)
        subject = {"dataset": images.name, "image": pair.name, "size": spec["size"]}
        records += [r for name, look in looks.items() for r in _figures(look, spec["top"], module=name, **subject)]
        if index < spec["maps"] or (spec["maps"] and pair.name in spec["at"]):
            weights = list(looks.values())[-1].weights[0, 0].cpu().double().numpy().reshape(part.shape[:2])
            content = png(attention_map(part, weights, query))
            artifacts.append(Artifact(name="attention", dataset=images.name, image=pair.name, content=content))
        progress(index + 1, len(chosen))
    return tuple(records), tuple(artifacts)


def cut(pair: Pair, at: tuple[int, int] | None, height: int, width: int) -> tuple[Image, int]:
    """A part `[height width 3]` of the low-resolution image around `at`, and that position's index in the part.

    Without `at` it is the middle of the busiest window of the high-resolution image.
    """
    scale = pair.hr.shape[0] // pair.lr.shape[0]
    if at is None:
        corner = busiest(pair.hr, CROP_SIDE * scale)
        middles = (c // scale + min(CROP_SIDE, side) // 2 for c, side in zip(corner, pair.lr.shape, strict=False))
        at = next(middles), next(middles)
    top, left = (
        min(max(0, a - side // 2), whole - side)
        for a, side, whole in zip(at, (height, width), pair.lr.shape[:2], strict=True)
    )
    return pair.lr[top : top + height, left : left + width], (at[0] - top) * width + at[1] - left


def attention_map(image: Image, weights: Plane, query: int) -> Image:
    """`image [h w 3]` in faded grey, orange where the query attends, by the root of weight over largest weight.

    A blue square is drawn around the query.
    """
    shown = tinted(image, np.sqrt(weights / weights.max()), ATTENDED)
    row, column = divmod(query, image.shape[1])
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    shown[np.maximum(np.abs(rows - row), np.abs(columns - column)) == REACH] = QUERY
    return levels(shown)


def _chosen(images: ImageSet, spec: Mapping[str, Any]) -> list[Path]:
    """The first images that are large enough, and those that were named."""
    wanted = height_width(spec["size"])
    large = [f for f in images.files if all(a >= b for a, b in zip(images.lr_size(f), wanted, strict=True))]
    return [f for i, f in enumerate(large) if i < spec["images"] or image_name(f) in spec["at"]]


def _others(part: Image, spec: Mapping[str, Any]) -> list[int]:
    """The same random positions for every method and image of a size."""
    count = part.shape[0] * part.shape[1]
    random = np.random.default_rng(count)
    return [int(i) for i in random.choice(count, size=min(spec["queries"], count), replace=False)]


def _looks(
    network: nn.Module, part: Image, queries: list[int], spec: Mapping[str, Any], device: str
) -> dict[str, Look]:
    torch.manual_seed(spec["hash_seed"])
    x = to_tensor(part[None], device)
    quiet = torch.inference_mode(), autocast(device, spec["precision"])
    with quiet[0], quiet[1], looking(network.eval(), torch.tensor(queries, device=device)) as looks:
        try:
            network(x)
        except NotImplementedError as error:
            raise UnavailableError(str(error)) from error
    return looks


def _figures(look: Look, top: int, **subject: Any) -> list[Record]:
    found = {
        "attention_entropy": entropy(look.weights),
        "recall_top": recall(look, top),
        "recall_mass": mass_recall(look),
    }
    return [Record(metric=metric, value=float(values.mean()), **subject) for metric, values in found.items()]
