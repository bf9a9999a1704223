"""Kept parts and maps: where they lie, how they are tinted, how they are stored."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import skimage.data
from PIL import Image as Pillow

from datasets.resize import Image
from datasets.sets import Pair
from harness.pictures import FADED, KEPT_SIDE, around, busiest, fullest, kept, levels, png, tinted, webp


def test_the_busiest_window_is_where_the_detail_is() -> None:
    image = np.full((60, 80, 3), 100, dtype=np.uint8)
    image[30:40, 50:60] = np.random.default_rng(0).integers(0, 255, (10, 10, 3))
    top, left = busiest(image, 16)
    assert top <= 30
    assert top + 16 >= 40
    assert left <= 50
    assert left + 16 >= 60


@pytest.mark.parametrize("side", [1, 20, 60, 500])
def test_the_busiest_window_of_any_side_begins_inside_the_image(side: int) -> None:
    image = np.random.default_rng(1).integers(0, 255, (30, 41, 3), dtype=np.uint8)
    top, left = busiest(image, side)
    assert 0 <= top < 30
    assert 0 <= left < 41


def pair_of(height: int, width: int) -> Pair:
    """Noise in one corner of an even image: there is a busiest window, and no two places look alike."""
    hr = np.zeros((height, width, 3), dtype=np.uint8)
    hr[-60:, -60:] = np.random.default_rng(0).integers(0, 256, (60, 60, 3))
    return Pair("a", hr, hr[::2, ::2].copy())


def files_of(pair: Pair, at: tuple[int, int] | None = None) -> dict[str, bytes]:
    return {each.name: each.content for each in kept(pair, 255 - pair.hr, "set", 2, at)}


def pixels(content: bytes) -> Image:
    return np.asarray(Pillow.open(io.BytesIO(content)).convert("RGB"))


def test_a_small_image_is_kept_whole_and_to_the_bit() -> None:
    pair = pair_of(192, 160)
    files = files_of(pair)
    assert json.loads(files["place"]) == {"size": [96, 80], "corner": [0, 0], "at": None}
    np.testing.assert_array_equal(pixels(files["hr"]), pair.hr)
    np.testing.assert_array_equal(pixels(files["sr"]), 255 - pair.hr)
    np.testing.assert_array_equal(pixels(files["lr"]), pair.lr)
    assert "whole" not in files


@pytest.mark.parametrize(
    ("at", "corner"),
    [(None, [44, 144]), ((0, 0), [0, 0]), ((150, 200), [22, 72]), ((299, 399), [44, 144])],
)
def test_of_a_large_image_the_same_part_is_kept_of_all_three(at: tuple[int, int] | None, corner: list[int]) -> None:
    pair = pair_of(600, 800)
    files = files_of(pair, at)
    place = json.loads(files["place"])
    assert place == {"size": [300, 400], "corner": corner, "at": list(at) if at else None}
    top, left = (2 * c for c in corner)
    part = pair.hr[top : top + KEPT_SIDE, left : left + KEPT_SIDE]
    assert part.shape == (KEPT_SIDE, KEPT_SIDE, 3)
    np.testing.assert_array_equal(pixels(files["hr"]), part)
    np.testing.assert_array_equal(pixels(files["sr"]), 255 - part)
    np.testing.assert_array_equal(pixels(files["lr"]), part[::2, ::2])
    assert pixels(files["whole"]).shape == (480, 640, 3)


def test_what_is_to_be_looked_at_only_is_a_fraction_of_what_is_exact() -> None:
    photograph = skimage.data.chelsea()
    exact, near = webp(photograph), webp(photograph, exact=False)
    np.testing.assert_array_equal(pixels(exact), photograph)
    assert 5 * len(near) < len(exact)
    assert np.abs(pixels(near).astype(int) - photograph).mean() < 4


@pytest.mark.parametrize(
    ("middle", "length", "whole", "begin"), [(5, 4, 10, 3), (0, 4, 10, 0), (9, 4, 10, 6), (1, 12, 10, 0)]
)
def test_a_length_lies_around_its_middle_as_nearly_as_borders_let_it(
    middle: int, length: int, whole: int, begin: int
) -> None:
    assert around(middle, length, whole) == begin


def test_the_fullest_window_holds_more_than_any_other() -> None:
    amount = np.random.default_rng(0).random((9, 12))
    sums = {(i, j): amount[i : i + 4, j : j + 4].sum() for i in range(6) for j in range(9)}
    assert fullest(amount, 4) == max(sums, key=lambda corner: sums[corner])


def test_a_tint_moves_from_faded_grey_to_the_colour() -> None:
    image = np.full((1, 3, 3), 100, dtype=np.uint8)
    none, half, whole = tinted(image, np.array([[0.0, 0.5, 7.0]]), (10, 20, 30))[0]
    grey = 255 - (1 - FADED) * (255 - (16 + 219 * 100 / 255))
    np.testing.assert_allclose(none, grey)
    np.testing.assert_allclose(half, (grey + np.array([10, 20, 30])) / 2)
    np.testing.assert_allclose(whole, [10, 20, 30])


def test_levels_round_halves_up_and_stay_in_range() -> None:
    assert levels(np.array([-3.0, 0.49, 0.5, 254.5, 300.0])).tolist() == [0, 0, 1, 255, 255]


def test_a_palette_makes_a_png_smaller_and_stays_near() -> None:
    noise = np.random.default_rng(0).integers(0, 20, (128, 128))
    ramp = (np.linspace(20, 200, 128)[:, None] + noise).astype(np.uint8)
    image = np.stack([ramp, 255 - ramp, ramp // 2], axis=-1)
    small = np.asarray(Pillow.open(io.BytesIO(png(image, 64))).convert("RGB"))
    assert len(png(image, 64)) < len(png(image))
    assert np.abs(small.astype(int) - image).max() < 12
    np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(png(image)))), image)
