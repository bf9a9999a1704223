"""Layouts: which files are high and low resolution, and folders that fit none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from datasets.layouts import files_in, folder_name, image_name, scales_of
from datasets.sets import called

EDSR = ("HR/baby.png", "HR/bird.png", "LR_bicubic/X2/babyx2.png", "LR_bicubic/X2/birdx2.png")
DIV2K = ("DIV2K_train_HR/0001.png", "DIV2K_train_LR_bicubic/X2/0001x2.png")
SELFEXSR = tuple(f"image_SRF_{k}/img_001_SRF_{k}_{side}.png" for k in (2, 4) for side in ("HR", "LR"))


def made(root: Path, *names: str) -> Path:
    """Empty files: a layout is told by names alone."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def told(folder: Path, root: Path, scale: int = 2) -> list[tuple[str, str | None]]:
    """Each pair of files by its path inside `root`."""
    files = files_in(folder, scale)
    assert set(files.lr) <= set(files.hr)
    return [
        (str(hr.relative_to(root)), str(files.lr[hr].relative_to(root)) if hr in files.lr else None) for hr in files.hr
    ]


@pytest.mark.parametrize("asked", ["", "HR"])
def test_edsr(tmp_path: Path, asked: str) -> None:
    made(tmp_path, *EDSR)
    assert told(tmp_path / asked, tmp_path) == [(EDSR[0], EDSR[2]), (EDSR[1], EDSR[3])]
    assert told(tmp_path / asked, tmp_path, scale=3) == [(EDSR[0], None), (EDSR[1], None)]


@pytest.mark.parametrize("asked", ["", "DIV2K_train_HR"])
def test_div2k(tmp_path: Path, asked: str) -> None:
    made(tmp_path, *DIV2K)
    assert told(tmp_path / asked, tmp_path) == [DIV2K]
    assert told(tmp_path / asked, tmp_path, scale=4) == [(DIV2K[0], None)]


@pytest.mark.parametrize("asked", ["", "image_SRF_{}"])
@pytest.mark.parametrize("scale", [2, 4])
def test_selfexsr(tmp_path: Path, asked: str, scale: int) -> None:
    made(tmp_path, *SELFEXSR)
    stem = f"image_SRF_{scale}/img_001_SRF_{scale}"
    assert told(tmp_path / asked.format(scale), tmp_path, scale) == [(f"{stem}_HR.png", f"{stem}_LR.png")]


def test_selfexsr_without_low_resolution(tmp_path: Path) -> None:
    made(tmp_path, "img_001_SRF_2_HR.png")
    assert told(tmp_path, tmp_path) == [("img_001_SRF_2_HR.png", None)]


def test_flat(tmp_path: Path) -> None:
    made(tmp_path, "b.png", "a.JPG", "notes.txt", "._a.JPG", "inside/c.png")
    assert told(tmp_path, tmp_path) == [("a.JPG", None), ("b.png", None)]


def test_scales_that_are_brought(tmp_path: Path) -> None:
    assert scales_of(made(tmp_path / "a", *EDSR, "LR_bicubic/X4/none.txt")) == (2, 4)
    assert scales_of(tmp_path / "a" / "HR") == (2, 4)
    assert scales_of(made(tmp_path / "b", *DIV2K)) == (2,)
    assert scales_of(made(tmp_path / "c", *SELFEXSR)) == (2, 4)
    assert scales_of(tmp_path / "c" / "image_SRF_4") == (4,)
    assert scales_of(made(tmp_path / "d", "a.png")) == ()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((*EDSR, "HR/woman.png"), "HR/woman.png has no low-resolution image beside it"),
        ((*EDSR, "LR_bicubic/X2/womanx2.png"), "LR_bicubic/X2/womanx2.png has no high-resolution image beside it"),
        ((*EDSR, "LR_bicubic/X2/baby.png"), "LR_bicubic/X2/baby.png has no high-resolution image"),
        ((EDSR[0], "LR_bicubic/X2/none.txt"), "no image in {root}/LR_bicubic/X2"),
        ((*DIV2K, "DIV2K_train_HR/0002.png"), "0002.png has no low-resolution image"),
        ((*SELFEXSR, "image_SRF_2/img_002_SRF_2_LR.png"), "img_002_SRF_2_LR.png has no high-resolution image"),
        ((*SELFEXSR, "image_SRF_2/img_002_SRF_2_HR.png"), "img_002_SRF_2_HR.png has no low-resolution image"),
        ((*SELFEXSR, "image_SRF_2/img_002_SRF_3_HR.png"), "img_002_SRF_3_HR.png is not an image of scale 2"),
        (("image_SRF_3/img_001_SRF_3_HR.png",), "{root} has no image_SRF_2 for scale 2; it has image_SRF_3"),
        (
            (*DIV2K, "DIV2K_valid_HR/0801.png"),
            "{root} holds several sets; name one of them: DIV2K_train_HR, DIV2K_valid",
        ),
        ((*EDSR, "stray.png"), "{root} has images of its own, such as stray.png, beside HR: which are meant?"),
        (("a.png", "a.bmp"), "{root} has several images called 'a'"),
        (
            ("Set5/HR/a.png", "Set14/HR/a.png"),
            "no image in {root}: looked for .png, .jpg, .jpeg, .bmp, .tif, .tiff; it has",
        ),
        (("Set5/HR/a.png", "Set14/HR/a.png"), "it has the folders Set14, Set5"),
        (("HR/none.txt",), "no image in {root}/HR: "),
    ],
)
def test_what_fits_no_layout_is_told(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    made(tmp_path, *names)
    with pytest.raises(ValueError, match=re.escape(message.format(root=tmp_path))):
        files_in(tmp_path, 2)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/Set5/HR", "Set5"),
        ("/data/Set5/HR/", "Set5"),
        ("/data/Set14/LR_bicubic/X2", "Set14"),
        ("/data/Set14/image_SRF_4", "Set14"),
        ("/data/DIV2K/DIV2K_train_HR", "DIV2K_train_HR"),
        ("/data/mine", "mine"),
        ("/data/Set5/HR/../../Set14/HR", "Set14"),
        ("/HR", "HR"),
    ],
)
def test_a_folder_is_called_by_the_part_of_its_path_that_tells(path: str, name: str) -> None:
    assert folder_name(path) == called(path) == name


def test_relative_folders_have_names_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Set5" / "HR").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "Set5")
    assert [called(name) for name in ("./", "./HR", "HR/")] == ["Set5"] * 3
    assert called("Set5") == "Set5"


def test_images_lose_what_the_layout_adds() -> None:
    assert image_name(Path("a/img_001_SRF_2_HR.png")) == "img_001"
    assert image_name(Path("a/baby.png")) == "baby"
