"""Crops and maps: where they are cut, how they are tinted, how they are stored."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from datasets.sets import Pair
from harness.pictures import FADED, busiest, crops, levels, png, tinted


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


def test_crops_show_the_same_place_of_all_three_images() -> None:
    hr = np.zeros((240, 240, 3), dtype=np.uint8)
    hr[100:130, 150:180] = np.random.default_rng(0).integers(0, 256, (30, 30, 3))
    pair = Pair("a", hr, hr[::2, ::2].copy())
    found = {each.name: np.asarray(Pillow.open(io.BytesIO(each.content))) for each in crops(pair, 255 - hr, "set", 2)}
    assert found["hr"].shape == (80, 80, 3)
    assert (found["hr"] > 0).sum() > 0.9 * (hr > 0).sum()
    np.testing.assert_array_equal(found["sr"], 255 - found["hr"])
    np.testing.assert_array_equal(found["lr"], found["hr"][::2, ::2])


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
