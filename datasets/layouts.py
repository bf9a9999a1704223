"""Which files of a folder are images of high resolution, and which of low, in the layouts that archives come in.

| layout | high resolution | low resolution at scale 2 |
|---|---|---|
| EDSR | `HR/baby.png` | `LR_bicubic/X2/babyx2.png` |
| DIV2K | `DIV2K_train_HR/0001.png` | `DIV2K_train_LR_bicubic/X2/0001x2.png` |
| SelfExSR | `image_SRF_2/img_001_SRF_2_HR.png` | `image_SRF_2/img_001_SRF_2_LR.png` |
| flat | `baby.png` | none: made by `imresize` |

The first two may lack low-resolution images too. A folder is meant by its own path or by that of its `HR` folder.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
INNER = re.compile(r"HR|LR|LR_bicubic|X\d|image_SRF_\d")
SELFEXSR = re.compile(r"(.+)_SRF_(\d)_(HR|LR)")
SCALES = (2, 3, 4)


class Files(NamedTuple):
    """The high-resolution images of a folder in order of name, and for each its low-resolution one if they came."""

    hr: tuple[Path, ...]
    lr: Mapping[Path, Path]


def files_in(folder: Path, scale: int) -> Files:
    """The images of `folder` at `scale`, in whichever layout it has.

    Raises:
        ValueError: no such folder, no image in it, several images of one name, a low-resolution image without its
            high-resolution one or the reverse, a folder that may be read in two ways.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises where a name is too long
        raise ValueError(f"no folder of images at {folder}")
    if inner := _inner(folder, scale):
        return files_in(inner, scale)
    images = images_in(folder)
    if any(SELFEXSR.fullmatch(file.stem) for file in images):
        return _selfexsr(folder, images, scale)
    brought = _lr_folder(folder, scale)
    return _beside(images, images_in(brought), scale) if brought else Files(images, {})


def scales_of(folder: Path) -> tuple[int, ...]:
    """The scales at which `folder` brings low-resolution images, whether or not they fit."""
    holders = [folder, *(folder / name for name in _hr_folders(_folders(folder)))]
    marked = {found[2] for file in folder.iterdir() if (found := SELFEXSR.fullmatch(file.stem)) and found[3] == "LR"}
    return tuple(
        scale
        for scale in SCALES
        if str(scale) in marked
        or (folder / f"image_SRF_{scale}").is_dir()
        or any(_lr_folder(holder, scale) for holder in holders)
    )


def images_in(folder: Path) -> tuple[Path, ...]:
    """The image files of one folder, by name.

    Raises:
        ValueError: there is none, two have one name, or one is no file or has a name that cannot be printed.
    """
    files = tuple(sorted(file for file in folder.iterdir() if is_image(file.name)))
    for file in files:
        _check_file(file)
    stems = Counter(file.stem for file in files)
    if twice := [stem for stem, count in stems.items() if count > 1]:
        raise ValueError(f"{folder} has several images called {twice[0]!r}, whose scores could not be told apart")
    if not files:
        inside = ", ".join(_folders(folder))
        raise ValueError(
            f"no image in {folder}: looked for {', '.join(SUFFIXES)}"
            + (f"; it has the folders {inside}" * bool(inside))
        )
    return files


def _check_file(file: Path) -> None:
    """Raise `ValueError` unless `file` is one, of a name that a table and a terminal can show."""
    if not file.name.isprintable():
        raise ValueError(f"{file.parent} has an image whose name holds a sign that cannot be printed: {file.name!r}")
    if not file.is_file():
        raise ValueError(f"{file} is no file")


def is_image(name: str) -> bool:
    """Whether a file is an image by its name; what a Mac leaves beside one (`._baby.png`) is not."""
    return name.lower().endswith(SUFFIXES) and not name.startswith("._")


def image_name(file: Path) -> str:
    """How an image is called: its file's name, without what the SelfExSR layout adds to it."""
    found = SELFEXSR.fullmatch(file.stem)
    return found[1] if found else file.stem


def folder_name(folder: str | Path) -> str:
    """How the images of a folder are called: the nearest part of its path that tells more than `HR` does."""
    path = _absolute(folder)
    return next((part for part in reversed(path.parts[1:]) if not INNER.fullmatch(part)), path.name)


def _inner(folder: Path, scale: int) -> Path | None:
    """The folder inside `folder` that holds the high-resolution images, if it is not `folder` itself."""
    inside = _folders(folder)
    by_scale = [name for name in inside if re.fullmatch(r"image_SRF_\d", name)]
    chosen = [name for name in by_scale if name == f"image_SRF_{scale}"] if by_scale else _hr_folders(inside)
    if by_scale and not chosen:
        raise ValueError(f"{folder} has no image_SRF_{scale} for scale {scale}; it has {', '.join(by_scale)}")
    if not chosen:
        return None
    if len(chosen) > 1:
        raise ValueError(f"{folder} holds several sets; name one of them: {', '.join(chosen)}")
    if stray := next((file.name for file in folder.iterdir() if is_image(file.name)), None):
        raise ValueError(f"{folder} has images of its own, such as {stray}, beside {chosen[0]}: which are meant?")
    return folder / chosen[0]


def _hr_folders(names: Iterable[str]) -> list[str]:
    return [name for name in names if name == "HR" or name.endswith("_HR")]


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _lr_folder(folder: Path, scale: int) -> Path | None:
    """Where the low-resolution images of a folder called `HR` or `…_HR` are, if they came."""
    path = _absolute(folder)
    if not _hr_folders([path.name]):
        return None
    brought = path.parent / f"{path.name.removesuffix('HR')}LR_bicubic" / f"X{scale}"
    return brought if brought.is_dir() else None


def _absolute(folder: str | Path) -> Path:
    """The path from the root on, links left as they are: they carry the names that the user chose."""
    return Path(os.path.abspath(folder))  # noqa: PTH100 - Path.resolve follows links


def _beside(hr: tuple[Path, ...], lr: tuple[Path, ...], scale: int) -> Files:
    """Pairs of `baby.png` and `babyx2.png`, each in a folder of its own."""
    return _paired({f"{file.stem}x{scale}": file for file in hr}, {file.stem: file for file in lr})


def _selfexsr(folder: Path, images: tuple[Path, ...], scale: int) -> Files:
    """Pairs of `img_001_SRF_2_HR.png` and `img_001_SRF_2_LR.png` in one folder; it may lack all of the latter."""
    sides: dict[str, dict[str, Path]] = {"HR": {}, "LR": {}}
    for file in images:
        found = SELFEXSR.fullmatch(file.stem)
        if found is None or int(found[2]) != scale:
            raise ValueError(f"{file} is not an image of scale {scale}, as {folder} should hold: …_SRF_{scale}_HR.png")
        sides[found[3]][found[1]] = file
    return _paired(sides["HR"], sides["LR"]) if sides["LR"] else Files(tuple(sides["HR"].values()), {})


def _paired(hr: Mapping[str, Path], lr: Mapping[str, Path]) -> Files:
    if alone := sorted(hr.keys() - lr.keys()):
        raise ValueError(f"{hr[alone[0]]} has no low-resolution image beside it, as others have")
    if alone := sorted(lr.keys() - hr.keys()):
        raise ValueError(f"{lr[alone[0]]} has no high-resolution image beside it")
    return Files(tuple(hr.values()), {file: lr[key] for key, file in hr.items()})
