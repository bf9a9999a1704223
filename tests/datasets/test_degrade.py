"""The degradations against scipy's filters, against what noise must look like, and against each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

import datasets
from datasets import imresize
from datasets.degrade import DEGRADATIONS, degrade
from tests.datasets.test_sets import benchmark

Image = NDArray[np.uint8]
PHOTOGRAPH = next(iter(datasets.load("builtin-test", 3))).hr[:120, :90]
kinds = pytest.mark.parametrize("kind", DEGRADATIONS)
borders = pytest.mark.parametrize("border", ["symmetric", "replicate"])


def flat(level: int, *shape: int) -> Image:
    return np.full(shape, level, dtype=np.uint8)


def blurred(plane: Image) -> Image:
    """MATLAB's `imfilter(plane, fspecial('gaussian', 7, 1.6), 'replicate')`, in two dimensions at once."""
    y, x = np.mgrid[-3:4, -3:4]
    kernel = np.exp(-(x**2 + y**2) / (2 * 1.6**2))
    values = ndimage.correlate(plane.astype(float), kernel / kernel.sum(), mode="nearest")
    assert np.abs(values % 1 - 0.5).min() > 1e-9, "a value on the edge of rounding would compare arithmetic, not blurs"
    return np.floor(values + 0.5).astype(np.uint8)


@borders
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_imresize(scale: int, border: Any) -> None:
    expected = imresize(PHOTOGRAPH, 1 / scale, border)
    np.testing.assert_array_equal(degrade(PHOTOGRAPH, scale, "bicubic", 0, border), expected)


@borders
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_blur_down_rounds_the_blur_then_shrinks(scale: int, border: Any) -> None:
    planes = [imresize(blurred(plane), 1 / scale, border) for plane in np.moveaxis(PHOTOGRAPH, -1, 0)]
    made = degrade(PHOTOGRAPH, scale, "blur_down", 0, border)
    np.testing.assert_array_equal(made, np.stack(planes, axis=-1))


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (3, 1, 3), (8, 7)])
def test_blur_down_of_images_smaller_than_the_kernel_repeats_the_edge(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    planes = np.moveaxis(image[..., None] if image.ndim == 2 else image, -1, 0)
    expected = np.stack([blurred(np.ascontiguousarray(plane)) for plane in planes], axis=-1)
    np.testing.assert_array_equal(degrade(image, 1, "blur_down", 0), expected.reshape(shape))


@pytest.mark.parametrize("level", [0, 1, 127, 255])
@pytest.mark.parametrize("kind", ["bicubic", "blur_down"])
def test_a_flat_image_stays_flat(kind: Any, level: int) -> None:
    np.testing.assert_array_equal(degrade(flat(level, 12, 9, 3), 3, kind, 0), flat(level, 4, 3, 3))


def test_noise_is_centred_white_and_of_sigma_30() -> None:
    noise = degrade(flat(128, 400, 400, 3), 2, "down_noise", 0).astype(float) - 128
    assert noise.mean() == pytest.approx(0, abs=5 * 30 / noise.size**0.5)
    assert noise.std() == pytest.approx(30, rel=0.02)
    for other in (np.roll(noise, 1, axis=0), np.roll(noise, 1, axis=1), np.roll(noise, 1, axis=2)):
        assert np.mean(noise * other) / 900 == pytest.approx(0, abs=5 / noise.size**0.5)


@pytest.mark.parametrize(("level", "share"), [(0, 0.5), (255, 0.5)])
def test_noise_is_clipped(level: int, share: float) -> None:
    made = degrade(flat(level, 300, 300), 1, "down_noise", 0)
    assert np.mean(made == level) == pytest.approx(share, abs=0.03)


def test_noise_depends_on_seed_and_content_only() -> None:
    made = degrade(PHOTOGRAPH, 3, "down_noise", 7)
    other = degrade(PHOTOGRAPH[::-1], 3, "down_noise", 7)
    np.testing.assert_array_equal(degrade(PHOTOGRAPH.copy(), 3, "down_noise", 7), made)
    assert (degrade(PHOTOGRAPH, 3, "down_noise", 8) != made).any()
    assert (other[::-1] != made).any()


def test_noise_is_that_of_yesterday() -> None:
    """Numpy may change its generators; tables of other days would then not compare."""
    assert degrade(flat(128, 2, 3), 1, "down_noise", 1).tolist() == [[130, 138, 108], [135, 126, 136]]


@kinds
def test_the_input_is_left_alone(kind: Any) -> None:
    image = PHOTOGRAPH.copy()
    made = degrade(image, 3, kind, 0)
    assert made.shape == (40, 30, 3)
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(image, PHOTOGRAPH)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "blurdown"}, "unknown degradation 'blurdown': did you mean 'blur_down'? Allowed: bicubic, blur_down"),
        ({"border": "symetric"}, "unknown border 'symetric': did you mean 'symmetric'?"),
        ({"scale": 0}, "a scale from 1 and a seed from 0 are needed, not 0 and 0"),
        ({"seed": -1}, "a scale from 1 and a seed from 0 are needed, not 3 and -1"),
        ({"hr": np.zeros((6, 6))}, "degrade takes uint8 [h w] or [h w c], not float64 of shape (6, 6)"),
    ],
)
def test_what_cannot_be_degraded_is_told(options: dict[str, Any], message: str) -> None:
    asked = {"hr": PHOTOGRAPH, "scale": 3, "kind": "bicubic", "seed": 0, **options}
    with pytest.raises(ValueError, match=re.escape(message)):
        degrade(**asked)


def test_a_degradation_makes_the_images_and_changes_the_fingerprint(tmp_path: Path) -> None:
    root = benchmark(tmp_path / "Set", "a", "b")
    given = datasets.load(str(root), 2)
    assert given.border == "as given"
    prints = {given.fingerprint}
    for kind, seed in (("blur_down", 0), ("down_noise", 0), ("down_noise", 1)):
        images = datasets.load(str(root), 2, degradation=kind, noise_seed=seed)
        assert images.border == "symmetric"
        for pair in images:
            np.testing.assert_array_equal(pair.lr, degrade(pair.hr, 2, kind, seed))
        prints.add(images.fingerprint)
    assert len(prints) == 4
