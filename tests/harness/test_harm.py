"""Where attention harms: figures by hand, regions, the oracle's bounds, the map, and the whole task."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.ndimage import generic_filter
from torch import Tensor, nn

import datasets
from harness.bicubic import Bicubic
from harness.harm import HARM, HELP, LONGEST, compared, harm_map, harms, regions
from harness.metrics import luma, psnr

Image = NDArray[np.uint8]
SPEC = {"tiling": "whole", "precision": "fp32", "self_ensemble": False, "hash_seed": 0, "maps": 1}


def one(*values: int) -> Image:
    """An image of one pixel."""
    return np.array([[values]], dtype=np.uint8)


def random(seed: int, *shape: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def whole(image: Image) -> NDArray[np.bool_]:
    return np.ones(image.shape[:2], dtype=bool)


def test_figures_of_one_pixel_by_hand() -> None:
    """Red: error 10 to 4, helped by 6; green: 3 to 5, harmed by 2; blue: 7 on either side of the truth, neither."""
    hr, twin, ours = one(100, 100, 100), one(110, 97, 93), one(96, 105, 107)
    found = compared(ours, twin, hr, whole(hr))
    assert (found["helped_share"], found["harmed_share"]) == (1 / 3, 1 / 3)
    assert (found["helped_levels"], found["harmed_levels"]) == (6.0, 2.0)
    assert found["undone_share"] == pytest.approx((25 - 9) / (100 - 16))
    for name, errors in (("", (16, 25, 49)), ("_twin", (100, 9, 49)), ("_oracle", (16, 9, 49))):
        assert found[f"psnr_rgb{name}"] == pytest.approx(10 * math.log10(255**2 / (sum(errors) / 3)))


def test_differences_beyond_8_bits_do_not_wrap_around() -> None:
    found = compared(one(255, 0, 0), one(0, 255, 0), one(0, 0, 0), whole(one(0, 0, 0)))
    assert (found["helped_levels"], found["harmed_levels"]) == (255.0, 255.0)


def test_what_is_not_there_is_none_and_never_nan() -> None:
    image = random(0, 4, 4, 3)
    same = compared(image, image, image, whole(image))
    assert same["psnr_rgb"] == same["psnr_rgb_oracle"] == math.inf
    assert same["helped_levels"] is same["harmed_levels"] is same["undone_share"] is None
    nowhere = compared(image, image, image, ~whole(image))
    assert set(nowhere.values()) == {None}


@given(st.integers(0, 2**32 - 1))
def test_the_oracle_is_no_worse_than_either_and_shares_are_exclusive(seed: int) -> None:
    ours, twin, hr = (random(seed + i, 5, 6, 3) for i in range(3))
    found = {name: value or 0.0 for name, value in compared(ours, twin, hr, whole(hr)).items()}
    assert found["psnr_rgb_oracle"] >= max(found["psnr_rgb"], found["psnr_rgb_twin"])
    assert found["helped_share"] + found["harmed_share"] <= 1
    swapped = compared(twin, ours, hr, whole(hr))
    assert (swapped["helped_share"], swapped["harmed_share"]) == (found["harmed_share"], found["helped_share"])
    assert swapped["psnr_rgb_oracle"] == found["psnr_rgb_oracle"]


def test_psnr_is_that_of_the_metrics() -> None:
    ours, twin, hr = (random(i, 30, 40, 3) for i in range(3))
    inner = regions(hr, hr[::2, ::2].copy(), crop=2)["all"]
    assert compared(ours, twin, hr, inner)["psnr_rgb"] == pytest.approx(psnr(ours, hr, crop=2, channel="rgb"))


def test_regions_are_the_quarters_that_vary_most_and_that_bicubic_misses_most() -> None:
    (pair,) = [pair for pair in datasets.load("builtin-test", 2) if pair.name == "chelsea"]
    hr, lr = pair.hr[:64, :80], pair.lr[:32, :40]
    found = regions(hr, lr, crop=2)
    inner = np.pad(np.ones((60, 76), dtype=bool), 2)
    np.testing.assert_array_equal(found["all"], inner)
    variance = generic_filter(luma(hr), np.var, size=7)
    wrong = (luma(datasets.imresize(lr, 2)) - luma(hr)) ** 2
    error = generic_filter(wrong, np.mean, size=7)
    for name, values in (("texture", variance), ("degraded", error)):
        np.testing.assert_array_equal(found[name], inner & (values > np.percentile(values[inner], 75)))
        assert found[name].sum() == inner.sum() // 4
    np.testing.assert_array_equal(found["degraded texture"], found["texture"] & found["degraded"])
    assert 0 < found["degraded texture"].sum() < found["texture"].sum()


def test_a_flat_image_has_no_texture() -> None:
    flat = np.full((20, 20, 3), 90, dtype=np.uint8)
    assert not regions(flat, flat[::2, ::2].copy(), crop=2)["texture"].any()


def test_the_map_is_blue_where_helped_orange_where_harmed_and_grey_elsewhere() -> None:
    hr = np.full((2, 3, 3), 100, dtype=np.uint8)
    twin, ours = hr + np.uint8(20), hr + np.uint8(20)
    ours[:, 0], ours[:, 1] = 100, 240
    helped, harmed, neither = harm_map(ours, twin, hr)[0]
    assert tuple(helped) == HELP
    assert tuple(harmed) == HARM
    assert len(set(neither)) == 1


def test_a_large_map_is_averaged_over_blocks() -> None:
    hr = random(0, 2 * LONGEST + 10, 50, 3)
    assert harm_map(hr, hr, hr).shape == ((2 * LONGEST + 10) // 3, 50 // 3, 3)


class _Shifted(nn.Module):
    """Bicubic, lighter by some levels."""

    def __init__(self, levels: float) -> None:
        super().__init__()
        self.bicubic, self.levels = Bicubic(2), levels

    def forward(self, x: Tensor) -> Tensor:
        return self.bicubic(x) + self.levels / 255


def test_the_task_records_every_image_and_region_and_keeps_maps_of_the_first(image_folder: Path) -> None:
    images = datasets.load(str(image_folder), 2)
    seen: list[tuple[int, int]] = []
    records, artifacts = harms(Bicubic(2), _Shifted(30.0), images, SPEC, "cpu", lambda *progress: seen.append(progress))
    assert {(r.image, r.region) for r in records} == {
        (image, region) for image in ("chelsea", "coffee") for region in regions(*_any(images), 2)
    }
    gain = _value(records, "psnr_rgb", "all") - _value(records, "psnr_rgb_twin", "all")
    assert gain > 5
    assert _value(records, "helped_share", "all") > 0.8
    assert [(a.name, a.image) for a in artifacts] == [("harm", "chelsea")]
    assert Pillow.open(io.BytesIO(artifacts[0].content)).mode == "P"
    assert seen == [(1, 2), (2, 2)]


def test_both_networks_are_given_the_same_draws(image_folder: Path) -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.interpolate(x, scale_factor=2) + 0.1 * torch.rand(x.shape[0], 1, 1, 1)

    records, _ = harms(Noisy(), Noisy(), datasets.load(str(image_folder), 2), SPEC, "cpu", lambda *_: None)
    assert _value(records, "helped_share", "all") == _value(records, "harmed_share", "all") == 0
    (absent,) = {(r.status, r.reason) for r in records if r.metric == "undone_share"}
    assert absent == ("skipped", "no such sub-pixel in this image")


def _any(images: datasets.sets.ImageSet) -> tuple[Image, Image]:
    pair = next(iter(images))
    return pair.hr, pair.lr


def _value(records: Any, metric: str, region: str) -> float:
    values = [r.value for r in records if (r.metric, r.region) == (metric, region)]
    return float(np.mean(values))
