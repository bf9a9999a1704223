"""Image sets by name (`manifest.toml`) or by folder, as pairs of a high- and a low-resolution image."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from datasets.degrade import Degradation, degrade
from datasets.layouts import files_in, folder_name, image_name
from datasets.manifest import entry, files_of, folders_of
from datasets.resize import Border, Image

if TYPE_CHECKING:
    import PIL.Image

MODES = ("L", "RGB", "P", "1")
FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
"""What is read, whatever a file is called. Others stay closed: for PostScript, Pillow would start an interpreter."""
SEVERAL = ("PNG", "TIFF")
"""Formats whose further pictures belong to the image; a photograph in JPEG may bring a preview along."""
AS_GIVEN: Literal["as given"] = "as given"


class Pair(NamedTuple):
    """One image: `hr [scale*h scale*w 3]` and `lr [h w 3]`, uint8 RGB."""

    name: str
    hr: Image
    lr: Image


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSet:
    """The images of one set at one scale; files are decoded when iterated, never kept.

    The high-resolution image is cropped to a multiple of the scale (top left kept). The low-resolution one is the file
    that `given` names for it, and `border` is "as given"; without such files it is made from the high-resolution image
    by `degrade` with `degradation`, `noise_seed` and `border`.
    """

    name: str
    files: tuple[Path, ...]
    scale: int
    window: int | None = None
    border: Border | Literal["as given"] = "symmetric"
    given: Mapping[Path, Path] = dataclasses.field(default_factory=dict)
    degradation: Degradation = "bicubic"
    noise_seed: int = 0

    def __post_init__(self) -> None:
        assert self.border != AS_GIVEN or self.given.keys() >= set(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Pair]:
        return map(self.pair, self.files)

    def pair(self, file: Path) -> Pair:
        """The pair made from one file of the set.

        Raises:
            ValueError: an image cannot be read or vanishes at this scale, or the two do not fit; the message names it.
        """
        image = read_image(file)
        if self.window is not None:
            image = _centre(image, self.window)
        height, width = (side - side % self.scale for side in image.shape[:2])
        if not height or not width:
            raise ValueError(f"{file} is smaller than one pixel at scale {self.scale}")
        hr = np.ascontiguousarray(image[:height, :width])
        return Pair(image_name(file), hr, self._lr(file, hr))

    def _lr(self, file: Path, hr: Image) -> Image:
        if self.border != AS_GIVEN:
            return degrade(hr, self.scale, self.degradation, self.noise_seed, self.border)
        lr = read_image(self.given[file])
        if tuple(self.scale * side for side in lr.shape[:2]) != hr.shape[:2]:
            sizes = [f"{image.shape[0]}x{image.shape[1]}" for image in (lr, hr)]
            raise ValueError(f"{self.given[file]} is {sizes[0]}, which times {self.scale} is not {sizes[1]} of {file}")
        return lr

    def lr_size(self, file: Path) -> tuple[int, int]:
        """Height and width of the low-resolution image of one file, from its header alone."""
        sides = image_size(file)
        return tuple((side if self.window is None else min(side, self.window)) // self.scale for side in sides)  # type: ignore[return-value]

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over file contents in order and over all that shapes the pairs; no path goes in."""
        made = "" if self.degradation == "bicubic" else f" {self.degradation} {self.noise_seed}"
        digest = hashlib.sha256(f"{self.scale} {self.window} {self.border}{made}".encode())
        for file in self.files:
            digest.update(image_name(file).encode() + _content_hash(file))
            if lr := self.given.get(file):
                digest.update(_content_hash(lr))
        return digest.hexdigest()


def is_folder(name: str) -> bool:
    """Whether `name` is written as a path (`./images`, `/data/Set5`) and not as a set of the manifest."""
    return "/" in name


def called(name: str) -> str:
    """How the set `name` is called: itself, or the part of a folder's path that tells it from others."""
    return folder_name(name) if is_folder(name) else name


def load(
    name: str,
    scale: int,
    border: Border | None = None,
    *,
    degradation: Degradation = "bicubic",
    noise_seed: int = 0,
) -> ImageSet:
    """The set called `name`, or the images of the folder `name` if it is written as a path.

    Low-resolution images that come with it are bicubic ones and used as they are; others are made with `border`,
    symmetric by default. Naming a `border` or another `degradation` makes all of them.

    Raises:
        ValueError: an unknown name, a set that is not in the data folder or not whole, or what `files_in` refuses.
    """
    window = None if is_folder(name) else entry(name).window
    files = files_in(Path(name), scale) if is_folder(name) else files_of(name, scale)
    given = files.lr if border is None and degradation == "bicubic" else {}
    return ImageSet(
        name=called(name),
        files=files.hr,
        scale=scale,
        window=window,
        border=AS_GIVEN if given else border or "symmetric",
        given=given,
        degradation=degradation,
        noise_seed=noise_seed,
    )


def places(name: str) -> list[Path]:
    """The folders where the images of a set, or of a folder written as a path, are; none if they are not there."""
    return [Path(name)] * Path(name).is_dir() if is_folder(name) else folders_of(name)


def read_image(file: Path) -> Image:
    """An image file as uint8 RGB `[h w 3]`; grey is repeated to three channels.

    Raises:
        ValueError: a missing or damaged file, one of more pixels than Pillow thinks safe (about 89 million), or one
            that is not 8-bit grey or RGB; the message names it.
    """
    with _opened(file) as image:
        fault = _fault(image)
        pixels = None if fault else np.asarray(image.convert("RGB"))
    if pixels is None:
        raise ValueError(f"{file} has {fault}; only 8-bit grey and RGB images are read")
    return pixels


def image_size(file: Path) -> tuple[int, int]:
    """Height and width of an image file, from its header.

    Raises:
        ValueError: a missing or damaged file; the message names it.
    """
    with _opened(file) as image:
        width, height = image.size
        return height, width


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[PIL.Image.Image]:
    """A file as Pillow opens it; whatever goes wrong until it is closed is told with the file's name."""
    import PIL.Image  # noqa: PLC0415 - decoding is needed by few verbs

    if not os.path.isfile(file):  # noqa: PTH113 - Path.is_file raises where a name is too long
        raise ValueError(f"cannot read image {file}: there is no such file")
    try:
        with _only_vast_ones(PIL.Image.DecompressionBombWarning), PIL.Image.open(file, formats=FORMATS) as image:
            yield image
    except Exception as error:  # a damaged file brings decoders to raise almost anything
        raise ValueError(f"cannot read image {file}: {error or type(error).__name__}") from error


@contextlib.contextmanager
def _only_vast_ones(vast: type[Warning]) -> Iterator[None]:
    """Too many pixels are an error; what else Pillow has to say of a file concerns who wrote it."""
    with warnings.catch_warnings(action="ignore"):
        warnings.simplefilter("error", vast)
        yield


def _content_hash(file: Path) -> bytes:
    """SHA-256 of a file of any size."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _fault(image: PIL.Image.Image) -> str | None:
    """What makes an image unfit. Pillow itself would cut 16-bit colour to 8 bits, or drop transparency, in silence."""
    if image.mode not in MODES:
        return f"mode {image.mode}"
    if "transparency" in image.info:
        return "transparency"
    if image.format in SEVERAL and getattr(image, "is_animated", False):
        return "several pictures"
    return "16 bits a channel" if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())) else None


def _centre(image: Image, side: int) -> Image:
    top, left = (max(0, (n - side) // 2) for n in image.shape[:2])
    return image[top : top + side, left : left + side]
