"""Small pictures that are kept beside the numbers: crops, and maps drawn over an image."""

from __future__ import annotations

import io

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from datasets.resize import Image
from datasets.sets import Pair
from harness.metrics import luma
from harness.records import Artifact

CROP_SIDE = 40
"""Side of the report's crops in low-resolution pixels."""
FADED = 0.7
"""How far towards white the image under a map is moved."""

Plane = NDArray[np.float64]


def crops(pair: Pair, sr: Image, dataset: str, scale: int) -> list[Artifact]:
    """The same window of low-resolution, super-resolved and high-resolution image, where the latter varies most."""
    top, left = busiest(pair.hr, CROP_SIDE * scale)
    low = (top // scale, left // scale)
    high = (low[0] * scale, low[1] * scale, CROP_SIDE * scale)
    windows = {"lr": window(pair.lr, *low, CROP_SIDE), "sr": window(sr, *high), "hr": window(pair.hr, *high)}
    return [Artifact(name=name, dataset=dataset, image=pair.name, content=png(part)) for name, part in windows.items()]


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


def window(image: Image, top: int, left: int, side: int) -> Image:
    """The square of `side` pixels from `top` and `left` on, as far as the image has it."""
    return image[top : top + side, left : left + side]


def tinted(image: Image, amount: Plane, colour: tuple[int, int, int]) -> Plane:
    """`image [h w 3]` faded to a light grey, and over it `colour` as strongly as `amount [h w]`, 0 to 1, says."""
    grey = 255.0 - (1.0 - FADED) * (255.0 - luma(image))
    share = amount.clip(0.0, 1.0)[..., None]
    shown: Plane = (1.0 - share) * grey[..., None] + share * np.asarray(colour, dtype=np.float64)
    return shown


def levels(values: Plane) -> Image:
    """Values on 0-255 as an 8-bit image."""
    rounded: Image = np.floor(values + 0.5).clip(0, 255).astype(np.uint8)
    return rounded


def png(image: Image, colours: int | None = None) -> bytes:
    """`image [h w 3]` as PNG, with a palette of so many colours if their number is given."""
    from PIL import Image as Pillow  # noqa: PLC0415 - encoding is needed by few images

    stream = io.BytesIO()
    picture = Pillow.fromarray(image)
    (picture.quantize(colours) if colours else picture).save(stream, format="PNG", optimize=True)
    return stream.getvalue()
