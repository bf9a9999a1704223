from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import datasets
from datasets.degrade import Degradation
from datasets.sets import ImageSet
from harness.bicubic import Bicubic
from harness.evaluate import MOST_WAITING, ahead, behind, evaluate
from harness.metrics import psnr

SPEC = {
    "tiling": "whole",
    "precision": "fp32",
    "self_ensemble": False,
    "hash_seed": 0,
    "perceptual": [],
    "crops": 1,
    "at": {},
}


@pytest.fixture
def images(image_folder: Path) -> ImageSet:
    return datasets.load(str(image_folder), 2)


def test_scores_are_those_of_the_metrics_on_the_whole_image(images: ImageSet) -> None:
    records, artifacts = evaluate(Bicubic(2), images, SPEC, "cpu", lambda *_: None)
    for pair in images:
        expected = psnr(datasets.imresize(pair.lr, 2), pair.hr, crop=2)
        (value,) = [r.value for r in records if r.image == pair.name and r.metric == "psnr_y"]
        assert value == pytest.approx(expected, abs=1e-12)
    assert [(a.name, a.image) for a in artifacts] == [(name, "chelsea") for name in ("place", "lr", "sr", "hr")]


def test_pictures_are_kept_of_the_first_images_and_of_those_that_are_named(images: ImageSet) -> None:
    def named(**changes: Any) -> set[str]:
        _, artifacts = evaluate(Bicubic(2), images, SPEC | changes, "cpu", lambda *_: None)
        return {a.image for a in artifacts}

    assert named() == {"chelsea"}
    assert named(at={"coffee": [3, 4]}) == {"chelsea", "coffee"}
    assert named(at={"coffee": [3, 4]}, crops=0) == set()


class _Noisy(nn.Module):
    """Adds a draw of the global generator, as released hashing does at every forward."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        big = nn.functional.interpolate(x, scale_factor=2)
        return big + 0.1 * torch.rand_like(big)


def test_an_image_is_scored_alike_whatever_stands_before_it_and_otherwise_by_another_seed(images: ImageSet) -> None:
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


def test_the_next_image_is_made_while_the_first_is_in_use() -> None:
    second_begun = threading.Event()

    def images() -> Iterator[str]:
        yield "first"
        second_begun.set()
        yield "second"

    items = ahead(images())
    assert next(items) == "first"
    assert second_begun.wait(10)
    assert list(items) == ["second"]


def test_an_image_that_cannot_be_made_is_told_after_those_before_it() -> None:
    def images() -> Iterator[str]:
        yield "first"
        raise ValueError("damaged")

    items = ahead(images())
    assert next(items) == "first"
    with pytest.raises(ValueError, match="damaged"):
        next(items)


def test_answers_are_scored_in_order_while_the_next_are_made_and_few_wait() -> None:
    third_made, made = threading.Event(), []

    def answers() -> Iterator[int]:
        for i in range(6):
            if i == 2:
                third_made.set()
            made.append(i)
            yield i

    def score(i: int) -> int:
        assert third_made.wait(10)
        return 10 * i

    for index, score_of in enumerate(behind(score, answers())):
        assert score_of == 10 * index
        assert len(made) <= index + MOST_WAITING + 1
    assert index == 5


def test_a_score_that_fails_is_told() -> None:
    with pytest.raises(ZeroDivisionError):
        list(behind(lambda i: 1 // i, [1, 0]))


def test_a_network_that_returns_nan_is_told_with_the_image(images: ImageSet) -> None:
    class Bad(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.interpolate(x, scale_factor=2) * float("nan")

    with pytest.raises(FloatingPointError, match="chelsea: "):
        evaluate(Bad(), images, SPEC, "cpu", lambda *_: None)


def test_a_set_of_div2k_is_also_scored_as_its_challenge_does(images: ImageSet) -> None:
    named = dataclasses.replace(images, name="DIV2K-valid")
    records, _ = evaluate(Bicubic(2), named, SPEC, "cpu", lambda *_: None)
    for pair in images:
        (value,) = [r.value for r in records if (r.image, r.metric) == (pair.name, "psnr_rgb_div2k")]
        assert value == pytest.approx(psnr(datasets.imresize(pair.lr, 2), pair.hr, crop=8, channel="rgb"))
    assert "psnr_rgb_div2k" not in {r.metric for r in evaluate(Bicubic(2), images, SPEC, "cpu", lambda *_: None)[0]}


def test_perceptual_scores_are_records_of_each_image(images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def distances(names: list[str], device: str, *, crop: int) -> Callable[..., dict[str, float]]:
        asked.append((names, device, crop))
        return lambda sr, hr: {"lpips": float(abs(sr.astype(int) - hr).mean())}

    monkeypatch.setattr("harness.evaluate.perceptual", distances)
    records, _ = evaluate(Bicubic(2), images, SPEC | {"perceptual": ["lpips"]}, "cpu", lambda *_: None)
    assert asked == [(["lpips"], "cpu", 2)]
    assert [r.image for r in records if r.metric == "lpips"] == ["chelsea", "coffee"]


def test_a_degraded_set_is_scored_against_the_clean_image(image_folder: Path) -> None:
    def score(degradation: Degradation) -> float:
        images = datasets.load(str(image_folder), 2, degradation=degradation)
        records, _ = evaluate(Bicubic(2), images, SPEC, "cpu", lambda *_: None)
        return float(np.mean([r.value for r in records if r.metric == "psnr_y"]))

    assert score("down_noise") < score("blur_down") < score("bicubic")
