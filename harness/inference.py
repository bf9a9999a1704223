"""From a low-resolution image to a super-resolved one: whole, chopped as released, or tiled; once, or eight times."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from datasets.resize import Image

CHOP_OVERLAP, CHOP_MULTIPLES, CHOP_LIMIT = 10, (4, 8), 120_000
CHOP = "quadrants 10 pixels too large, then up to the next multiple of 4 rows and 8 columns; again from 120,000 pixels"
"""What a protocol says of it, so that scores of quadrants that were cut otherwise are no column of the same table."""
FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Of what is computed in each precision."""

Forward = Callable[[Tensor], Tensor]


class _Span(NamedTuple):
    """Along one axis: read from `start` to `stop`, keep what lies from `first` to `last`."""

    start: int
    stop: int
    first: int
    last: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class How:
    """How a network is asked: these three and the device say which function of the image is taken."""

    tiling: str = "whole"
    precision: str = "fp32"
    self_ensemble: bool = False


def super_resolve(network: nn.Module, lr: Image, how: How, *, scale: int, device: str) -> Image:
    """`network`'s answer to `lr [h w 3]`, clamped to [0, 1], times 255, rounded to uint8 `[scale*h scale*w 3]`.

    Raises:
        FloatingPointError: the network returned a value that is not finite.
        ValueError: it returned anything else than images of that size.
    """
    x = to_tensor(lr[None], device)

    def checked(part: Tensor) -> Tensor:
        y: Tensor = network(part)
        check_output(y, enlarged(part, scale))
        return y

    def forward(part: Tensor) -> Tensor:
        return tiled(checked, part, scale, how.tiling).float()

    with torch.inference_mode(), autocast(device, how.precision):
        y = ensembled(forward, x) if how.self_ensemble else forward(x)
    if not torch.isfinite(y).all():
        raise FloatingPointError("the network returned values that are not finite")
    return to_image(y[0])


def tiled(forward: Forward, x: Tensor, scale: int, tiling: str) -> Tensor:
    """`forward` over `x [b 3 h w]` by `tiling`: "whole", "chop", or "tile:SIZE+OVERLAP"."""
    if tiling == "whole":
        return forward(x)
    if tiling == "chop":
        return _chopped(forward, x, scale)
    size, _, overlap = tiling.removeprefix("tile:").partition("+")
    rows, columns = (list(_tiles(side, int(size), int(overlap or 0))) for side in x.shape[-2:])
    return _assembled(forward, x, scale, rows, columns)


def enlarged(x: Tensor, scale: int) -> tuple[int, ...]:
    """The shape of what a network of `scale` makes of images `x [b 3 h w]`."""
    return (*x.shape[:2], *(scale * side for side in x.shape[2:]))


def check_output(y: object, shape: Sequence[int]) -> None:
    """Whether a network answers with images of that `shape`: another one would be broadcast, or wins for what it costs.

    Raises:
        ValueError: it does not.
    """
    told = f"{tuple(y.shape)} of {str(y.dtype)[6:]}" if isinstance(y, Tensor) else type(y).__name__
    if not (isinstance(y, Tensor) and tuple(y.shape) == tuple(shape) and y.is_floating_point()):
        raise ValueError(f"the network returned {told}, expected {tuple(shape)} of floats")


def tiling_told(tiling: str) -> dict[str, str]:
    """What a protocol says of a tiling besides its name."""
    return {"chop": CHOP} if tiling == "chop" else {}


def ensembled(forward: Forward, x: Tensor) -> Tensor:
    """The x8 self-ensemble: the mean of `forward` over the four flips of `x [b 3 h w]` and of its transpose, undone.

    As released with EDSR: the image is turned first and tiled then, and the mean is taken before clamping and rounding.
    """
    views = [(turned, axes) for turned in (x, x.mT) for axes in FLIPS]
    answers = [forward(turned.flip(axes)).flip(axes) for turned, axes in views]
    upright, transposed = answers[: len(FLIPS)], answers[len(FLIPS) :]
    return torch.stack([*upright, *(y.mT for y in transposed)]).mean(dim=0)


def autocast(device: str, precision: str) -> contextlib.AbstractContextManager[None]:
    """All that `precision` asks of `device`, undone at the end: mixed precision, or how float32 is multiplied.

    Raises:
        ValueError: tf32 where there is no NVIDIA GPU.
    """
    if DTYPES[precision] == torch.float32:
        return float32_products(device, precision)
    return torch.autocast(torch.device(device).type, dtype=DTYPES[precision])


