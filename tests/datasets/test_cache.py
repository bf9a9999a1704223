"""The cache of decoded images: what comes out is what went in, and nothing stale or cut short is ever read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import datasets
from datasets.cache import decoded
from datasets.sets import ImageSet, Pair


class Undecodable(ImageSet):
    """A set whose images must come from the cache."""

    def __iter__(self) -> Iterator[Pair]:
        raise AssertionError("decoded again")


@pytest.fixture
def images(image_folder: Path) -> ImageSet:
    return datasets.load(str(image_folder), 2)


def undecodable(images: ImageSet) -> ImageSet:
    fields = {field.name: getattr(images, field.name) for field in dataclasses.fields(images)}
    return Undecodable(**fields)


def assert_same(pairs: tuple[Pair, ...], images: ImageSet) -> None:
    assert len(pairs) == len(images)
    for ours, theirs in zip(pairs, images, strict=True):
        assert ours.name == theirs.name
        np.testing.assert_array_equal(ours.hr, theirs.hr)
        np.testing.assert_array_equal(ours.lr, theirs.lr)


def test_pairs_come_back_as_they_were(images: ImageSet, tmp_path: Path) -> None:
    cached = decoded(images, tmp_path / "new" / "folder")
    assert (cached.name, cached.scale) == (images.name, 2)
    assert_same(cached.pairs, images)


def test_images_that_other_code_read_are_not_used(images: ImageSet, tmp_path: Path) -> None:
    decoded(images, tmp_path, "code of then")
    with pytest.raises(AssertionError, match="decoded again"):
        decoded(undecodable(images), tmp_path, "code of now")
    assert_same(decoded(undecodable(images), tmp_path, "code of then").pairs, images)


def test_a_second_use_does_not_decode(images: ImageSet, tmp_path: Path) -> None:
    decoded(images, tmp_path)
    assert_same(decoded(undecodable(images), tmp_path).pairs, images)


def test_pairs_are_views_into_one_read_only_file(images: ImageSet, tmp_path: Path) -> None:
    hr = decoded(images, tmp_path).pairs[0].hr
    assert isinstance(hr, np.memmap)
    assert not hr.flags.writeable
    assert not hr.flags.owndata


def test_another_scale_border_or_content_is_another_cache(images: ImageSet, tmp_path: Path) -> None:
    for other in (images, dataclasses.replace(images, scale=3), dataclasses.replace(images, border="replicate")):
        assert_same(decoded(other, tmp_path).pairs, other)
    assert len(list(tmp_path.glob("*.u8"))) == 3


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


@pytest.mark.fault(
    area="Files that are damaged",
    what="Decoded images are cut short, emptied, deleted or longer than they were",
    how="the file, or its index, is changed between two uses",
    kept="they are decoded again, equal to the last bit",
)
@pytest.mark.parametrize("suffix", ["json", "u8"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: cut(path, 0.0),
        lambda path: cut(path, 0.5),
        lambda path: path.write_bytes(path.read_bytes() + b"1"),
    ],
    ids=["missing", "empty", "halved", "longer"],
)
def test_a_damaged_cache_is_made_anew(
    suffix: str, damage: Callable[[Path], None], images: ImageSet, tmp_path: Path
) -> None:
    decoded(images, tmp_path)
    damage(next(tmp_path.glob(f"*.{suffix}")))
    assert_same(decoded(images, tmp_path).pairs, images)
    assert_same(decoded(undecodable(images), tmp_path).pairs, images)


@pytest.mark.parametrize("content", ["[]", "{}", "3", '{"bytes": "x"}'])
def test_an_index_of_another_form_is_made_anew(content: str, images: ImageSet, tmp_path: Path) -> None:
    decoded(images, tmp_path)
    index = next(tmp_path.glob("*.json"))
    index.write_text(content, encoding="utf-8")
    assert_same(decoded(images, tmp_path).pairs, images)
    assert json.loads(index.read_text(encoding="utf-8"))["bytes"] == next(tmp_path.glob("*.u8")).stat().st_size


def test_nothing_unfinished_is_left_behind(images: ImageSet, tmp_path: Path) -> None:
    decoded(images, tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".u8"]


def test_an_interrupted_writing_leaves_no_index(images: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="decoded again"):
        decoded(undecodable(images), tmp_path)
    assert not list(tmp_path.glob("*.json"))
    assert_same(decoded(images, tmp_path).pairs, images)
