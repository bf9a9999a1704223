"""Training patches: a pure function of seed and step, so that a resumed training sees what it would have seen."""

from __future__ import annotations

import dataclasses
import functools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from datasets.cache import DecodedSet
from datasets.resize import Image
from datasets.sets import Pair

AHEAD = 4


class Batch(NamedTuple):
    """`lr [b p p 3]` and `hr [b scale*p scale*p 3]`, uint8."""

    lr: Image
    hr: Image


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatchSource:
    """Random aligned patches of `patch` low-resolution pixels a side, flipped and transposed at random.

    Images are drawn uniformly, as in the released training scripts; those smaller than a patch are left out. Of `ranks`
    processes that share a batch, `rank` gets its stretch of what one alone would get.

    Raises:
        ValueError: all images are smaller than a patch, or the batch cannot be shared evenly.
    """

    images: DecodedSet
    patch: int
    batch: int
    seed: int
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        share(self.batch, self.ranks)
        if not self.large:
            most = max(min(pair.lr.shape[:2]) for pair in self.images.pairs)
            raise ValueError(
                f"no image of {self.images.name} holds a patch of {self.patch} low-resolution pixels; at scale "
                f"{self.images.scale} the largest that fits is {most}"
            )

    @functools.cached_property
    def large(self) -> tuple[int, ...]:
        """The places, among the images, of those that hold a patch."""
        return tuple(i for i, pair in enumerate(self.images.pairs) if min(pair.lr.shape[:2]) >= self.patch)

    def at(self, step: int) -> Batch:
        """The batch of `step`, or this rank's share of it."""
        random = np.random.default_rng([self.seed, step])
        spots = [self._spot(random) for _ in range(self.batch)]
        each = share(self.batch, self.ranks)
        cuts = [self._cut(spot) for spot in spots[self.rank * each : (self.rank + 1) * each]]
        return Batch(np.stack([lr for lr, _ in cuts]), np.stack([hr for _, hr in cuts]))

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """The batches of steps `first` to `last - 1`, a few prepared ahead in a thread."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            steps = iter(range(first, last))
            ahead = deque(pool.submit(self.at, step) for step in _take(steps, AHEAD))
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(pool.submit(self.at, step) for step in _take(steps, 1))
                yield batch

    def _spot(self, random: np.random.Generator) -> _Spot:
        pair = self.images.pairs[self.large[random.integers(len(self.large))]]
        top, left = (int(random.integers(side - self.patch + 1)) for side in pair.lr.shape[:2])
        flip_rows, flip_columns, transpose = random.random(3) < 0.5  # noqa: PLR2004 - a fair coin
        return _Spot(pair, top, left, flip_rows, flip_columns, transpose)

    def _cut(self, spot: _Spot) -> tuple[Image, Image]:
        views = []
        for image, scale in ((spot.pair.lr, 1), (spot.pair.hr, self.images.scale)):
            rows, columns = (slice(scale * start, scale * (start + self.patch)) for start in (spot.top, spot.left))
            view = image[rows, columns][:: -1 if spot.flip_rows else 1, :: -1 if spot.flip_columns else 1]
            views.append(view.swapaxes(0, 1) if spot.transpose else view)
        return views[0], views[1]


class _Spot(NamedTuple):
    """A patch before it is cut out."""

    pair: Pair
    top: int
    left: int
    flip_rows: bool
    flip_columns: bool
    transpose: bool


def share(batch: int, ranks: int) -> int:
    """How many patches of a batch each of `ranks` processes gets.

    Raises:
        ValueError: some would get more than others, and the mean of their means would not be that of the batch.
    """
    if batch % ranks:
        even = ", ".join(str(count) for count in range(1, batch + 1) if batch % count == 0)
        raise ValueError(f"{ranks} processes cannot share a batch of {batch} evenly: their number can be {even}")
    return batch // ranks


def _take(steps: Iterator[int], count: int) -> list[int]:
    return [step for _, step in zip(range(count), steps, strict=False)]