def float32_products(device: str, precision: str) -> contextlib.AbstractContextManager[None]:
    """How a GPU multiplies float32: in full for fp32, by tensor cores from 10 bits of mantissa for tf32, else as it is.

    fp32 must say so, since PyTorch's convolutions are tf32 unless told otherwise. Mixed precision is left before the
    backward pass; this is not. A CPU has nothing to switch.

    Raises:
        ValueError: tf32 where there is no NVIDIA GPU.
    """
    kind = torch.device(device).type
    if precision == "tf32" and kind != "cuda":
        raise ValueError(f"precision tf32 needs an NVIDIA GPU, this is {kind}")
    if kind == "cuda" and DTYPES[precision] == torch.float32:
        return _tensor_cores(allowed=precision == "tf32")
    return contextlib.nullcontext()


def to_tensor(images: Image, device: str) -> Tensor:
    """`[b h w 3]` of uint8 as `[b 3 h w]` of float32 in [0, 1], in memory as `channels_last`.

    A GPU is not waited for: from pinned memory the copy takes its turn after what the GPU has to do before.
    """
    levels = torch.from_numpy(np.ascontiguousarray(images))
    if torch.device(device).type == "cuda":
        levels = levels.pin_memory().to(device, non_blocking=True)
    return levels.permute(0, 3, 1, 2) / 255


def to_image(y: Tensor) -> Image:
    """`[3 h w]` as uint8 `[h w 3]`, clamped and rounded."""
    levels = (y.clamp(0, 1) * 255).round().to(torch.uint8)
    image: Image = levels.permute(1, 2, 0).cpu().numpy()
    return image


@contextlib.contextmanager
def _tensor_cores(*, allowed: bool) -> Iterator[None]:
    """Of the whole process, other threads included: the backward pass runs in one.

    By the flags that PyTorch has always had. The newer `fp32_precision` makes reading these an error, and PyTorch's own
    compiler reads them.
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32, convolutions.allow_tf32 = allowed, allowed
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def quadrant(height: int, width: int) -> tuple[int, int]:
    """Height and width of a quadrant of the released `--chop`.

    Half of the image and 10 pixels, and then up to the next multiple of 4 rows and 8 columns, which is always further:
    so it is in the released code of NLSN, ENLCN and LCoAN. An image that is smaller is its own quadrant.
    """
    reach = (side // 2 + CHOP_OVERLAP for side in (height, width))
    upwards = (each + multiple - each % multiple for each, multiple in zip(reach, CHOP_MULTIPLES, strict=True))
    rows, columns = (min(side, each) for side, each in zip((height, width), upwards, strict=True))
    return rows, columns


def _chopped(forward: Forward, x: Tensor, scale: int) -> Tensor:
    """The released `--chop`: overlapping quadrants, cut again while they have 120,000 pixels or more."""
    sides = x.shape[-2:]
    reach = quadrant(*sides)
    rows, columns = (list(_halves(side, each)) for side, each in zip(sides, reach, strict=True))
    small = reach[0] * reach[1] < CHOP_LIMIT
    inner: Forward = forward if small else lambda part: _chopped(forward, part, scale)
    return _assembled(inner, x, scale, rows, columns)


def _halves(side: int, reach: int) -> Iterator[_Span]:
    half = side // 2
    yield _Span(0, reach, 0, half)
    yield _Span(side - reach, side, half, side)


def _tiles(side: int, size: int, overlap: int) -> Iterator[_Span]:
    """Spans that keep `size` pixels each and read up to `overlap` more on either side."""
    for first in range(0, side, size):
        last = min(first + size, side)
        yield _Span(max(0, first - overlap), min(side, last + overlap), first, last)


def _assembled(forward: Forward, x: Tensor, scale: int, rows: list[_Span], columns: list[_Span]) -> Tensor:
    """The kept parts of all tiles, put together."""
    bands = []
    for row in rows:
        parts = [
            _kept(forward(x[..., row.start : row.stop, column.start : column.stop]), scale, row, column)
            for column in columns
        ]
        bands.append(torch.cat(parts, dim=-1))
    return torch.cat(bands, dim=-2)


def _kept(y: Tensor, scale: int, row: _Span, column: _Span) -> Tensor:
    rows, columns = (slice(scale * (s.first - s.start), scale * (s.last - s.start)) for s in (row, column))
    return y[..., rows, columns]
