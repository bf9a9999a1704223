"""Image sets by name (`manifest.toml`) or by folder, as pairs of a high- and a low-resolution image."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from datasets.naming import nearest
from datasets.resize import Border, Image, imresize

if TYPE_CHECKING:
    import PIL.Image

MANIFEST = Path(__file__).with_name("manifest.toml")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MODES = ("L", "RGB", "P", "1")


class Pair(NamedTuple):
    """One image: `hr [scale*h scale*w 3]` and `lr [h w 3]`, uint8 RGB."""

    name: str
    hr: Image
    lr: Image


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSet:
    """The images of one set at one scale; files are decoded when iterated, never kept.

    The low-resolution image is the high-resolution one, cropped to a multiple of the scale (top left kept) and shrunk
    by `imresize` with `border`.
    """

    name: str
    files: tuple[Path, ...]
    scale: int
    window: int | None = None
    border: Border = "symmetric"

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Pair]:
        return map(self.pair, self.files)

    def pair(self, file: Path) -> Pair:
        """The pair made from one file of the set."""
        image = read_image(file)
        if self.window is not None:
            image = _centre(image, self.window)
        height, width = (side - side % self.scale for side in image.shape[:2])
        if not height or not width:
            raise ValueError(f"{file} is smaller than one pixel at scale {self.scale}")
        hr = np.ascontiguousarray(image[:height, :width])
        return Pair(file.stem, hr, imresize(hr, 1 / self.scale, self.border))

    def lr_size(self, file: Path) -> tuple[int, int]:
        """Height and width of the low-resolution image of one file, from its header alone."""
        sides = image_size(file)
        return tuple((side if self.window is None else min(side, self.window)) // self.scale for side in sides)  # type: ignore[return-value]

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over file contents in order and over all that shapes the pairs; no path goes in."""
        digest = hashlib.sha256(f"{self.scale} {self.window} {self.border}".encode())
        for file in self.files:
            digest.update(file.stem.encode() + hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()


def names() -> list[str]:
    """The sets of the manifest."""
    return sorted(_manifest())


def is_folder(name: str) -> bool:
    """Whether `name` is written as a path (`./images`, `/data/Set5`) and not as a set of the manifest."""
    return "/" in name


def load(name: str, scale: int, border: Border = "symmetric") -> ImageSet:
    """The set called `name`, or the images of the folder `name` if it is written as a path.

    Raises:
        ValueError: an unknown name, a folder that does not exist or holds no image.
    """
    if is_folder(name):
        return ImageSet(name=Path(name).name, files=_images_in(Path(name)), scale=scale, border=border)
    if name not in (manifest := _manifest()):
        raise ValueError(
            f"unknown data set {name!r}: {nearest(name, manifest)} A folder of images is written as a path."
        )
    entry = manifest[name]
    files = tuple(_skimage_folder() / image for image in entry["images"])
    return ImageSet(name=name, files=files, scale=scale, window=entry.get("window"), border=border)


def read_image(file: Path) -> Image:
    """An image file as uint8 RGB `[h w 3]`; grey is repeated to three channels.

    Raises:
        ValueError: a missing or damaged file, or one that is not 8-bit grey or RGB; the message names it.
    """
    with _opened(file) as image:
        if fault := _fault(image):
            raise ValueError(f"{file} has {fault}; only 8-bit grey and RGB images are read")
        return np.asarray(image.convert("RGB"))


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

    try:
        with PIL.Image.open(file) as image:
            yield image
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise ValueError(f"cannot read image {file}: {error}") from error


def _fault(image: PIL.Image.Image) -> str | None:
    """What makes an image unfit. Pillow itself would cut 16-bit colour to 8 bits, or drop transparency, in silence."""
    if image.mode not in MODES:
        return f"mode {image.mode}"
    if "transparency" in image.info:
        return "transparency"
    return "16 bits a channel" if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())) else None


@functools.cache
def _manifest() -> dict[str, dict[str, Any]]:
    return tomllib.loads(MANIFEST.read_text(encoding="utf-8"))


def _skimage_folder() -> Path:
    """Where scikit-image keeps its bundled images; found without importing it."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ValueError("the built-in images come with scikit-image, which is not installed")
    return Path(spec.origin).parent / "data"


def _images_in(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        raise ValueError(f"no folder of images at {folder}")
    files = tuple(sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES))
    stems = Counter(file.stem for file in files)
    if twice := [stem for stem, count in stems.items() if count > 1]:
        raise ValueError(f"{folder} has several images called {twice[0]!r}, whose scores could not be told apart")
    if not files:
        raise ValueError(f"no image in {folder}: looked for {', '.join(SUFFIXES)}")
    return files


def _centre(image: Image, side: int) -> Image:
    top, left = (max(0, (n - side) // 2) for n in image.shape[:2])
    return image[top : top + side, left : left + side]
