"""Scores of one network on one image set, per image, and the pictures that the report cuts its crops from."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from torch import nn

from datasets.resize import Image
from datasets.sets import ImageSet, Pair
from harness import metrics
from harness.answers import Answers, Shelf
from harness.perceptual import perceptual
from harness.pictures import kept
from harness.records import Figures, Record

Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")
MOST_WAITING = 2
"""Images that wait for their scores, so that a fast network does not fill the memory."""
RGB_MARGIN = 6
"""Beyond the scale, what the challenge on DIV2K leaves out on each side."""


def evaluate(
    network: nn.Module,
    images: ImageSet,
    spec: Mapping[str, Any],
    device: str,
    progress: Progress,
    *,
    shelf: Shelf | None = None,
) -> Figures:
    """Records of every image, pictures of the first `spec["crops"]` and of those that `spec["at"]` names.

    The network waits for nothing else: the next image is decoded and the last one scored in threads beside it. Answers
    are kept on the `shelf`, or taken from there.

    Raises:
        FloatingPointError: the network returned a value that is not finite; the message names the image.
    """
    answers = Answers(network, spec, device, shelf)
    further = perceptual(spec["perceptual"], device, crop=images.scale) if spec["perceptual"] else None

    def answered() -> Iterator[_Answer]:
        for index, pair in enumerate(ahead(images)):
            sr = answers.to(pair, images.scale)
            pictured = index < spec["crops"] or bool(spec["crops"] and pair.name in spec["at"])
            yield _Answer(pair, sr, further(sr, pair.hr) if further else {}, pictured)

    return gathered(behind(lambda each: _figures(each, images, spec), answered()), len(images), progress)


class _Answer(NamedTuple):
    """A network's answer to an image, the scores that it already has, and whether it is kept."""

    pair: Pair
    sr: Image
    scores: dict[str, float]
    pictured: bool


def _figures(each: _Answer, images: ImageSet, spec: Mapping[str, Any]) -> Figures:
    pair = each.pair
    values = scores(pair, each.sr, images) | each.scores
    records = tuple(Record(metric=m, value=v, dataset=images.name, image=pair.name) for m, v in values.items())
    at = spec["at"].get(pair.name)
    return records, tuple(kept(pair, each.sr, images.name, images.scale, at)) if each.pictured else ()


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """`items`, each made in a thread while its predecessor is in use."""
    iterator = iter(items)
    with ThreadPoolExecutor(max_workers=1) as pool:
        following = pool.submit(next, iterator, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, iterator, None)
            yield item


def behind(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map(work, items)`, each worked on in a thread while its successor is made; at most two wait for it."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            while len(waiting) > MOST_WAITING or (waiting and waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def gathered(each: Iterable[Figures], total: int, progress: Progress) -> Figures:
    """The figures of `total` images as one, with a word of progress after each."""
    found: list[Figures] = []
    for figures in each:
        found.append(figures)
        progress(len(found), total)
    return tuple(r for records, _ in found for r in records), tuple(a for _, artifacts in found for a in artifacts)


def scores(pair: Pair, sr: Image, images: ImageSet) -> dict[str, float]:
    """Every quality metric of one image; on DIV2K also that of its challenge."""
    values: dict[str, float] = metrics.scores(sr, pair.hr, crop=images.scale)._asdict()
    if images.name.startswith("DIV2K"):
        values["psnr_rgb_div2k"] = metrics.psnr(sr, pair.hr, crop=images.scale + RGB_MARGIN, channel="rgb")
    return values
