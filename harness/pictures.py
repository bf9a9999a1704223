"""Pictures that are kept beside the numbers: parts of images that crops are cut from, and maps drawn over an image."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from datasets.resize import Image
from datasets.sets import Pair
from harness.metrics import luma
from harness.records import Artifact, canonical

CROP_SIDE = 40
"""Side of the report's crops in low-resolution pixels."""
KEPT_SIDE = 512
"""Largest side, in high-resolution pixels, of what is kept of an image: about 250 kB for a photograph."""
WHOLE_SIDE = 640
"""Largest side of a whole image that is kept reduced."""
FADED = 0.7
"""How far towards white the image under a map is moved."""

Plane = NDArray[np.float64]


def kept(pair: Pair, sr: Image, dataset: str, scale: int, at: Sequence[int] | None = None) -> list[Artifact]:
    """One image as the report needs it: the same part of low, super-resolved and high resolution, and where it lies.

    The part is the whole image up to `KEPT_SIDE`, or else lies around `at` or the busiest window: the same for every
    method. The whole of a larger image is kept reduced.
    """
    corner, size = _part(pair, scale, at)
    place = {"size": pair.lr.shape[:2], "corner": corner, "at": at}
    high = tuple(slice(c * scale, (c + n) * scale) for c, n in zip(corner, size, strict=True))
    low = tuple(slice(c, c + n) for c, n in zip(corner, size, strict=True))
    files = {"place": canonical(place).encode()}
    files |= {"lr": webp(pair.lr[low]), "sr": webp(sr[high]), "hr": webp(pair.hr[high])}
    if size != pair.lr.shape[:2]:
        files["whole"] = webp(reduced(pair.hr, WHOLE_SIDE), exact=False)
    return [Artifact(name=name, dataset=dataset, image=pair.name, content=file) for name, file in files.items()]


def _part(pair: Pair, scale: int, at: Sequence[int] | None) -> tuple[tuple[int, int], tuple[int, int]]:
    """Corner and size, in low-resolution pixels, of what is kept."""
    height, width = pair.lr.shape[:2]
    size = min(height, KEPT_SIDE // scale), min(width, KEPT_SIDE // scale)
    if at is None:
        at = [c // scale + CROP_SIDE // 2 for c in busiest(pair.hr, CROP_SIDE * scale)]
    return (around(at[0], size[0], height), around(at[1], size[1], width)), size


def around(middle: int, length: int, whole: int) -> int:
    """Where `length` of `whole` pixels begin with `middle` in their middle, as nearly as the borders let them."""
    return min(max(0, middle - length // 2), max(0, whole - length))


def busiest(image: Image, side: int) -> tuple[int, int]:
    """Top left of the `side`-pixel window with the largest sum of gradients; it depends on nothing but the image."""
    plane = luma(image)
    return fullest(np.abs(np.diff(plane, axis=0))[:, :-1] + np.abs(np.diff(plane, axis=1))[:-1], side)


def fullest(amount: Plane, side: int) -> tuple[int, int]:
    """Top left of the window of `side` pixels, or of all there are, with the largest sum of `amount [h w]`."""
    rows, columns = (max(1, min(side, length)) for length in amount.shape)
    total = np.pad(amount.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    corners = sliding_window_view(total, (rows + 1, columns + 1))
    sums = corners[..., -1, -1] - corners[..., 0, -1] - corners[..., -1, 0] + corners[..., 0, 0]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(top), int(left)


def reduced(image: Image, side: int) -> Image:
    """`image` made smaller until no side is longer than `side`."""
    from PIL import Image as Pillow  # noqa: PLC0415 - needed by few images

    picture = Pillow.fromarray(image)
    picture.thumbnail((side, side), Pillow.Resampling.LANCZOS)
    return np.asarray(picture)


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
    """`image [h w 3]`, or `[h w]` of greys, as PNG, with a palette of so many colours if their number is given."""
    from PIL import Image as Pillow  # noqa: PLC0415 - encoding is needed by few images

    stream = io.BytesIO()
    picture = Pillow.fromarray(image)
    (picture.quantize(colours) if colours else picture).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def webp(image: Image, *, exact: bool = True) -> bytes:
    """`image [h w 3]` as WebP, to the bit or, much smaller, to the eye.

    To the bit with little effort (`quality` is that there): a quarter of the default's time for 6 % more bytes.
    """
    from PIL import Image as Pillow  # noqa: PLC0415 - encoding is needed by few images
    from PIL import WebPImagePlugin  # noqa: F401, PLC0415 - else Pillow loads its code for all formats

    stream = io.BytesIO()
    effort = {"lossless": True, "quality": 20, "method": 1} if exact else {"quality": 80}
    Pillow.fromarray(image).save(stream, format="WEBP", **effort)
    return stream.getvalue()
