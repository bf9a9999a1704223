"""Training patches: a pure function of seed and step, low and high resolution cut from the same place."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets.cache import DecodedSet
from datasets.patches import Batch, PatchSource
from datasets.sets import Pair

Image = NDArray[np.uint8]
SCALE = 3


def decoded(*sizes: tuple[int, int], scale: int = SCALE) -> DecodedSet:
    """Images whose HR pixels tell their place (row, column, image) and whose LR is HR's middle subsample."""
    pairs = []
    for number, (height, width) in enumerate(sizes):
        rows, columns = np.mgrid[0 : scale * height, 0 : scale * width].astype(np.uint8)
        hr = np.stack([rows, columns, np.full_like(rows, number)], axis=-1)
        middle = scale // 2
        pairs.append(Pair(f"image{number}", hr, np.ascontiguousarray(hr[middle::scale, middle::scale])))
    return DecodedSet("synthetic", scale, tuple(pairs))


def source(*sizes: tuple[int, int], **changes: Any) -> PatchSource:
    return PatchSource(**{"images": decoded(*(sizes or [(9, 11)])), "patch": 4, "batch": 3, "seed": 0, **changes})


def same(a: Batch, b: Batch) -> bool:
    return np.array_equal(a.lr, b.lr) and np.array_equal(a.hr, b.hr)


def orientation(hr: Image) -> tuple[bool, bool, bool]:
    """Whether rows and columns were exchanged, and which of them runs backwards."""
    rows, columns = hr[..., 0].astype(int), hr[..., 1].astype(int)
    transposed = bool(rows[0, 0] == rows[1, 0])
    if transposed:
        rows, columns = rows.T, columns.T
    return transposed, bool(rows[0, 0] > rows[1, 0]), bool(columns[0, 0] > columns[0, 1])


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    one, two = source((9, 11), (7, 6)), source((9, 11), (7, 6))
    list(two.batches(0, 5))
    assert all(same(one.at(step), two.at(step)) for step in (7, 0, 3))
    assert not same(one.at(0), one.at(1))
    assert not same(one.at(0), source((9, 11), (7, 6), seed=1).at(0))


def test_the_patches_of_a_seed_and_step_never_change() -> None:
    """What a published training saw: row, column and image of the first pixel, and the orientation."""
    hr = source((9, 11), (7, 6), batch=4, seed=5).at(7).hr
    assert [(*patch[0, 0].tolist(), *orientation(patch)) for patch in hr] == [
        (9, 18, 0, True, False, False),
        (26, 9, 0, False, True, False),
        (11, 23, 0, True, True, True),
        (9, 32, 0, True, False, True),
    ]


def test_batches_are_those_of_their_steps_in_order() -> None:
    patches = source(batch=2)
    for first, last in ((0, 11), (5, 8), (3, 3), (2, 3)):
        batches = list(patches.batches(first, last))
        assert len(batches) == last - first
        assert all(same(batch, patches.at(step)) for batch, step in zip(batches, range(first, last), strict=True))


def test_batches_can_be_left_early() -> None:
    patches = source()
    assert same(next(patches.batches(4, 10**9)), patches.at(4))


def test_shapes_and_types() -> None:
    batch = source(batch=5, patch=6).at(0)
    assert batch.lr.shape == (5, 6, 6, 3)
    assert batch.hr.shape == (5, 18, 18, 3)
    assert batch.lr.dtype == batch.hr.dtype == np.uint8


def test_low_and_high_resolution_show_the_same_place_in_every_orientation() -> None:
    batch = source((9, 11), (4, 4), batch=120).at(0)
    for lr, hr in zip(*batch, strict=True):
        np.testing.assert_array_equal(lr, hr[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE])
    assert {orientation(hr) for hr in batch.hr} == set(itertools.product([False, True], repeat=3))


def test_orientations_are_drawn_evenly() -> None:
    drawn = [orientation(hr) for hr in source(batch=800).at(0).hr]
    for which in set(drawn):
        assert 60 < drawn.count(which) < 140


def test_patches_reach_every_corner_and_every_image() -> None:
    batch = source((9, 11), (6, 5), batch=600).at(0)
    large = batch.hr[batch.hr[:, 0, 0, 2] == 0]
    assert 200 < len(large) < 400
    assert {int(hr[..., 0].min()) for hr in large} == {SCALE * top for top in range(9 - 4 + 1)}
    assert {int(hr[..., 1].min()) for hr in large} == {SCALE * left for left in range(11 - 4 + 1)}
    assert large[..., 0].max() == 9 * SCALE - 1
    assert large[..., 1].max() == 11 * SCALE - 1


def test_an_image_as_small_as_a_patch_is_taken_whole() -> None:
    hr = source((4, 4)).at(0).hr
    assert hr[..., 0].min() == 0
    assert hr[..., 0].max() == 4 * SCALE - 1


@pytest.mark.parametrize("size", [(3, 9), (9, 3)])
def test_images_smaller_than_a_patch_are_left_out(size: tuple[int, int]) -> None:
    mixed, large = source((9, 9), size, (8, 8)), source((9, 9), (8, 8))
    assert mixed.large == (0, 2)
    for step in range(5):
        np.testing.assert_array_equal(mixed.at(step).hr[..., :2], large.at(step).hr[..., :2])


def test_a_set_without_an_image_as_large_as_a_patch_is_refused_and_the_largest_patch_told() -> None:
    message = "no image of synthetic holds a patch of 4 low-resolution pixels; at scale 3 the largest that fits is 3"
    with pytest.raises(ValueError, match=message):
        source((3, 9), (9, 2))
