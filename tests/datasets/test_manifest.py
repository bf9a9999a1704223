"""Sets of the manifest: found in the data folder, whole, or told how to get."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

import datasets
from datasets.manifest import manifest


def save(file: Path, side: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side)).save(file)


def benchmark(root: Path, names: str) -> None:
    """A set as EDSR's archive has it."""
    for name in names:
        save(root / "HR" / f"{name}.png", 8)
        save(root / "LR_bicubic" / "X2" / f"{name}x2.png", 4)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NLBENCH_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("place", ["benchmark/Set5", "Set5"])
def test_a_set_of_the_manifest_is_found_in_the_data_folder(data: Path, place: str) -> None:
    benchmark(data / place, "abcde")
    images = datasets.load("Set5", 2)
    assert (images.name, len(images), images.border) == ("Set5", 5, "as given")
    assert datasets.load(f"{data / place}/", 2).fingerprint == images.fingerprint


def test_without_the_variable_sets_are_looked_for_in_the_folder_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NLBENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    benchmark(tmp_path / "data" / "Set5", "abcde")
    assert len(datasets.load("Set5", 2)) == 5


def test_a_set_that_is_not_whole_is_refused(data: Path) -> None:
    benchmark(data / "Set5", "abcd")
    message = f"Set5 has 5 images, {data}/Set5 holds 4; write the path to use it as it is"
    with pytest.raises(ValueError, match=re.escape(message)):
        datasets.load("Set5", 2)


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        (
            "Set5",
            [
                "data set Set5 is not in {data}: ",
                "https://cv.snu.ac.kr/research/EDSR/benchmark.tar",
                "{data}/benchmark/Set5",
            ],
        ),
        ("Manga109", ["http://www.manga109.org", "those who register", "{data}/benchmark/Manga109"]),
        ("DF2K", ["data set DIV2K-train is not in", "{data}/DIV2K/DIV2K_train_HR"]),
    ],
)
def test_a_set_that_is_not_there_is_told_with_its_address_and_folder(
    data: Path, name: str, messages: list[str]
) -> None:
    with pytest.raises(ValueError, match="is not in") as told:
        datasets.load(name, 2)
    for message in messages:
        assert message.format(data=data) in str(told.value)


def test_div2k_is_told_apart_by_numbers(data: Path) -> None:
    for number in range(1, 901):
        file = data / "DIV2K" / "DIV2K_train_HR" / f"{number:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    train, valid = datasets.load("DIV2K-train", 2), datasets.load("DIV2K-valid", 2)
    assert (train.files[0].stem, train.files[-1].stem, len(train)) == ("0001", "0800", 800)
    assert (valid.files[0].stem, valid.files[-1].stem, len(valid)) == ("0801", "0900", 100)


def test_a_union_has_the_images_of_its_parts_or_of_a_folder_of_its_own(data: Path) -> None:
    for name, count in (("T91", 91), ("BSD200", 200)):
        for number in range(count):
            (data / name).mkdir(exist_ok=True)
            (data / name / f"{name}-{number}.png").touch()
    images = datasets.load("T291", 2)
    assert len(images) == 291
    assert {file.parent.name for file in images.files} == {"T91", "BSD200"}
    (data / "T291").mkdir()
    for file in images.files:
        shutil.copy(file, data / "T291")
    assert {file.parent.name for file in datasets.load("T291", 2).files} == {"T291"}


def test_every_set_of_the_manifest_says_how_it_is_had() -> None:
    for name, entry in manifest().items():
        assert entry.name == name
        assert entry.images or entry.union or (entry.folders and entry.count and entry.page)
        assert bool(entry.fetch) != bool(entry.by_hand or entry.union or entry.images)
        assert all(part in manifest() for part in entry.union)
        if entry.union:
            assert entry.count == sum(manifest()[part].count for part in entry.union)


def test_addresses_are_spelt_out() -> None:
    kodak = manifest()["Kodak24"].addresses
    assert len(set(kodak)) == 24
    assert kodak[0] == "http://r0k.us/graphics/kodak/kodak/kodim01.png"
    assert kodak[23].endswith("kodim24.png")
