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

AHEAD = 4


class Batch(NamedTuple):
    """`lr [b p p 3]` and `hr [b scale*p scale*p 3]`, uint8."""

    lr: Image
    hr: Image


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatchSource:
    """Random aligned patches of `patch` low-resolution pixels a side, flipped and transposed at random.

    Images are drawn uniformly, as in the released training scripts; those smaller than a patch are left out.

    Raises:
        ValueError: all images are smaller than a patch.
    """

    images: DecodedSet
    patch: int
    batch: int
    seed: int

    def __post_init__(self) -> None:
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
        """The batch of `step`."""
        random = np.random.default_rng([self.seed, step])
        picks = [self._pick(random) for _ in range(self.batch)]
        return Batch(np.stack([lr for lr, _ in picks]), np.stack([hr for _, hr in picks]))

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """The batches of steps `first` to `last - 1`, a few prepared ahead in a thread."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            steps = iter(range(first, last))
            ahead = deque(pool.submit(self.at, step) for step in _take(steps, AHEAD))
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(pool.submit(self.at, step) for step in _take(steps, 1))
                yield batch

    def _pick(self, random: np.random.Generator) -> tuple[Image, Image]:
        pair = self.images.pairs[self.large[random.integers(len(self.large))]]
        top, left = (int(random.integers(side - self.patch + 1)) for side in pair.lr.shape[:2])
        flip_rows, flip_columns, transpose = random.random(3) < 0.5  # noqa: PLR2004 - a fair coin
        views = []
        for image, scale in ((pair.lr, 1), (pair.hr, self.images.scale)):
            rows, columns = (slice(scale * start, scale * (start + self.patch)) for start in (top, left))
            view = image[rows, columns][:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
            views.append(view.swapaxes(0, 1) if transpose else view)
        return views[0], views[1]


def _take(steps: Iterator[int], count: int) -> list[int]:
    return [step for _, step in zip(range(count), steps, strict=False)]
