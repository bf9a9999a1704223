"""PSNR and SSIM as the field's tables have them, on 8-bit images; pure functions.

The luma is BT.601 studio range, `Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255` on 0-255 values. `rounded` rounds it
first, as MATLAB's `rgb2ycbcr` does on 8-bit images and older tables did; that gives 0.01-0.09 dB less.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
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


def psnr(sr: Image, hr: Image, *, crop: int, channel: Channel = "y", rounded: bool = False) -> float:
    """Peak signal-to-noise ratio in dB of `sr [h w 3]` against `hr`, `crop` pixels left out on each side.

    `10 log10(255^2 / MSE)`, infinite for identical images.

    Raises:
        ValueError: shapes that differ, images that are not uint8 RGB, or a crop that leaves nothing.
    """
    ours, theirs = (_planes(image, channel, rounded=rounded) for image in _inner(sr, hr, crop, 1))
    error = float(np.mean((ours - theirs) ** 2))
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def ssim(sr: Image, hr: Image, *, crop: int, channel: Channel = "y") -> float:
    """Structural similarity (Wang et al., 2004): 11x11 Gaussian of sigma 1.5, valid region, population covariance.

    For "rgb" the mean over channels.

    Raises:
        ValueError: as `psnr`, or an image smaller than the window once cropped.
    """
    ours, theirs = (_planes(image, channel, rounded=False) for image in _inner(sr, hr, crop, SSIM_SIDE))
    return float(
        np.mean([_ssim_plane(a, b) for a, b in zip(np.moveaxis(ours, -1, 0), np.moveaxis(theirs, -1, 0), strict=True)])
    )


def luma(image: Image) -> Plane:
    """BT.601 studio-range Y of `[h w 3]` on 0-255 values, in floating point: `[h w]`."""
    red, green, blue = (weight * image[..., c].astype(np.int32) for c, weight in enumerate(LUMA_THOUSANDTHS))
    return 16.0 + (red + green + blue) / (1000 * PEAK)


def _inner(sr: Image, hr: Image, crop: int, least: int) -> tuple[Image, Image]:
    for image in (sr, hr):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:  # noqa: PLR2004 - rows, columns, RGB
            raise ValueError(f"images are uint8 [h w 3], not {image.dtype} of shape {image.shape}")
    if sr.shape != hr.shape:
        raise ValueError(f"images differ in size: {sr.shape} against {hr.shape}")
    if crop < 0 or min(sr.shape[:2]) - 2 * crop < least:
        raise ValueError(f"crop {crop} leaves less than {least} pixels of an image of {sr.shape[:2]}")
    rows, columns = (slice(crop, side - crop) for side in sr.shape[:2])
    return sr[rows, columns], hr[rows, columns]


def _planes(image: Image, channel: Channel, *, rounded: bool) -> Plane:
    if channel not in CHANNELS:
        raise ValueError(f"unknown channel {channel!r}: {nearest(channel, CHANNELS)}")
    if channel == "rgb":
        return image.astype(np.float64)
    plane = luma(image)[..., None]
    return np.floor(plane + 0.5) if rounded else plane


def _ssim_plane(a: Plane, b: Plane) -> float:
    c1, c2 = (SSIM_K1 * PEAK) ** 2, (SSIM_K2 * PEAK) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    score = (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return float(score.mean())


def _blur(plane: Plane) -> Plane:
    """Separable Gaussian of the SSIM window, valid region only."""
    offset = np.arange(SSIM_SIDE) - SSIM_SIDE // 2
    weight = np.exp(-(offset**2) / (2 * SSIM_SIGMA**2))
    weight /= weight.sum()
    for axis in (0, 1):
        length = plane.shape[axis] - SSIM_SIDE + 1
        shifted = (
            plane[start : start + length] if axis == 0 else plane[:, start : start + length]
            for start in range(SSIM_SIDE)
        )
        plane = np.add.reduce([w * s for w, s in zip(weight, shifted, strict=True)])
    return plane
