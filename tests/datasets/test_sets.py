"""Image sets: what the manifest promises, folders of one's own, and files that are not what they seem."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

import datasets
from datasets import imresize
from datasets.sets import ImageSet, image_size, read_image

Image = NDArray[np.uint8]
BUILT_IN = ("builtin-test", "builtin-train")


def noise(*shape: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    for name, height, width in (("b.png", 13, 17), ("a.PNG", 8, 9), ("c.bmp", 12, 12)):
        Pillow.fromarray(noise(height, width, 3)).save(folder / name)
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_set_loads(name: str) -> None:
    images = datasets.load(name, 3)
    assert len(images) == len(images.files) > 0
    for file, pair in zip(images.files, images, strict=True):
        assert pair.name == file.stem
        assert pair.lr.dtype == pair.hr.dtype == np.uint8
        assert pair.hr.shape == (3 * pair.lr.shape[0], 3 * pair.lr.shape[1], 3)
        assert images.lr_size(file) == pair.lr.shape[:2]
        assert pair.hr.std() > 1


def test_no_image_stands_in_two_sets() -> None:
    contents = [file.read_bytes() for name in BUILT_IN for file in datasets.load(name, 2).files]
    assert len(set(contents)) == len(contents)


@pytest.mark.parametrize(("scale", "side"), [(2, 192), (3, 192), (4, 192)])
def test_the_test_set_is_the_centre_of_its_images(scale: int, side: int) -> None:
    images = datasets.load("builtin-test", scale)
    assert images.window == side
    file = next(file for file in images.files if file.stem == "chelsea")
    whole = read_image(file)
    top, left = ((n - side) // 2 for n in whole.shape[:2])
    np.testing.assert_array_equal(images.pair(file).hr, whole[top : top + side, left : left + side])
    assert max(max(pair.hr.shape) for pair in images) <= side


def test_images_smaller_than_the_window_are_kept_whole(folder: Path) -> None:
    images = ImageSet(name="own", files=(folder / "b.png",), scale=2, window=14)
    (pair,) = images
    whole = read_image(folder / "b.png")
    np.testing.assert_array_equal(pair.hr, whole[:12, 1:15])
    assert images.lr_size(folder / "b.png") == pair.lr.shape[:2] == (6, 7)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("border", ["symmetric", "replicate"])
def test_a_folder_is_a_set_of_its_images_in_order_of_name(
    folder: Path, scale: int, border: datasets.resize.Border
) -> None:
    images = datasets.load(str(folder), scale, border)
    assert images.name == "own"
    assert [pair.name for pair in images] == ["a", "b", "c"]
    for file, pair in zip(images.files, images, strict=True):
        height, width = (scale * (side // scale) for side in image_size(file))
        np.testing.assert_array_equal(pair.hr, read_image(file)[:height, :width])
        np.testing.assert_array_equal(pair.lr, imresize(pair.hr, 1 / scale, border))
        assert images.lr_size(file) == pair.lr.shape[:2]


def test_an_image_that_vanishes_at_its_scale_is_told(tmp_path: Path) -> None:
    Pillow.fromarray(noise(3, 9, 3)).save(tmp_path / "thin.png")
    with pytest.raises(ValueError, match=r"thin\.png is smaller than one pixel at scale 4"):
        list(datasets.load(f"{tmp_path}/", 4))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("builtin-tests", "unknown data set 'builtin-tests': did you mean 'builtin-test'? Allowed: B100, "),
        ("set5", "unknown data set 'set5': did you mean 'Set5'? Allowed: B100, "),
        ("qqq", "unknown data set 'qqq': Allowed: B100, "),
        ("./absent", "no folder of images at absent"),
    ],
)
def test_a_set_that_does_not_exist_is_told(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        datasets.load(name, 2)


def test_an_unknown_name_is_told_how_folders_are_written() -> None:
    with pytest.raises(ValueError, match=r"builtin-train\. A folder of images is written as a path\.$"):
        datasets.load("qqq", 2)


def test_two_images_of_one_name_are_refused_since_their_scores_could_not_be_told_apart(folder: Path) -> None:
    first = min(folder.glob("*.png"))
    first.with_suffix(".tiff").write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match=f"several images called '{first.stem}'"):
        datasets.load(str(folder), 2)


def test_a_folder_without_images_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image", encoding="utf-8")
    message = f"no image in {tmp_path}: looked for .png, .jpg, .jpeg, .bmp, .tif, .tiff"
    with pytest.raises(ValueError, match=re.escape(message)):
        datasets.load(str(tmp_path), 2)


def test_fingerprint_does_not_depend_on_the_place(folder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "other")
    assert datasets.load(str(moved), 2).fingerprint == datasets.load(str(folder), 2).fingerprint


def changed_pixel(folder: Path) -> None:
    image = read_image(folder / "b.png").copy()
    image[0, 0, 0] ^= 1
    Pillow.fromarray(image).save(folder / "b.png")


@pytest.mark.parametrize(
    "change",
    [
        changed_pixel,
        lambda folder: (folder / "c.bmp").rename(folder / "d.bmp"),
        lambda folder: (folder / "c.bmp").unlink(),
        lambda folder: shutil.copy(folder / "b.png", folder / "e.png"),
    ],
)
def test_fingerprint_depends_on_contents_and_names(change: Callable[[Path], object], folder: Path) -> None:
    before = datasets.load(str(folder), 2).fingerprint
    change(folder)
    assert datasets.load(str(folder), 2).fingerprint != before


def test_fingerprint_depends_on_scale_window_and_border(folder: Path) -> None:
    files = tuple(sorted(folder.glob("*.png")))
    sets = [
        ImageSet(name="own", files=files, scale=2),
        ImageSet(name="own", files=files, scale=3),
        ImageSet(name="own", files=files, scale=2, window=8),
        ImageSet(name="own", files=files, scale=2, border="replicate"),
    ]
    assert len({images.fingerprint for images in sets}) == len(sets)
    assert ImageSet(name="renamed", files=files, scale=2).fingerprint == sets[0].fingerprint


def benchmark(root: Path, *names: str, scale: int = 2) -> Path:
    """A set as EDSR's archive has it, whose low-resolution images nobody would make."""
    for number, name in enumerate(names):
        save(root / "HR" / f"{name}.png", noise(9, 12, 3, seed=number))
        save(root / "LR_bicubic" / f"X{scale}" / f"{name}x{scale}.png", noise(9 // scale, 12 // scale, 3, seed=9))
    return root


def save(file: Path, image: Image) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(image).save(file)


def test_low_resolution_images_that_come_along_are_used_as_they_are(tmp_path: Path) -> None:
    images = datasets.load(str(benchmark(tmp_path / "Set", "a", "b")), 2)
    assert (images.name, images.border) == ("Set", "as given")
    for file, pair in zip(images.files, images, strict=True):
        np.testing.assert_array_equal(pair.lr, noise(4, 6, 3, seed=9))
        np.testing.assert_array_equal(pair.hr, read_image(file)[:8])
        assert images.lr_size(file) == pair.lr.shape[:2]


@pytest.mark.parametrize("border", ["symmetric", "replicate"])
def test_a_border_that_is_asked_for_makes_all_low_resolution_images(
    tmp_path: Path, border: datasets.resize.Border
) -> None:
    images = datasets.load(str(benchmark(tmp_path / "Set", "a")), 2, border)
    assert images.border == border
    (pair,) = images
    np.testing.assert_array_equal(pair.lr, imresize(pair.hr, 1 / 2, border))


def test_fingerprint_covers_the_low_resolution_images_that_come_along(tmp_path: Path) -> None:
    root = benchmark(tmp_path / "Set", "a", "b")
    before = datasets.load(str(root), 2).fingerprint
    save(root / "LR_bicubic" / "X2" / "ax2.png", noise(4, 6, 3, seed=8))
    assert datasets.load(str(root), 2).fingerprint != before
    assert datasets.load(str(root), 2, "symmetric").fingerprint != before


def test_a_pair_whose_sizes_do_not_fit_is_told_by_name(tmp_path: Path) -> None:
    root = benchmark(tmp_path / "Set", "a")
    save(root / "LR_bicubic" / "X2" / "ax2.png", noise(5, 6, 3))
    message = f"{root}/LR_bicubic/X2/ax2.png is 5x6, which times 2 is not 8x12 of {root}/HR/a.png"
    with pytest.raises(ValueError, match=re.escape(message)):
        list(datasets.load(str(root), 2))


def png16(image: Image) -> bytes:
    """A PNG of 16-bit colour, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in image)
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_grey_is_repeated_to_three_channels(tmp_path: Path) -> None:
    grey = noise(6, 8)
    Pillow.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.stack([grey] * 3, axis=-1))


def test_palette_and_black_and_white_become_rgb(tmp_path: Path) -> None:
    palette = Pillow.fromarray(noise(6, 8, 3)).quantize(4)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))
    Pillow.fromarray(noise(6, 8) > 99).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png")[..., 1], 255 * (noise(6, 8) > 99))


def palette_with_alpha(path: Path) -> None:
    Pillow.fromarray(noise(6, 8, 3)).quantize(4).save(path, transparency=bytes([0, 128, 255, 255]))


@pytest.mark.fault(
    area="Hostile input",
    what="images of other kinds than are measured",
    how="16 bits, transparency, palettes with alpha, CMYK, floats",
    kept="refused with the name and what it is; nothing is converted in silence",
)
@pytest.mark.parametrize(
    ("name", "make", "fault"),
    [
        ("alpha.png", lambda path: Pillow.fromarray(noise(6, 8, 4)).save(path), "mode RGBA"),
        ("key.png", lambda path: Pillow.fromarray(noise(6, 8, 3)).save(path, transparency=(1, 2, 3)), "transparency"),
        ("palette.png", palette_with_alpha, "transparency"),
        ("deep.png", lambda path: Pillow.fromarray(noise(6, 8).astype(np.uint16)).save(path), "mode I;16"),
        ("colour16.png", lambda path: path.write_bytes(png16(noise(6, 8, 3))), "16 bits a channel"),
        ("float.tif", lambda path: Pillow.fromarray(noise(6, 8).astype(np.float32)).save(path), "mode F"),
        ("ink.jpg", lambda path: Pillow.fromarray(noise(6, 8, 3)).convert("CMYK").save(path), "mode CMYK"),
    ],
)
def test_images_that_are_not_8_bit_grey_or_rgb_are_refused(
    name: str, make: Callable[[Path], object], fault: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    message = f"{tmp_path / name} has {fault}; only 8-bit grey and RGB images are read"
    with pytest.raises(ValueError, match=re.escape(message)):
        list(datasets.load(str(tmp_path), 2))


@pytest.mark.fault(
    area="Hostile input",
    what="an image that is cut short",
    how="PNG, JPEG, BMP and TIFF, cut at 0, 10 and 60 percent",
    kept="refused with the name of the file",
)
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_a_damaged_image_is_told_by_name(suffix: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"cut.{suffix}"
    Pillow.fromarray(noise(64, 64, 3)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=re.escape(f"cannot read image {path}: ")):
        read_image(path)


def test_a_missing_image_is_told_by_name(tmp_path: Path) -> None:
    for read in (read_image, image_size):
        with pytest.raises(ValueError, match=re.escape(f"cannot read image {tmp_path / 'gone.png'}: ")):
            read(tmp_path / "gone.png")


def test_images_are_read_without_torch() -> None:
    read = "list(datasets.load('builtin-test', 4))"
    code = f"import sys, datasets; {read}; assert not {{'torch', 'skimage'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
