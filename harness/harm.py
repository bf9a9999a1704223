"""Where attention helps and where it harms: a network beside its twin without attention, sub-pixel by sub-pixel.

With `e = |SR - HR|` of one sub-pixel (one colour value of one pixel, 0-255), attention helps where its network's `e` is
below its twin's and harms where it is above. The oracle takes the better of the two everywhere. What lies between
network and oracle is the PSNR that harm costs: an approximate upper bound of what holding attention back could give.

This definition is ours, after the question that the DTFN paper asks; its body was not at hand (docs/harm.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from torch import nn

from datasets.resize import Image, imresize
from datasets.sets import ImageSet, Pair
from harness.answers import Answers, Shelf
from harness.evaluate import Progress, ahead, behind, gathered
from harness.metrics import PEAK, luma
from harness.pictures import Plane, levels, png, tinted
from harness.records import Artifact, Figures, Record, Status

WINDOW = 7
"""Side of the window, in high-resolution pixels, over which variance and error are local."""
UPPER = 75.0
"""A region holds the pixels above this percentile of their image."""
STRONGEST = 3.0
"""Levels at which a map has its full colour."""
HELP, HARM = (0, 114, 178), (196, 81, 0)
LONGEST = 320
"""Longest side of a map in pixels; a larger image is averaged over blocks."""
MAP_COLOURS = 64
LEVELS = 256
"""Of an 8-bit value."""

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]


def harms(
    network: nn.Module,
    twin: nn.Module,
    images: ImageSet,
    spec: Mapping[str, Any],
    device: str,
    progress: Progress,
    *,
    shelves: tuple[Shelf | None, Shelf | None] = (None, None),
) -> Figures:
    """Records of every image and region, a map of the first `spec["maps"]` images.

    The answers of both networks are taken from their `shelves`, or kept there.

    Raises:
        FloatingPointError: a network returned a value that is not finite; the message names the image.
    """
    both = [Answers(each, spec, device, shelf) for each, shelf in zip((network, twin), shelves, strict=True)]

    def answered() -> Iterator[_Answered]:
        for index, pair in enumerate(ahead(images)):
            ours, theirs = (answers.to(pair, images.scale) for answers in both)
            yield _Answered(pair, ours, theirs, index < spec["maps"])

    return gathered(behind(lambda each: _figures(each, images), answered()), len(images), progress)


class _Answered(NamedTuple):
    """What both networks make of an image, and whether a map of it is wanted."""

    pair: Pair
    ours: Image
    twin: Image
    mapped: bool


def _figures(each: _Answered, images: ImageSet) -> Figures:
    pair, ours, twin = each.pair, each.ours, each.twin
    records = tuple(_records(pair, ours, twin, images))
    if not each.mapped:
        return records, ()
    content = png(harm_map(ours, twin, pair.hr), MAP_COLOURS)
    return records, (Artifact(name="harm", dataset=images.name, image=pair.name, content=content),)


def compared(ours: Image, twin: Image, hr: Image, region: Mask) -> dict[str, float | None]:
    """The figures of one region `[h w]` of images `[h w 3]`, none of them cropped; None where there is none.

    Shares of sub-pixels, mean changes of the error in levels, three PSNR over RGB, and the squared error added where
    attention harms over that saved where it helps. All are sums of integers over `count [error, error of the twin]`.
    """
    count = _counted(ours[region], twin[region], hr[region])
    error, of_twin = np.ogrid[:LEVELS, :LEVELS]
    change, saved = of_twin - error, of_twin**2 - error**2
    helped, harmed = np.where(change > 0, count, 0), np.where(change < 0, count, 0)
    undone, done = -(saved * harmed).sum(), (saved * helped).sum()
    return {
        "psnr_rgb": _psnr(error, count),
        "psnr_rgb_twin": _psnr(of_twin, count),
        "psnr_rgb_oracle": _psnr(np.minimum(error, of_twin), count),
        "helped_share": _share(helped.sum(), count.sum()),
        "harmed_share": _share(harmed.sum(), count.sum()),
        "helped_levels": _share((change * helped).sum(), helped.sum()),
        "harmed_levels": _share(-(change * harmed).sum(), harmed.sum()),
        "undone_share": _share(undone, done),
    }


def regions(hr: Image, lr: Image, crop: int) -> dict[str, Mask]:
    """Parts of an image as masks `[h w]`, the border of `crop` pixels in none of them.

    `texture`: the quarter of pixels around which the luma of HR varies most; `degraded`: the quarter around which the
    bicubic enlargement of LR is furthest from it; `degraded texture`: both.
    """
    plane = luma(hr)
    wrong = luma(imresize(lr, hr.shape[0] / lr.shape[0])) - plane
    variance = uniform_filter(plane**2, WINDOW) - uniform_filter(plane, WINDOW) ** 2
    inner = np.zeros(plane.shape, dtype=bool)
    inner[crop : plane.shape[0] - crop, crop : plane.shape[1] - crop] = True
    texture, degraded = (_upper(values, inner) for values in (variance, uniform_filter(wrong**2, WINDOW)))
    return {"all": inner, "texture": texture, "degraded": degraded, "degraded texture": texture & degraded}


def harm_map(ours: Image, twin: Image, hr: Image) -> Image:
    """The image in faded grey, blue where attention brings it nearer to HR on the mean of RGB, orange where further."""
    errors = [np.abs(image.astype(np.float64) - hr).mean(axis=-1) for image in (twin, ours)]
    change = _reduced((errors[0] - errors[1])[..., None])[..., 0] / STRONGEST
    ground = levels(_reduced(hr.astype(np.float64)))
    return levels(np.where(change[..., None] > 0, tinted(ground, change, HELP), tinted(ground, -change, HARM)))


def _records(pair: Pair, ours: Image, twin: Image, images: ImageSet) -> list[Record]:
    found = []
    for region, mask in regions(pair.hr, pair.lr, images.scale).items():
        subject = {"dataset": images.name, "image": pair.name, "region": region}
        found += [_record(metric, value, subject) for metric, value in compared(ours, twin, pair.hr, mask).items()]
    return found


def _record(metric: str, value: float | None, subject: Mapping[str, Any]) -> Record:
    if value is None:
        return Record(metric=metric, status=Status.SKIPPED, reason="no such sub-pixel in this image", **subject)
    return Record(metric=metric, value=value, **subject)


def _upper(values: Plane, inner: Mask) -> Mask:
    upper: Mask = inner & (values > np.percentile(values[inner], UPPER))
    return upper


def _counted(ours: Image, twin: Image, hr: Image) -> Counts:
    """How many sub-pixels have each error `|ours - hr|` beside each error of the twin: `[256 256]`."""
    error, of_twin = (np.maximum(image, hr) - np.minimum(image, hr) for image in (ours, twin))
    pairs = error.astype(np.uint16) * LEVELS + of_twin
    return np.bincount(pairs.ravel(), minlength=LEVELS**2).reshape(LEVELS, LEVELS)


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None


def _psnr(error: Counts, count: Counts) -> float | None:
    """Of sub-pixels of these errors, so many of each."""
    if not (size := count.sum()):
        return None
    mean = float((error**2 * count).sum() / size)
    return 10.0 * math.log10(PEAK**2 / mean) if mean else math.inf


def _reduced(values: Plane) -> Plane:
    """`[h w c]` averaged over square blocks until no side is longer than `LONGEST`; a rest at the border is lost."""
    block = -(-max(values.shape[:2]) // LONGEST)
    rows, columns = (side // block for side in values.shape[:2])
    blocks = values[: rows * block, : columns * block].reshape(rows, block, columns, block, -1)
    mean: Plane = blocks.mean(axis=(1, 3))
    return mean
