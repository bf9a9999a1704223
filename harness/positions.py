"""Positions that a grid names in its images: `attention.at` and `evaluate.at`, in low-resolution pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from datasets.layouts import image_name
from datasets.naming import nearest
from datasets.sets import ImageSet
from harness.grid import Grid

Positions = Mapping[str, tuple[int, int]]


def check_positions(grid: Grid, image_set: Callable[[str, int], ImageSet]) -> None:
    """Every position lies in an image: of the first set for attention, of any set for evaluation.

    Raises:
        ValueError: no set has an image of that name, or the position is outside it at a scale of the grid.
    """
    data = grid.evaluate.data
    for key, at, names in (("attention.at", grid.attention.at, data[:1]), ("evaluate.at", grid.evaluate.at, data)):
        for scale in grid.scale if at else ():
            _check(key, at, [image_set(name, scale) for name in names])


def positions_in(images: ImageSet, at: Positions) -> dict[str, list[int]]:
    """The positions in images of this set, so that those of other sets are no part of a task that never meets them."""
    names = set(map(image_name, images.files))
    return {name: list(position) for name, position in at.items() if name in names}


def _check(key: str, at: Positions, sets: list[ImageSet]) -> None:
    sizes = {(image_name(file), images.name): images.lr_size(file) for images in sets for file in images.files}
    for name, position in at.items():
        held = [size for (image, _), size in sizes.items() if image == name]
        if not held:
            told = ", ".join(images.name for images in sets)
            raise ValueError(f"{key}: no image {name!r} in {told}: {nearest(name, {image for image, _ in sizes})}")
        for size in held:
            if any(place >= side for place, side in zip(position, size, strict=True)):
                told = "x".join(map(str, size))
                raise ValueError(f"{key}: {name} is {told} at scale {sets[0].scale}, {list(position)} is outside")
