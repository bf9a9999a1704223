"""The bicubic plug-in is `imresize` in the place of a network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import datasets
from datasets import imresize
from harness.bicubic import METHOD
from harness.inference import How, super_resolve, to_image, to_tensor
from methods.interface import Plugin

Image = NDArray[np.uint8]
scales = pytest.mark.parametrize("scale", [2, 3, 4])


def enlarged(image: Image, scale: int, tiling: str = "whole") -> Image:
    network = METHOD.build(scale, {})
    return super_resolve(network, image, How(tiling=tiling), scale=scale, device="cpu")


@scales
def test_equals_imresize_on_photographs(scale: int) -> None:
    for pair in datasets.load("builtin-test", scale):
        np.testing.assert_array_equal(enlarged(pair.lr, scale), imresize(pair.lr, scale))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from([2, 3, 4]), st.integers(1, 24), st.integers(1, 24), st.integers(0, 10**6), st.integers(1, 256))
def test_equals_imresize_on_noise(scale: int, height: int, width: int, seed: int, levels: int) -> None:
    image = np.random.default_rng(seed).integers(0, levels, (height, width, 3), dtype=np.uint8)
    np.testing.assert_array_equal(enlarged(image, scale), imresize(image, scale))


@scales
def test_images_of_a_batch_are_enlarged_apart(scale: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 9, 3), dtype=np.uint8)
    out = METHOD.build(scale, {})(to_tensor(images, "cpu"))
    assert out.dtype == torch.float32
    for image, y in zip(images, out, strict=True):
        np.testing.assert_array_equal(to_image(y), imresize(image, scale))


def test_it_is_a_method_without_weights_or_settings() -> None:
    assert isinstance(METHOD, Plugin)
    assert not METHOD.trainable
    assert METHOD.settings() == {}
    assert not METHOD.build(2, {}).state_dict()


def test_a_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="bicubic has no settings, so no 'n_feats' either"):
        METHOD.build(2, {"n_feats": 3})
