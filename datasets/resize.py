"""MATLAB's bicubic `imresize`, bit for bit, on 8-bit images.

Keys' cubic kernel with a = -0.5, widened when shrinking (antialiasing), weights normalised per output pixel, output
size `ceil(n * scale)`. Rows are resized before columns and the result is rounded to 8 bits after each pass, as MATLAB
does for `uint8` input. Today's MATLAB mirrors the border ("symmetric"); releases up to about 2014 repeat the edge
pixel ("replicate"), and the LR images of older benchmarks were made by those.
"""

from __future__ import annotations

import functools
import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.naming import nearest

Image = NDArray[np.uint8]
Border = Literal["symmetric", "replicate"]
BORDERS = ("symmetric", "replicate")
KERNEL_WIDTH = 4.0
DIMENSIONS = (2, 3)


class Taps(NamedTuple):
    """For each output position the input positions it reads, `source [out k]`, and their `weight [out k]`."""

    source: NDArray[np.intp]
    weight: NDArray[np.float64]


def imresize(image: Image, scale: float, border: Border = "symmetric") -> Image:
    """`image [h w]` or `[h w c]` of uint8, resized by `scale`.

    Raises:
        ValueError: another dtype or number of axes, a scale that is not positive, or an unknown border.
    """
    if image.dtype != np.uint8 or image.ndim not in DIMENSIONS:
        raise ValueError(f"imresize takes uint8 [h w] or [h w c], not {image.dtype} of shape {image.shape}")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be positive and finite, not {scale}")
    for axis in (0, 1):
        image = _resize_axis(image, axis, taps(image.shape[axis], float(scale), border))
    return image


@functools.lru_cache(maxsize=256)
def taps(length: int, scale: float, border: Border = "symmetric") -> Taps:
    """Which pixels, with which weights, make each of the `ceil(length * scale)` output positions."""
    if border not in BORDERS:
        raise ValueError(f"unknown border {border!r}: {nearest(border, BORDERS)}")
    shrink = min(scale, 1.0)
    width = KERNEL_WIDTH / shrink
    centre = (np.arange(math.ceil(length * scale)) + 0.5) / scale - 0.5
    first = np.floor(centre - width / 2).astype(np.intp) + 1
    index = first[:, None] + np.arange(math.ceil(width) + 1)
    weight = shrink * _cubic(shrink * (centre[:, None] - index))
    weight /= weight.sum(axis=1, keepdims=True)
    used = weight.any(axis=0)
    return Taps(_inside(index, length, border)[:, used], weight[:, used])


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = -0.5."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= KERNEL_WIDTH / 2, far, 0.0))


def _inside(index: NDArray[np.intp], length: int, border: Border) -> NDArray[np.intp]:
    """Positions beyond the image, mirrored back into it or held at its edge."""
    if border == "replicate":
        return index.clip(0, length - 1)
    folded = index % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)


def _resize_axis(image: Image, axis: int, plan: Taps) -> Image:
    shape = [1] * image.ndim
    shape[axis] = -1
    total = np.zeros((), dtype=np.float64)
    for source, weight in zip(plan.source.T, plan.weight.T, strict=True):
        total = total + weight.reshape(shape) * image.take(source, axis=axis)
    rounded = np.floor(total + 0.5)
    return rounded.clip(0, 255).astype(np.uint8)
