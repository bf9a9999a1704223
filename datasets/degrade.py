"""The degradations of the literature: how a low-resolution image is made from a high-resolution one.

`bicubic` (BI) shrinks by `imresize`. `blur_down` (BD) blurs first, by a 7x7 Gaussian of sigma 1.6. `down_noise` (DN)
adds Gaussian noise of sigma 30 (of 255) to the shrunk image. Every stage ends in 8 bits, as MATLAB's do for `uint8`.

The preparation scripts released with RDN blur in the same way but then keep every third pixel instead of shrinking by
`imresize`; others of the same name shrink. Images of both kinds are called BD: scores on them are not comparable.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datasets.naming import nearest
from datasets.resize import Border, Image, check, imresize

Degradation = Literal["bicubic", "blur_down", "down_noise"]
DEGRADATIONS = ("bicubic", "blur_down", "down_noise")
BLUR_SIDE, BLUR_SIGMA = 7, 1.6
NOISE_SIGMA = 30.0
"""Of 255."""


def degrade(hr: Image, scale: int, kind: Degradation, seed: int, border: Border = "symmetric") -> Image:
    """The low-resolution image of `hr [scale*h scale*w]` or `[scale*h scale*w c]`, uint8: `[h w]` or `[h w c]`.

    `border` is that of the shrinking; the blur always repeats the edge pixel, as the released scripts do. `seed`
    matters to `down_noise` only.

    Raises:
        ValueError: an unknown kind or border, a scale below 1, a negative seed, or no uint8 image.
    """
    if kind not in DEGRADATIONS:
        raise ValueError(f"unknown degradation {kind!r}: {nearest(kind, DEGRADATIONS)}")
    if scale < 1 or seed < 0:
        raise ValueError(f"a scale from 1 and a seed from 0 are needed, not {scale} and {seed}")
    check(hr, "degrade")
    lr = imresize(_blurred(hr) if kind == "blur_down" else hr, 1 / scale, border)
    return _noisy(lr, seed) if kind == "down_noise" else lr


def _blurred(image: Image) -> Image:
    """The separable Gaussian, `w(i) ~ exp(-i^2 / (2 sigma^2))`, rounded once, after both axes (halves up)."""
    offset = np.arange(BLUR_SIDE) - BLUR_SIDE // 2
    weight = np.exp(-(offset**2) / (2 * BLUR_SIGMA**2))
    weight /= weight.sum()
    values = image.astype(np.float64)
    for axis in (0, 1):
        source = (np.arange(image.shape[axis]) + offset[:, None]).clip(0, image.shape[axis] - 1)
        total = np.zeros(image.shape)
        for w, at in zip(weight, source, strict=True):
            total += w * values.take(at, axis=axis)
        values = total
    return _levels(values)


def _noisy(image: Image, seed: int) -> Image:
    """Independent noise on each value, drawn from the seed and the content of the image.

    So an image's noise depends neither on its neighbours nor on their order, and no two images share it.
    """
    content = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
    random = np.random.default_rng([seed, int.from_bytes(content, "little")])
    return _levels(image + NOISE_SIGMA * random.standard_normal(image.shape))


def _levels(values: NDArray[np.float64]) -> Image:
    return np.floor(values + 0.5).clip(0, 255).astype(np.uint8)
