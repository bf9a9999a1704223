"""MATLAB's bicubic `imresize`, bit for bit, on 8-bit images.

Keys' cubic kernel with a = -0.5, widened when shrinking (antialiasing), weights normalised per output pixel, output
size `ceil(n * scale)`. Rows are resized before columns and the result is rounded to 8 bits after each pass, as MATLAB
does for `uint8` input. Today's MATLAB mirrors the border ("symmetric"); releases up to about 2014 repeat the edge
pixel ("replicate"), and the LR images of older benchmarks were made by those.

Each pass is a set of small dense products in single precision. They decide every value that lies further from a
rounding boundary than their error can be (`Blocks.margin`); the few others are summed again in double precision, tap
by tap, so that every bit is that of the plain sum of `Taps` in double precision.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from datasets.naming import nearest

Image = NDArray[np.uint8]
Values = NDArray[np.float32]
Indices = NDArray[np.intp]
Border = Literal["symmetric", "replicate"]
BORDERS = ("symmetric", "replicate")
KERNEL_WIDTH = 4.0
DIMENSIONS = (2, 3)
LEVELS = 256
BLOCKS = (16, 8, 4, 2, 1)
"""Outputs of one dense product along an axis: more would multiply more zeros."""
PRODUCT = 1 << 18
"""Multiplications of one product up to which OpenBLAS starts no threads of its own, which would hinder ours."""
TILE = 1 << 17
"""Values of a strip that are resized together: they stay in the cache, and malloc keeps the memory of such arrays."""
THREADS = 2
SMALL = 1 << 17
"""Output values below which starting threads costs more than it saves."""
EXACT_BITS = 15
"""Weights that are whole multiples of `2**-15` with absolute sum up to 2 give exact sums in 24 bits of mantissa."""


Terms = tuple[NDArray[np.float64], Values]
"""Weights and values `[k n]` of the taps of `n` outputs."""


class Taps(NamedTuple):
    """For each output position the input positions it reads, `source [out k]`, and their `weight [out k]`."""

    source: Indices
    weight: NDArray[np.float64]


class Blocks(NamedTuple):
    """The sums of one axis as dense products, each for a block of `size` outputs.

    The line of inputs is first continued by those at `before` and `after`, as the border demands. Block `b` reads
    `span` of it from `start[b]` on with `weight [b size span]`; output `o` reads `tap [o k]` of those with
    `exact [o k]`. Outputs past the last are padding. Of `c` interleaved lines, `start`, `span` and `weight` count
    single values, all else pixels.

    `margin` bounds how far a single-precision sum may be from the double-precision one; 0 says that both are exact.
    """

    size: int
    before: Indices
    after: Indices
    start: Indices
    span: int
    weight: Values
    tap: Indices
    exact: NDArray[np.float64]
    margin: float


def imresize(image: Image, scale: float, border: Border = "symmetric") -> Image:
    """`image [h w]` or `[h w c]` of uint8, resized by `scale`.

    Raises:
        ValueError: another dtype or number of axes, a scale that is not positive, or an unknown border.
    """
    check(image, "imresize")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be positive and finite, not {scale}")
    height, width = (math.ceil(side * scale) for side in image.shape[:2])
    out = np.empty((height, width, *image.shape[2:]), dtype=np.uint8)
    if out.size:
        _fill(out.reshape(height, width, -1), image.reshape(*image.shape[:2], -1), float(scale), border)
    return out


def check(image: Image, taker: str) -> None:
    """Refuse what `taker` cannot take.

    Raises:
        ValueError: it is not uint8 `[h w]` or `[h w c]`.
    """
    if image.dtype != np.uint8 or image.ndim not in DIMENSIONS:
        raise ValueError(f"{taker} takes uint8 [h w] or [h w c], not {image.dtype} of shape {image.shape}")


@functools.lru_cache(maxsize=256)
def taps(length: int, scale: float, border: Border = "symmetric") -> Taps:
    """Which pixels, with which weights, make each of the `ceil(length * scale)` output positions."""
    index, weight = _reach(length, scale)
    return Taps(_inside(index, length, border), weight)


def _reach(length: int, scale: float) -> Taps:
    """`Taps` of a line without ends: positions before 0 and beyond `length - 1` are left to the border."""
    shrink = min(scale, 1.0)
    width = KERNEL_WIDTH / shrink
    centre = (np.arange(math.ceil(length * scale)) + 0.5) / scale - 0.5
    first = np.floor(centre - width / 2).astype(np.intp) + 1
    index = first[:, None] + np.arange(math.ceil(width) + 1)
    weight = shrink * _cubic(shrink * (centre[:, None] - index))
    weight /= weight.sum(axis=1, keepdims=True)
    used = weight.any(axis=0)
    return Taps(index[:, used], weight[:, used])


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = -0.5."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= KERNEL_WIDTH / 2, far, 0.0))


def _inside(index: Indices, length: int, border: Border) -> Indices:
    """Positions beyond the image, mirrored back into it or held at its edge."""
    if border not in BORDERS:
        raise ValueError(f"unknown border {border!r}: {nearest(border, BORDERS)}")
    if border == "replicate":
        return index.clip(0, length - 1)
    folded = index % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)


@functools.lru_cache(maxsize=16)
def _blocks(length: int, scale: float, border: Border, size: int, channels: int = 1) -> Blocks:
    """The dense products of one axis, for `channels` interleaved lines at once."""
    index, exact = _reach(length, scale)
    begin = index[::size, 0]
    tap = index - begin.repeat(size)[: len(index), None]
    span = int(tap.max()) + 1
    dense = np.zeros((len(begin) * size, span), dtype=np.float32)
    np.put_along_axis(dense[: len(tap)], tap, exact.astype(np.float32), axis=1)
    low, high = min(int(begin[0]), 0), max(int(begin[-1]) + span, length)
    before, after = (_inside(np.arange(*ends), length, border) for ends in ((low, 0), (length, high)))
    weight = np.kron(dense.reshape(-1, size, span), np.eye(channels, dtype=np.float32)[None])
    start = (begin - low) * channels
    return Blocks(size, before, after, start, span * channels, weight, tap, exact, _margin(exact))


def _size(scale: float, channels: int) -> int:
    """The largest block whose products, of both passes, stay within PRODUCT."""
    for size in BLOCKS:
        span = channels * (size + KERNEL_WIDTH) / min(scale, 1.0)
        if size * max(span * span / channels, span * size * channels) <= PRODUCT:
            return size
    return BLOCKS[-1]


def _margin(weight: NDArray[np.float64]) -> float:
    """How far single- and double-precision sums of `weight [out k]` times levels may lie apart.

    Weights are rounded once and `k` products summed in any order, fused or not; the zeros between change nothing:
    `|error| <= gamma(k + 1) * sum |w| * 255`, `gamma(n) = n u / (1 - n u)`, `u = 2**-24`. Adding the half and taking
    the fraction round once each, and double precision errs by less than one `u` in all.
    """
    total = float(np.abs(weight).sum(axis=1).max())
    scaled = np.ldexp(weight, EXACT_BITS)
    if total <= 2 and (scaled == np.rint(scaled)).all():  # noqa: PLR2004 - see EXACT_BITS
        return 0.0
    return float((weight.shape[1] + 4) * 2.0**-24 * LEVELS * total)


def _fill(out: Image, image: Image, scale: float, border: Border) -> None:
    """All of `out [H W c]` from `image [h w c]`, in strips of a block's rows."""
    size = _size(scale, image.shape[2])
    rows = _blocks(image.shape[0], scale, border, size)
    columns = _blocks(image.shape[1], scale, border, size, image.shape[2])
    line = np.concatenate((rows.before, np.arange(image.shape[0]), rows.after))

    def strip(index: int) -> None:
        source = line[rows.start[index] :][: rows.span]
        made = _strip(image[source], rows, columns, index)
        target = out[index * size :][:size].reshape(-1, out.shape[1] * out.shape[2])
        target[:] = made[: len(target), : target.shape[1]]

    if out.size < SMALL:
        for index in range(len(rows.start)):
            strip(index)
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(strip, range(len(rows.start))))


