"""`imresize` against MATLAB's description of it, written out pixel by pixel, against its plain sums in double precision
and against values known beforehand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import datasets
from datasets import imresize, resize
from datasets.resize import taps

Image = NDArray[np.uint8]
FACTORS = (Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(2), Fraction(3), Fraction(4), Fraction(1))
borders = pytest.mark.parametrize("border", ["symmetric", "replicate"])


def cubic(x: Fraction) -> Fraction:
    """Keys' kernel with a = -1/2, as Keys gives it."""
    x = abs(x)
    if x <= 1:
        return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
    return -Fraction(1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2 if x <= 2 else Fraction(0)


def mirrored(j: int, length: int) -> int:
    while not 0 <= j < length:
        j = -1 - j if j < 0 else 2 * length - 1 - j
    return j


def held(j: int, length: int) -> int:
    return min(max(j, 0), length - 1)


INSIDE: dict[str, Callable[[int, int], int]] = {"symmetric": mirrored, "replicate": held}


def resized_line(line: list[int], factor: Fraction, border: str) -> list[int]:
    """One line, each output pixel from all pixels that the kernel reaches; exact, and halves are rounded up."""
    shrink = min(factor, Fraction(1))
    out = []
    for i in range(math.ceil(len(line) * factor)):
        centre = (i + Fraction(1, 2)) / factor - Fraction(1, 2)
        reach = range(math.floor(centre - 2 / shrink), math.ceil(centre + 2 / shrink) + 1)
        weights = [cubic(shrink * (centre - j)) for j in reach]
        total = sum(w * line[INSIDE[border](j, len(line))] for w, j in zip(weights, reach, strict=True)) / sum(weights)
        out.append(min(max(math.floor(total + Fraction(1, 2)), 0), 255))
    return out


def resized_plane(plane: Image, factor: Fraction, border: str) -> Image:
    """Rows are resized before columns, with 8 bits in between."""
    columns = [resized_line(column, factor, border) for column in plane.T.tolist()]
    rows = [resized_line(list(row), factor, border) for row in zip(*columns, strict=True)]
    return np.array(rows, dtype=np.uint8)


def noise(*shape: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@borders
@pytest.mark.parametrize("factor", FACTORS, ids=str)
@pytest.mark.parametrize("shape", [(24, 12), (13, 11)])
def test_equals_the_definition_on_grey(shape: tuple[int, int], factor: Fraction, border: str) -> None:
    image = noise(*shape)
    np.testing.assert_array_equal(imresize(image, float(factor), border), resized_plane(image, factor, border))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    factor=st.sampled_from(FACTORS),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    contrast=st.sampled_from([3, 5, 256]),
    border=st.sampled_from(["symmetric", "replicate"]),
    seed=st.integers(0, 2**32),
)
def test_equals_the_definition_on_tiny_images(
    factor: Fraction, height: int, width: int, contrast: int, border: str, seed: int
) -> None:
    levels = np.linspace(0, 255, contrast).astype(np.uint8)
    image = levels[noise(height, width, seed=seed) % np.uint8(contrast - 1)]
    np.testing.assert_array_equal(imresize(image, float(factor), border), resized_plane(image, factor, border))


def plain(image: Image, scale: float, border: str) -> Image:
    """`imresize` in double precision and nothing else, tap by tap over the whole image."""
    for axis in (0, 1):
        plan = taps(image.shape[axis], float(scale), border)
        shape = [-1 if a == axis else 1 for a in range(image.ndim)]
        total = np.zeros(())
        for source, weight in zip(plan.source.T, plan.weight.T, strict=True):
            total = total + weight.reshape(shape) * image.take(source, axis=axis)
        image = np.floor(total + 0.5).clip(0, 255).astype(np.uint8)
    return image


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    scale=st.one_of(st.sampled_from([1 / 8, 1 / 4, 1 / 3, 1 / 2, 1, 2, 3, 4, 8]), st.floats(0.01, 5)),
    shape=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    channels=st.sampled_from([(), (1,), (3,), (5,)]),
    step=st.sampled_from([1, 27, 64, 81, 255]),
    border=st.sampled_from(["symmetric", "replicate"]),
    seed=st.integers(0, 2**32),
)
def test_equals_the_plain_sums(
    scale: float, shape: tuple[int, int], channels: tuple[int, ...], step: int, border: str, seed: int
) -> None:
    """Levels in steps of 27, 64 and 81 put many sums on exact halves: weights are multiples of 1/54, 1/128, 1/162."""
    image = noise(*shape, *channels, seed=seed) // np.uint8(step) * np.uint8(step)
    np.testing.assert_array_equal(imresize(image, scale, border), plain(image, scale, border))


@borders
@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 1 / 2, 0.37, 2, 2.5, 3])
def test_equals_the_plain_sums_on_photographs(scale: float, border: str) -> None:
    for pair in datasets.load("builtin-test", 1):
        image = pair.hr[:250, :331]
        np.testing.assert_array_equal(imresize(image, scale, border), plain(image, scale, border))


@borders
@pytest.mark.parametrize(("shape", "scale"), [((1, 1), 1e-3), ((1, 1, 3), 500), ((5, 3), 1e-3), ((1, 90), 40)])
def test_extreme_scales(shape: tuple[int, ...], scale: float, border: str) -> None:
    image = noise(*shape)
    np.testing.assert_array_equal(imresize(image, scale, border), plain(image, scale, border))


