"""Pictures as pixels: read from the store, compared, cut, marked, and made ready for a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image as Pillow

from datasets.resize import Image
from harness.metrics import luma
from harness.pictures import CROP_SIDE, Plane, around, fullest, levels, png, reduced, webp

GAIN = 8
"""How much brighter than it is a difference is shown."""
OVERVIEW_SIDE = 360
"""Largest side of the whole image beside the crops."""
INNER, OUTER = (213, 94, 0), (255, 255, 255)
"""Colours of a box and of the line around it, one of which stands out from any image."""


def decoded(content: str) -> Image:
    """Pixels `[h w 3]` of a picture as the store holds it: a file in base64."""
    with Pillow.open(io.BytesIO(base64.b64decode(content))) as picture:
        return np.asarray(picture.convert("RGB"))


def sides(content: str) -> tuple[int, int]:
    """Width and height of a PNG or WebP file in base64, read off its head: a page need not decode what it holds.

    The places of both numbers are those of the PNG specification, 11.2.1, and of RFC 9649 (WebP), sections 2.5 to 2.7.
    """
    head = base64.b64decode(content[:40])
    if head[12:16] == b"IHDR":
        return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    if head[12:16] == b"VP8L":
        packed = int.from_bytes(head[21:25], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if head[12:16] == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF


def encoded(image: Image, *, exact: bool = True) -> str:
    """The reverse of `decoded`; what is not `exact` is smaller and looks the same."""
    return base64.b64encode(webp(image, exact=exact)).decode()


def spread(images: Iterable[Image]) -> Plane:
    """How much images `[h w 3]` of one place differ: the standard deviation of their luma at each pixel `[h w]`."""
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for image in images:
        plane = luma(image)
        count, total, squares = count + 1, total + plane, squares + plane**2
    deviation: Plane = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0.0))
    return deviation


def window_at(amount: Plane, scale: int) -> tuple[int, int]:
    """Top left, in low-resolution pixels, of the crop that holds most of `amount [scale*h scale*w]`."""
    height, width = (side // scale for side in amount.shape)
    blocks = amount[: height * scale, : width * scale].reshape(height, scale, width, scale)
    return fullest(blocks.sum(axis=(1, 3)), CROP_SIDE)


def window_around(middle: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Top left of the crop around `middle` in an image of `size`, all in low-resolution pixels."""
    return around(middle[0], CROP_SIDE, size[0]), around(middle[1], CROP_SIDE, size[1])


def cut(content: str, window: tuple[int, int], scale: int) -> str:
    """The crop that begins at `window`, of an image `scale` times as large; the same where that is all of it."""
    image = decoded(content)
    top, left, side = window[0] * scale, window[1] * scale, CROP_SIDE * scale
    part = image[top : top + side, left : left + side]
    return content if part.shape == image.shape else encoded(part)


def difference(content: str, other: str) -> str:
    """Mean distance over RGB at each pixel, `GAIN` times as bright: black where the two are alike."""
    distance = np.abs(decoded(content).astype(np.int16) - decoded(other)).mean(axis=-1)
    return base64.b64encode(png(levels(GAIN * distance))).decode()


def boxed(image: Image, corner: tuple[float, float], size: tuple[float, float]) -> Image:
    """`image [h w 3]` reduced, with a box; its `corner` and `size` are shares of height and width."""
    small = reduced(image, OVERVIEW_SIDE).copy()
    first = [round(c * side) for c, side in zip(corner, small.shape, strict=False)]
    last = [round((c + s) * side) - 1 for c, s, side in zip(corner, size, small.shape, strict=False)]
    for inset, colour in ((0, OUTER), (1, INNER), (2, INNER), (3, OUTER)):
        _frame(small, [f + inset for f in first], [b - inset for b in last], colour)
    return small


def _frame(image: Image, first: list[int], last: list[int], colour: tuple[int, int, int]) -> None:
    """A line of one pixel around the rows and columns from `first` to `last`."""
    rows, columns = (slice(a, b + 1) for a, b in zip(first, last, strict=True))
    image[rows, [first[1], last[1]]] = colour
    image[[first[0], last[0]], columns] = colour