def _strip(image: Image, rows: Blocks, columns: Blocks, index: int) -> Image:
    """A block of rows of the output, its columns padded to whole blocks, from the `rows.span` rows that they read."""
    continued = np.concatenate((image[:, columns.before], image, image[:, columns.after]), axis=1)
    windows = sliding_window_view(continued.reshape(len(image), -1), columns.span, axis=1)
    count = max(1, TILE // (rows.span * columns.span))
    made = []
    for first in range(0, len(columns.start), count):
        values = windows[:, columns.start[first : first + count]].swapaxes(0, 1).astype(np.float32)
        made.append(_columns(_rows(values, rows, index), columns, first, image.shape[2]).astype(np.uint8))
    return np.concatenate(made).swapaxes(0, 1).reshape(rows.size, -1)


def _rows(values: Values, plan: Blocks, index: int) -> Values:
    """`values [n span p]` to `[n size p]`: block `index` of the plan over all columns."""
    total = np.matmul(plan.weight[index], values)

    def terms(at: Indices) -> Terms:
        window, row, column = np.unravel_index(at, total.shape)
        output = np.minimum(index * plan.size + row, len(plan.tap) - 1)
        return plan.exact[output].T, values[window, plan.tap[output].T, column]

    return _settled(total, plan.margin, terms)


def _columns(values: Values, plan: Blocks, first: int, channels: int) -> Values:
    """`values [n r span*c]` to `[n r size*c]`: `n` blocks of the plan from `first` on, over the same rows."""
    total = np.matmul(values, plan.weight[first : first + len(values)].swapaxes(1, 2))

    def terms(at: Indices) -> Terms:
        window, row, value = np.unravel_index(at, total.shape)
        pixel, channel = np.divmod(value, channels)
        output = np.minimum((first + window) * plan.size + pixel, len(plan.tap) - 1)
        return plan.exact[output].T, values[window, row, plan.tap[output].T * channels + channel]

    return _settled(total, plan.margin, terms)


def _settled(total: Values, margin: float, terms: Callable[[Indices], Terms]) -> Values:
    """`floor(total + 0.5)` within 8 bits, from `terms` in double precision where `total` cannot tell; overwrites it."""
    total += np.float32(0.5)
    whole = np.floor(total)
    if margin:
        total -= whole
        total -= np.float32(0.5)
        doubtful = np.flatnonzero(np.abs(total, out=total) > np.float32(0.5 - margin))
        if doubtful.size:
            whole.reshape(-1)[doubtful] = np.floor(_summed(*terms(doubtful)) + 0.5)
    return np.clip(whole, 0, LEVELS - 1, out=whole)


def _summed(weight: NDArray[np.float64], value: Values) -> NDArray[np.float64]:
    """`[k n]` to `[n]`, first tap first: another order would round otherwise."""
    total = np.zeros(value.shape[1])
    for w, v in zip(weight, value, strict=True):
        total = total + w * v
    return total