def test_neither_threads_nor_their_number_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(90, 70, 3)
    expected = imresize(image, 1 / 3)
    monkeypatch.setattr(resize, "SMALL", 0)
    for threads in (1, 2, 5):
        monkeypatch.setattr(resize, "THREADS", threads)
        np.testing.assert_array_equal(imresize(image, 1 / 3), expected)


@pytest.mark.parametrize("scale", [1 / 8, 1 / 4, 1 / 3, 1 / 2, 0.37, 0.01, 1, 2, 3, 4, 2.5])
def test_single_precision_errs_within_the_margin(scale: float) -> None:
    """Whatever is further from a half than the margin is thus rounded as in double precision."""
    values = noise(500, 2000)
    plan = resize._blocks(500, scale, "symmetric", 16)
    line = np.concatenate((values[plan.before], values, values[plan.after]))
    windows = [line[start : start + plan.span] for start in plan.start]
    single = np.concatenate([w @ x.astype(np.float32) for w, x in zip(plan.weight, windows, strict=True)])
    exact = taps(500, scale)
    double = np.stack([w @ values[s].astype(float) for s, w in zip(exact.source, exact.weight, strict=True)])
    assert np.abs(single[: len(double)] - double).max() <= plan.margin


@pytest.mark.parametrize(("scale", "exact"), [(1 / 4, True), (1 / 2, True), (2, True), (4, True), (1 / 3, False)])
def test_sums_of_binary_fractions_have_no_margin(scale: float, exact: bool) -> None:
    assert (resize._blocks(40, scale, "symmetric", 16).margin == 0) == exact


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0), (4, 4, 0)])
def test_an_empty_image_stays_empty(shape: tuple[int, ...]) -> None:
    assert imresize(np.zeros(shape, np.uint8), 0.5).shape == (*(math.ceil(n / 2) for n in shape[:2]), *shape[2:])


@borders
@pytest.mark.parametrize("factor", [0.5, 3])
def test_channels_are_resized_apart(factor: float, border: str) -> None:
    image = noise(8, 10, 3)
    planes = [imresize(np.ascontiguousarray(image[..., c]), factor, border) for c in range(3)]
    np.testing.assert_array_equal(imresize(image, factor, border), np.stack(planes, axis=-1))


def test_known_values() -> None:
    """Worked out by hand: doubling weighs (-9, 111, 29, -3)/128, halving (-3, -9, 29, 111, 111, 29, -9, -3)/256."""
    ramp = np.array([[10, 20, 40, 80]], dtype=np.uint8)
    assert imresize(ramp, 2)[0, 3:5].tolist() == [24, 33]
    step = np.repeat(np.array([[0, 200]], dtype=np.uint8), (4, 6), axis=1)
    assert imresize(step, 0.5).tolist() == [[0, 13, 187, 202, 200]]


def test_borders_differ_only_near_the_border() -> None:
    image = noise(40, 40)
    symmetric, replicate = (imresize(image, 0.5, border) for border in ("symmetric", "replicate"))
    assert (symmetric[2:-2, 2:-2] == replicate[2:-2, 2:-2]).all()
    assert (symmetric != replicate).any()


@borders
@pytest.mark.parametrize("factor", [1 / 2, 1 / 3, 1 / 4, 0.37, 1, 2, 3, 4, 2.5])
@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_a_constant_image_stays_constant(value: int, factor: float, border: str) -> None:
    out = imresize(np.full((7, 10, 3), value, dtype=np.uint8), factor, border)
    assert out.shape == (math.ceil(7 * factor), math.ceil(10 * factor), 3)
    assert (out == value).all()


def test_scale_one_changes_nothing() -> None:
    image = noise(6, 9, 3)
    np.testing.assert_array_equal(imresize(image, 1), image)


def test_the_input_is_left_alone_and_may_be_a_view() -> None:
    image = noise(16, 20, 3)
    copy = image.copy()
    flipped = imresize(image[::-1, ::-1], 0.5)
    np.testing.assert_array_equal(image, copy)
    np.testing.assert_array_equal(flipped[::-1, ::-1], imresize(image, 0.5))


@borders
@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 1 / 2, 2.0, 3.0])
def test_weights_of_a_pixel_sum_to_one_and_stay_inside(scale: float, border: str) -> None:
    plan = taps(7, scale, border)
    np.testing.assert_allclose(plan.weight.sum(axis=1), 1, rtol=0, atol=1e-15)
    assert plan.source.min() >= 0
    assert plan.source.max() < 7


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4)), "imresize takes uint8 [h w] or [h w c], not float64 of shape (4, 4)"),
        (np.zeros((4, 4), np.uint16), "not uint16 of shape (4, 4)"),
        (np.zeros(4, np.uint8), "not uint8 of shape (4,)"),
        (np.zeros((1, 4, 4, 3), np.uint8), "not uint8 of shape (1, 4, 4, 3)"),
    ],
)
def test_other_arrays_are_refused(image: NDArray[np.generic], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        imresize(image, 0.5)


@pytest.mark.parametrize("scale", [0, -1, math.inf, math.nan])
def test_impossible_scales_are_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=f"scale must be positive and finite, not {scale}"):
        imresize(noise(4, 4), scale)


def test_an_unknown_border_is_answered_with_the_nearest() -> None:
    message = "unknown border 'replicat': did you mean 'replicate'? Allowed: replicate, symmetric."
    with pytest.raises(ValueError, match=re.escape(message)):
        imresize(noise(4, 4), 0.5, "replicat")
