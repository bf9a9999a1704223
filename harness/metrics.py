"""PSNR and SSIM as the field's tables have them, on 8-bit images; pure functions.

The luma is BT.601 studio range, `Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255` on 0-255 values. `rounded` rounds it
first, as MATLAB's `rgb2ycbcr` does on 8-bit images and older tables did; that gives 0.01-0.09 dB less.

Images are read in strips of rows that stay in the cache, by a few threads; what the strips give is summed in order, so
that no value depends on the threads.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from datasets.naming import nearest

Image = NDArray[np.uint8]
Plane = NDArray[np.float64]
Channel = Literal["y", "rgb"]
CHANNELS = ("y", "rgb")
PEAK = 255.0
LUMA_THOUSANDTHS = (65481, 128553, 24966)
"""Summed as integers, so that rounding Y meets an exact half where there is one."""
SSIM_SIDE, SSIM_SIGMA, SSIM_K1, SSIM_K2 = 11, 1.5, 0.01, 0.03
REACH = SSIM_SIDE - 1
"""Rows and columns that the window takes away."""
BLOCK, TILE = 32, 512
"""A strip has BLOCK rows; it is blurred in tiles of TILE columns, which fit the cache, by products of BLOCK columns,
for which OpenBLAS starts no threads of its own."""
THREADS = 2


class Scores(NamedTuple):
    """What a table shows of one image: dB, dB, and a number up to 1."""

    psnr_y: float
    psnr_y_rounded: float
    ssim_y: float


def scores(sr: Image, hr: Image, *, crop: int) -> Scores:
    """`psnr`, `psnr` of rounded luma and `ssim` of `sr [h w 3]` against `hr`, the luma computed once.

    Raises:
        ValueError: as `ssim`.
    """
    ours, theirs = inner(sr, hr, crop, SSIM_SIDE)

    def strip(top: int) -> tuple[float, ...]:
        pair = [luma(image[top : top + BLOCK + REACH]) for image in (ours, theirs)]
        own = [plane[:BLOCK] for plane in pair]
        return _squares(*own), _squares(*map(_whole, own)), _similarity(*pair)

    height, width = ours.shape[:2]
    error, error_rounded, similarity = _over_strips(strip, height)
    pixels, windows = height * width, (height - REACH) * (width - REACH)
    return Scores(_decibel(error / pixels), _decibel(error_rounded / pixels), similarity / windows)


def psnr(sr: Image, hr: Image, *, crop: int, channel: Channel = "y", rounded: bool = False) -> float:
    """Peak signal-to-noise ratio in dB of `sr [h w 3]` against `hr`, `crop` pixels left out on each side.

    `10 log10(255^2 / MSE)`, infinite for identical images.

    Raises:
        ValueError: shapes that differ, images that are not uint8 RGB, an unknown channel, or a crop that leaves
            nothing.
    """
    ours, theirs = inner(sr, hr, crop, 1)
    planes = _planes_of(channel)

    def strip(top: int) -> tuple[float, ...]:
        pairs = zip(*(planes(image[top : top + BLOCK]) for image in (ours, theirs)), strict=True)
        return tuple(_squares(*(_whole(p) if rounded else p for p in pair)) for pair in pairs)

    errors = _over_strips(strip, len(ours))
    return _decibel(math.fsum(errors) / (len(errors) * ours.shape[0] * ours.shape[1]))


def ssim(sr: Image, hr: Image, *, crop: int, channel: Channel = "y") -> float:
    """Structural similarity (Wang et al., 2004): 11x11 Gaussian of sigma 1.5, valid region, population covariance.

    For "rgb" the mean over channels.

    Raises:
        ValueError: as `psnr`, or an image smaller than the window once cropped.
    """
    ours, theirs = inner(sr, hr, crop, SSIM_SIDE)
    planes = _planes_of(channel)

    def strip(top: int) -> tuple[float, ...]:
        pairs = zip(*(planes(image[top : top + BLOCK + REACH]) for image in (ours, theirs)), strict=True)
        return tuple(_similarity(*pair) for pair in pairs)

    totals = _over_strips(strip, len(ours))
    windows: int = (ours.shape[0] - REACH) * (ours.shape[1] - REACH)
    return math.fsum(totals) / (len(totals) * windows)


def inner(sr: Image, hr: Image, crop: int, least: int) -> tuple[Image, Image]:
    """Both images without `crop` pixels on each side.

    Raises:
        ValueError: shapes that differ, images that are not uint8 RGB, or fewer than `least` pixels left of a side.
    """
    for image in (sr, hr):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:  # noqa: PLR2004 - rows, columns, RGB
            raise ValueError(f"images are uint8 [h w 3], not {image.dtype} of shape {image.shape}")
    if sr.shape != hr.shape:
        raise ValueError(f"images differ in size: {sr.shape} against {hr.shape}")
    if crop < 0 or min(sr.shape[:2]) - 2 * crop < least:
        raise ValueError(f"crop {crop} leaves less than {least} pixels of an image of {sr.shape[:2]}")
    rows, columns = (slice(crop, side - crop) for side in sr.shape[:2])
    return sr[rows, columns], hr[rows, columns]


def luma(image: Image) -> Plane:
    """BT.601 studio-range Y of `[h w 3]` on 0-255 values, in floating point: `[h w]`."""
    red, green, blue = (weight * image[..., c].astype(np.int32) for c, weight in enumerate(LUMA_THOUSANDTHS))
    return 16.0 + (red + green + blue) / (1000 * PEAK)


def _planes_of(channel: Channel) -> Callable[[Image], Sequence[Plane]]:
    if channel not in CHANNELS:
        raise ValueError(f"unknown channel {channel!r}: {nearest(channel, CHANNELS)}")
    return _colours if channel == "rgb" else lambda image: (luma(image),)


def _colours(image: Image) -> tuple[Plane, ...]:
    return tuple(image[..., c].astype(np.float64) for c in range(3))


def _whole(plane: Plane) -> Plane:
    return np.floor(plane + 0.5)


def _over_strips(strip: Callable[[int], tuple[float, ...]], height: int) -> list[float]:
    """The sums over all strips of each number that `strip(top)` returns."""
    tops = range(0, height, BLOCK)
    if len(tops) == 1:
        return list(strip(0))
    with ThreadPoolExecutor(THREADS) as pool:
        return [math.fsum(numbers) for numbers in zip(*pool.map(strip, tops), strict=True)]


def _squares(a: Plane, b: Plane) -> float:
    """The sum of squared differences."""
    difference = a - b
    difference *= difference
    return float(difference.sum())


def _decibel(error: float) -> float:
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def _similarity(a: Plane, b: Plane) -> float:
    """The sum of SSIM over all windows of a strip; 0 for a strip, the last of an image, that holds none."""
    rows, columns = (side - REACH for side in a.shape)
    if rows < 1:
        return 0.0
    tiles = (slice(left, left + TILE + REACH) for left in range(0, columns, TILE))
    return math.fsum(_similarity_of_tile(a[:, tile], b[:, tile]) for tile in tiles)


def _similarity_of_tile(a: Plane, b: Plane) -> float:
    """Variances enter as their sum only, so four planes are blurred: a, b, aa + bb, ab.

    Columns that fill no whole block are a block of their own.
    """
    planes = np.stack((a, b, a * a + b * b, a * b))
    columns = a.shape[1] - REACH
    rest = columns % BLOCK
    parts = ((planes[..., : columns - rest + REACH], BLOCK), (planes[..., columns - rest :], rest))
    return math.fsum(_score(_blurred(part, block)) for part, block in parts if part.shape[-1] > REACH)


def _blurred(planes: Plane, block: int) -> Plane:
    """The Gaussian over `[p h w]`, valid region only, in blocks of `block` columns: `[p blocks h-10 block]`."""
    windows = sliding_window_view(planes, block + REACH, axis=-1)[..., ::block, :].swapaxes(1, 2)
    columns: Plane = np.matmul(_gaussian(planes.shape[1] - REACH), windows)
    blurred: Plane = np.matmul(columns, _gaussian(block).T)
    return blurred


def _score(blurred: Plane) -> float:
    mean_a, mean_b, square, product = blurred
    c1, c2 = (SSIM_K1 * PEAK) ** 2, (SSIM_K2 * PEAK) ** 2
    means, cross = mean_a**2 + mean_b**2, mean_a * mean_b
    score = (2 * cross + c1) * (2 * (product - cross) + c2) / ((means + c1) * (square - means + c2))
    return float(score.sum())


@functools.lru_cache(maxsize=2 * BLOCK)
def _gaussian(length: int) -> Plane:
    """The window of SSIM as a band matrix `[length length+10]`."""
    offset = np.arange(SSIM_SIDE) - SSIM_SIDE // 2
    weight = np.exp(-(offset**2) / (2 * SSIM_SIGMA**2))
    band = np.zeros((length, length + REACH))
    for row in range(length):
        band[row, row : row + SSIM_SIDE] = weight / weight.sum()
    return band
