"""PSNR and SSIM against scikit-image's, and against values known beforehand."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import datasets
from harness.metrics import BLOCK, REACH, TILE, Scores, luma, psnr, scores, ssim

Image = NDArray[np.uint8]
WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
few = settings(max_examples=25, deadline=None, derandomize=True)


def noise(*shape: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def noisy(image: Image, spread: int) -> Image:
    added = np.random.default_rng(1).integers(-spread, spread + 1, image.shape)
    return (image.astype(int) + added).clip(0, 255).astype(np.uint8)


def inner(image: Image, crop: int) -> Image:
    return image[crop : image.shape[0] - crop, crop : image.shape[1] - crop]


PHOTOGRAPHS = [pytest.param(pair.hr[20:75, 30:99], id=pair.name) for pair in datasets.load("builtin-test", 1)]
photographs = pytest.mark.parametrize("image", [*PHOTOGRAPHS, pytest.param(noise(13, 40, 3), id="noise")])
crops = pytest.mark.parametrize("crop", [0, 1])


@crops
@photographs
def test_equal_to_scikit_image_on_luma(image: Image, crop: int) -> None:
    for spread in (1, 20):
        worse = noisy(image, spread)
        planes = [rgb2ycbcr(inner(i, crop))[..., 0] for i in (image, worse)]
        expected = peak_signal_noise_ratio(*planes, data_range=255)
        assert psnr(worse, image, crop=crop) == pytest.approx(expected, rel=1e-6)
        assert ssim(worse, image, crop=crop) == pytest.approx(structural_similarity(*planes, **WANG), rel=1e-6)


@crops
@photographs
def test_equal_to_scikit_image_on_rgb(image: Image, crop: int) -> None:
    worse = noisy(image, 9)
    ours, theirs = inner(worse, crop), inner(image, crop)
    expected = peak_signal_noise_ratio(theirs, ours)
    assert psnr(worse, image, crop=crop, channel="rgb") == pytest.approx(expected, rel=1e-6)
    expected = structural_similarity(theirs, ours, channel_axis=-1, **WANG)
    assert ssim(worse, image, crop=crop, channel="rgb") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((2 * BLOCK + 1, TILE + REACH + 1), id="one row and column beyond whole strips and tiles"),
        pytest.param((BLOCK + REACH, TILE + REACH), id="whole strips and tiles"),
        pytest.param((2 * BLOCK + REACH - 1, TILE + BLOCK + 5), id="a last strip without a window"),
        pytest.param((11, 11), id="one window"),
        pytest.param((11, 2 * TILE), id="one row of windows"),
    ],
)
@pytest.mark.parametrize("channel", ["y", "rgb"])
def test_no_strip_or_tile_is_seen_in_the_values(shape: tuple[int, int], channel: Any) -> None:
    image = noise(*shape, 3)
    worse = noisy(image, 30)
    ours, theirs = (i / 1.0 if channel == "rgb" else rgb2ycbcr(i)[..., :1] for i in (worse, image))
    expected = structural_similarity(theirs, ours, channel_axis=-1, **WANG)
    assert ssim(worse, image, crop=0, channel=channel) == pytest.approx(expected, rel=0, abs=1e-9)
    expected = peak_signal_noise_ratio(theirs, ours, data_range=255)
    assert psnr(worse, image, crop=0, channel=channel) == pytest.approx(expected, rel=0, abs=1e-9)


@few
@given(st.integers(13, 80), st.integers(13, 80), st.integers(0, 1), st.integers(0, 99))
def test_scores_are_those_of_the_single_metrics(height: int, width: int, crop: int, seed: int) -> None:
    image = noise(height, width, 3, seed=seed)
    worse = noisy(image, 9)
    apart = Scores(
        psnr(worse, image, crop=crop), psnr(worse, image, crop=crop, rounded=True), ssim(worse, image, crop=crop)
    )
    assert scores(worse, image, crop=crop) == pytest.approx(apart, rel=1e-12)
    assert scores(image, image, crop=crop) == (math.inf, math.inf, 1)


def test_scores_want_a_whole_window() -> None:
    with pytest.raises(ValueError, match=re.escape("crop 2 leaves less than 11 pixels of an image of (13, 30)")):
        scores(noise(13, 30, 3), noise(13, 30, 3), crop=2)


def rounded_luma(image: Image) -> NDArray[np.float64]:
    """Luma in whole numbers, computed in thousandths; halves are rounded up."""
    red, green, blue = (image[..., c].astype(int) for c in range(3))
    return (16 + (65481 * red + 128553 * green + 24966 * blue + 127500) // 255000).astype(float)


@pytest.mark.parametrize("image", PHOTOGRAPHS)
def test_rounded_luma_is_that_of_whole_numbers(image: Image) -> None:
    worse = noisy(image, 2)
    planes = [rounded_luma(i) for i in (image, worse)]
    expected = peak_signal_noise_ratio(*planes, data_range=255)
    assert psnr(worse, image, crop=0, rounded=True) == pytest.approx(expected, rel=1e-6)
    assert psnr(worse, image, crop=0, rounded=True) != psnr(worse, image, crop=0)


@photographs
def test_luma_equals_scikit_image(image: Image) -> None:
    np.testing.assert_allclose(luma(image), rgb2ycbcr(image)[..., 0], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("colour", "y"), [((0, 0, 0), 16), ((255, 255, 255), 235), ((255, 0, 0), 81.481), ((0, 0, 255), 40.966)]
)
def test_luma_has_studio_range(colour: tuple[int, int, int], y: float) -> None:
    assert luma(np.full((1, 1, 3), colour, dtype=np.uint8)).item() == pytest.approx(y, abs=1e-12)


@pytest.mark.parametrize("difference", [1, 2, 51, 255])
def test_a_constant_difference_has_a_known_psnr(difference: int) -> None:
    dark, light = (np.full((9, 9, 3), level, dtype=np.uint8) for level in (0, difference))
    assert psnr(dark, light, crop=2, channel="rgb") == pytest.approx(20 * math.log10(255 / difference))
    assert psnr(dark, light, crop=2) == pytest.approx(20 * math.log10(255 / (difference * 219 / 255)))


def test_only_what_the_crop_leaves_is_seen() -> None:
    image = noise(20, 24, 3)
    framed = image.copy()
    framed[:3], framed[-3:], framed[:, :3], framed[:, -3:] = 0, 0, 0, 0
    assert psnr(framed, image, crop=3) == math.inf
    assert ssim(framed, image, crop=3) == 1
    assert math.isfinite(psnr(framed, image, crop=2))
    assert ssim(framed, image, crop=2) < 1


@few
@given(st.integers(11, 20), st.integers(11, 20), st.sampled_from(["y", "rgb"]), st.booleans(), st.integers(0, 99))
def test_identical_images_are_infinitely_good(height: int, width: int, channel: Any, rounded: bool, seed: int) -> None:
    image = noise(height, width, 3, seed=seed)
    assert psnr(image, image.copy(), crop=0, channel=channel, rounded=rounded) == math.inf
    assert ssim(image, image.copy(), crop=0, channel=channel) == pytest.approx(1, abs=1e-12)


@few
@given(st.integers(11, 20), st.integers(11, 20), st.sampled_from(["y", "rgb"]), st.integers(0, 99))
def test_both_are_symmetric_and_bounded(height: int, width: int, channel: Any, seed: int) -> None:
    a, b = noise(height, width, 3, seed=seed), noise(height, width, 3, seed=seed + 100)
    for metric in (psnr, ssim):
        assert metric(a, b, crop=0, channel=channel) == pytest.approx(metric(b, a, crop=0, channel=channel))
    assert 0 < psnr(a, b, crop=0, channel=channel) < 60
    assert -1 <= ssim(a, b, crop=0, channel=channel) < 1


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_more_noise_is_worse(metric: Any) -> None:
    image = PHOTOGRAPHS[1].values[0]
    values = [metric(noisy(image, spread), image, crop=2) for spread in (1, 4, 16, 64)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize(
    ("sr", "hr", "options", "message"),
    [
        (noise(12, 14, 3), noise(12, 15, 3), {}, "images differ in size: (12, 14, 3) against (12, 15, 3)"),
        (noise(12, 14), noise(12, 14), {}, "images are uint8 [h w 3], not uint8 of shape (12, 14)"),
        (noise(12, 14, 4), noise(12, 14, 4), {}, "images are uint8 [h w 3], not uint8 of shape (12, 14, 4)"),
        (noise(12, 14, 3), noise(12, 14, 3) / 255, {}, "images are uint8 [h w 3], not float64 of shape (12, 14, 3)"),
        (noise(12, 14, 3), noise(12, 14, 3), {"crop": -1}, "crop -1 leaves less than"),
        (noise(12, 14, 3), noise(12, 14, 3), {"crop": 6}, "crop 6 leaves less than"),
        (noise(14, 12, 3), noise(14, 12, 3), {"channel": "yy"}, "unknown channel 'yy': did you mean 'y'?"),
    ],
)
def test_what_cannot_be_compared_is_told(metric: Any, sr: Image, hr: Image, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        metric(sr, hr, **{"crop": 0, **options})


def test_ssim_wants_a_whole_window() -> None:
    image = noise(13, 30, 3)
    assert ssim(image, image, crop=1) == pytest.approx(1)
    with pytest.raises(ValueError, match=re.escape("crop 2 leaves less than 11 pixels of an image of (13, 30)")):
        ssim(image, image, crop=2)
