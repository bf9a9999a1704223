"""Images that are bombs, other formats, no files, or more than they seem."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import datasets
from datasets.sets import image_size, read_image
from tests.hostile.readers import png, png_of
from tests.hostile.watch import nothing_outside

POSTSCRIPT = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({place}) (w) file closefile\nshowpage\n%%EOF\n"


def animated(file: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(file, save_all=True, append_images=frames[1:])


def postscript(file: Path) -> None:
    file.write_text(POSTSCRIPT.format(place=file.parent / "executed"), encoding="utf-8")


def saved(form: str) -> Callable[[Path], None]:
    return lambda file: Image.new("RGB", (8, 8)).save(file, form)


@pytest.mark.fault(
    area="Hostile input",
    what="an image that is a bomb",
    how="PNGs of a few bytes whose headers claim 100,000 x 100,000 and 10,000 x 10,000 pixels, one of 2^31",
    kept="refused by the header, with the name of the file; no pixel is decoded",
)
@pytest.mark.parametrize("sides", [(100_000, 100_000), (10_000, 10_000), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused(tmp_path: Path, sides: tuple[int, int]) -> None:
    file = tmp_path / "bomb.png"
    file.write_bytes(png_of(*sides))
    for read in (read_image, image_size):
        with pytest.raises(ValueError, match=re.escape(f"cannot read image {file}: ")):
            read(file)


@pytest.mark.fault(
    area="Hostile input",
    what="a file called `.png` that is something else",
    how="PostScript (for which Pillow starts an interpreter), GIF, WebP, animated PNG, TIFF of two pages",
    kept="refused with the name of the file; no program is started",
)
@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("a.png", postscript, "cannot read image"),
        ("a.png", saved("GIF"), "cannot read image"),
        ("a.png", saved("WEBP"), "cannot read image"),
        ("a.png", saved("PPM"), "cannot read image"),
        ("a.png", animated, "has several pictures; only"),
        ("a.tif", animated, "has several pictures; only"),
    ],
)
def test_other_formats_are_refused(tmp_path: Path, name: str, make: Callable[[Path], None], told: str) -> None:
    make(tmp_path / name)
    with nothing_outside(tmp_path), pytest.raises(ValueError, match=told) as mistake:
        read_image(tmp_path / name)
    assert name in str(mistake.value)
    assert not (tmp_path / "executed").exists()


def test_formats_are_known_by_content_and_orientation_changes_no_pixel(tmp_path: Path) -> None:
    (tmp_path / "jpeg.png").write_bytes(png(form="JPEG"))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(tmp_path / "jpeg.png").save(tmp_path / "turned.bmp", "PNG", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.bmp"), read_image(tmp_path / "jpeg.png"))


@pytest.mark.fault(
    area="Hostile input",
    what="a folder of images with something in it that is no file, or has a name of control signs",
    how="a pipe, a folder, links to a device without an end and to nothing, escape sequences, bytes that are no text",
    kept="refused before anything is read, with the folder or the name, spelt out",
)
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: os.mkfifo(folder / "a.png"), "a.png is no file"),
        (lambda folder: (folder / "a.png").mkdir(), "a.png is no file"),
        (lambda folder: (folder / "a.png").symlink_to("/dev/zero"), "a.png is no file"),
        (lambda folder: (folder / "a.png").symlink_to("a.png"), "a.png is no file"),
        (lambda folder: (folder / "\x1b[31m.png").touch(), r"a sign that cannot be printed: '\x1b[31m.png'"),
        (lambda folder: (folder / "a\nb.png").touch(), r"a sign that cannot be printed: 'a\nb.png'"),
        (lambda folder: (folder / os.fsdecode(b"\xff.png")).touch(), r"cannot be printed: '\udcff.png'"),
    ],
)
def test_what_is_no_image_file_is_told(tmp_path: Path, make: Callable[[Path], None], told: str) -> None:
    make(tmp_path)
    with pytest.raises(ValueError, match=re.escape(told)) as mistake:
        datasets.load(f"{tmp_path}/", 2)
    assert str(mistake.value).isprintable()


@pytest.mark.parametrize("name", ["x" * 300 + "/", "./a\0b", "../" * 2000])
def test_folders_of_impossible_names_are_told(name: str) -> None:
    with pytest.raises(ValueError, match=r"no folder of images at|no image in"):
        datasets.load(name, 2)
    with pytest.raises(ValueError, match="cannot read image"):
        read_image(Path(f"{name}/a.png"))
