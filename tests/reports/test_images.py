from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from harness.metrics import luma
from harness.pictures import CROP_SIDE
from reports.images import (
    GAIN,
    INNER,
    OUTER,
    OVERVIEW_SIDE,
    boxed,
    cut,
    decoded,
    difference,
    encoded,
    sides,
    spread,
    window_around,
    window_at,
)


@pytest.fixture
def noise() -> np.random.Generator:
    return np.random.default_rng(0)


def test_what_is_encoded_comes_back_to_the_bit(noise: np.random.Generator) -> None:
    image = noise.integers(0, 256, (31, 17, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decoded(encoded(image)), image)


@pytest.mark.parametrize("how", [{}, {"lossless": True}, {"exif": b"Exif"}, {"format": "PNG"}], ids=str)
def test_sides_are_read_off_the_head_of_a_file(noise: np.random.Generator, how: dict[str, Any]) -> None:
    stream = io.BytesIO()
    Pillow.fromarray(noise.integers(0, 256, (300, 17, 3), dtype=np.uint8)).save(stream, **{"format": "WEBP", **how})
    assert sides(base64.b64encode(stream.getvalue()).decode()) == (17, 300)


def test_spread_is_the_standard_deviation_of_luma(noise: np.random.Generator) -> None:
    images = noise.integers(0, 256, (5, 20, 30, 3), dtype=np.uint8)
    expected = np.std([luma(image) for image in images], axis=0)
    np.testing.assert_allclose(spread(iter(images)), expected, atol=1e-6)


def test_spread_of_equal_images_is_none() -> None:
    assert spread([np.full((4, 4, 3), 77, dtype=np.uint8)] * 3).max() < 1e-4


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_window_holds_the_largest_difference_whatever_the_scale(scale: int) -> None:
    amount = np.zeros((90 * scale, 70 * scale))
    amount[60 * scale : 65 * scale, 8 * scale : 20 * scale] = 1.0
    top, left = window_at(amount, scale)
    assert top <= 60
    assert top + CROP_SIDE >= 65
    assert left <= 8
    assert left + CROP_SIDE >= 20


def test_a_window_stays_inside_an_image_that_is_smaller() -> None:
    assert window_at(np.ones((20, 200)), 2) == (0, 0)
    assert window_around((2, 90), (10, 100)) == (0, 100 - CROP_SIDE)


def test_crops_of_both_resolutions_show_the_same_place(noise: np.random.Generator) -> None:
    low = noise.integers(0, 256, (60, 70, 3), dtype=np.uint8)
    high = low.repeat(3, axis=0).repeat(3, axis=1)
    window = (11, 25)
    np.testing.assert_array_equal(
        decoded(cut(encoded(high), window, 3)),
        decoded(cut(encoded(low), window, 1)).repeat(3, axis=0).repeat(3, axis=1),
    )


def test_an_image_that_a_crop_holds_whole_is_left_as_it_is(noise: np.random.Generator) -> None:
    content = encoded(noise.integers(0, 256, (60, 50, 3), dtype=np.uint8))
    assert cut(content, (0, 0), 2) is content


def test_a_difference_is_black_where_images_are_alike_and_as_bright_as_told_elsewhere() -> None:
    image = np.full((4, 5, 3), 100, dtype=np.uint8)
    other = image.copy()
    other[0, 0] = (103, 97, 100)
    other[1, 1] = 255
    other[2, 2] = (90, 100, 100)
    shown = decoded(difference(encoded(image), encoded(other)))
    assert shown[0, 0].tolist() == [2 * GAIN] * 3
    assert shown[1, 1].tolist() == [255] * 3
    assert shown[2, 2].tolist() == [int(GAIN * 10 / 3 + 0.5)] * 3
    assert np.count_nonzero(shown) == 9


def test_a_box_lies_where_it_is_said_and_leaves_the_rest() -> None:
    image = np.zeros((2 * OVERVIEW_SIDE, OVERVIEW_SIDE, 3), dtype=np.uint8)
    small = boxed(image, (0.5, 0.25), (0.25, 0.5))
    assert small.shape == (OVERVIEW_SIDE, OVERVIEW_SIDE // 2, 3)
    rows, columns = np.nonzero(small.any(axis=-1))
    assert (rows.min(), rows.max()) == (180, 269)
    assert (columns.min(), columns.max()) == (45, 134)
    assert small[184:266, 49:131].max() == 0
    assert small[180, 60].tolist() == small[183, 60].tolist() == list(OUTER)
    assert small[181, 60].tolist() == small[250, 133 - 1].tolist() == list(INNER)
    assert image.max() == 0


def test_a_box_at_the_very_edge_stays_in_the_image() -> None:
    image = np.zeros((100, 80, 3), dtype=np.uint8)
    small = boxed(image, (0.0, 0.0), (1.0, 1.0))
    assert small[0, 0].tolist() == small[99, 79].tolist() == list(OUTER)
