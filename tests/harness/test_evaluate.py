from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import datasets
from datasets.sets import ImageSet
from harness.bicubic import Bicubic
from harness.evaluate import busiest, evaluate
from harness.metrics import psnr

SPEC = {"tiling": "whole", "precision": "fp32", "hash_seed": 0, "crops": 1}


@pytest.fixture
def images(image_folder: Path) -> ImageSet:
    return datasets.load(str(image_folder), 2)


def test_scores_are_those_of_the_metrics_on_the_whole_image(images: ImageSet) -> None:
    records, artifacts = evaluate(Bicubic(2), images, SPEC, "cpu", lambda *_: None)
    for pair in images:
        expected = psnr(datasets.imresize(pair.lr, 2), pair.hr, crop=2)
        (value,) = [r.value for r in records if r.image == pair.name and r.metric == "psnr_y"]
        assert value == pytest.approx(expected, abs=1e-12)
    assert [(a.name, a.image) for a in artifacts] == [("lr", "chelsea"), ("sr", "chelsea"), ("hr", "chelsea")]
    assert all(a.content.startswith(b"\x89PNG") for a in artifacts)


class _Noisy(nn.Module):
    """Adds a draw of the global generator, as released hashing does at every forward."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        big = nn.functional.interpolate(x, scale_factor=2)
        return big + 0.1 * torch.rand_like(big)


def test_an_image_is_scored_alike_whatever_stands_before_it_and_otherwise_by_another_seed(images: ImageSet) -> None:
    import dataclasses

    def scores(subject: ImageSet, seed: int) -> dict[str | None, float | None]:
        records, _ = evaluate(_Noisy(), subject, {**SPEC, "hash_seed": seed}, "cpu", lambda *_: None)
        return {r.image: r.value for r in records if r.metric == "psnr_y"}

    both, turned = scores(images, 0), scores(dataclasses.replace(images, files=images.files[::-1]), 0)
    assert both == turned
    assert scores(images, 1) != both


def test_progress_counts_images(images: ImageSet) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(Bicubic(2), images, SPEC, "cpu", lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_a_network_that_returns_nan_is_told_with_the_image(images: ImageSet) -> None:
    class Bad(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.interpolate(x, scale_factor=2) * float("nan")

    with pytest.raises(FloatingPointError, match="chelsea: "):
        evaluate(Bad(), images, SPEC, "cpu", lambda *_: None)


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
