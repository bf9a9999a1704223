"""Which of two networks is better on one data set: tested in pairs over images and seeds, Holm over the whole page."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from reports.quality import Quality
from reports.significance import ALPHA, crossed_interval, estimate, holm, least_p, wilcoxon
from reports.stats import FEWEST, Floats, Interval
from reports.tables import significant

ALIKE_DB = 0.005
"""Half of the last digit that tables print of a PSNR: a smaller difference on an image is a tie."""
MOST_IN_ALL_PAIRS = 8
"""Of more networks, each is shown against the best and against the next in rank only."""

Verdict = Literal["better", "worse", "noise", "alike", "undecided"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """PSNR-Y of one label `[images seeds]`, NaN where there is none; `complete` on every image of the table."""

    label: str
    scores: Floats
    complete: bool

    @property
    def seeds(self) -> int:
        """How many networks were trained."""
        return int(self.scores.shape[1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """PSNR-Y of `first` minus that of `second` in dB, over `images` and the training `seeds` of each.

    `wilcoxon` is the p over images of these trained networks; `p`, where a method has several seeds, the greater of
    that and of Student's t over images and seeds; `holm` is `p` after Holm. `detectable` is the minimum detectable
    effect. `reason` tells why nothing is decided, and then there is no `holm`.
    """

    first: str
    second: str
    images: int
    seeds: tuple[int, int]
    difference: float = math.nan
    interval: Interval | None = None
    wins: int = 0
    losses: int = 0
    ties: int = 0
    wilcoxon: float | None = None
    p: float | None = None
    holm: float | None = None
    detectable: float | None = None
    reason: str = ""

    @property
    def verdict(self) -> Verdict:
        """Of `first`; `noise` is a difference that is not told from zero."""
        if self.images and self.ties == self.images:
            return "alike"
        if self.holm is None or self.interval is None:
            return "undecided"
        if self.holm >= ALPHA or self.interval.holds(0.0):
            return "noise"
        return "better" if self.difference > 0.0 else "worse"

    @property
    def caution(self) -> str:
        """Images alone tell of two trained networks, not of two methods."""
        single = [label for label, count in zip((self.first, self.second), self.seeds, strict=True) if count == 1]
        if len(single) == len(self.seeds):
            return "one training seed each"
        return f"one training seed of {single[0]}" if single else ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairs:
    """The comparisons of one table. `own` pairs could be tested in it, `family` on the page, shown or not."""

    best: str | None
    images: int
    comparisons: tuple[Comparison, ...]
    own: int
    family: int = 0

    def against_best(self, label: str) -> Comparison | None:
        """The best against `label`; None for the best and for what is no network."""
        return self._of_best.get(label)

    @functools.cached_property
    def _of_best(self) -> Mapping[str, Comparison]:
        """The comparisons of the best by whom it is compared with."""
        return {pair.second: pair for pair in self.comparisons if pair.first == self.best}


def compared(qualities: Sequence[Quality]) -> list[Pairs]:
    """The pairs of each of `qualities`, with Holm's correction over all of them.

    Where a table shows few of its pairs they were picked by the scores, so the family counts all that could have
    been. A table whose images are too few to establish anything is left out of it, whatever the scores.
    """
    return _with_holm([_pairs(quality) for quality in qualities])


def _with_holm(tables: Sequence[Pairs]) -> list[Pairs]:
    family = sum(table.own for table in tables)
    tested = [pair.p for table in tables for pair in table.comparisons if pair.p is not None and not pair.reason]
    adjusted = iter(holm(tested, family))
    return [_corrected(table, adjusted, family) for table in tables]


def planned(qualities: Sequence[Quality], chosen: Sequence[Sequence[tuple[str, str]]]) -> list[Pairs]:
    """Comparisons by labels, for each of `qualities` those that were planned before any score; Holm over these."""
    return _with_holm([_planned(quality, labels) for quality, labels in zip(qualities, chosen, strict=True)])


def _planned(quality: Quality, chosen: Sequence[tuple[str, str]]) -> Pairs:
    networks = {each.label: each for each in _networks(quality)}
    pairs = [(networks[first], networks[second]) for first, second in chosen]
    testable = sum(_testable(first) and _testable(second) for first, second in pairs)
    return _held(pairs, testable, len(quality.images), best=None)


def _corrected(table: Pairs, adjusted: Iterator[float], family: int) -> Pairs:
    done = [c if c.p is None or c.reason else dataclasses.replace(c, holm=next(adjusted)) for c in table.comparisons]
    return dataclasses.replace(table, comparisons=tuple(done), family=family)


def _pairs(quality: Quality) -> Pairs:
    networks = _networks(quality)
    best = next((each.label for each in networks if each.complete), None)
    return _held(_chosen(networks), math.comb(sum(map(_testable, networks)), 2), len(quality.images), best)


def _testable(network: Network) -> bool:
    return network.complete and bool(np.isfinite(network.scores).all())


def _held(chosen: Sequence[tuple[Network, Network]], testable: int, images: int, best: str | None) -> Pairs:
    """The comparisons that were chosen of so many that could be tested, undecided where the images are too few."""
    least = min(1.0, least_p(images) * testable)
    reason = _too_few(images, testable, least) if least >= ALPHA else ""
    found = [compare(*pair) for pair in chosen]
    held = tuple(c if c.reason else dataclasses.replace(c, reason=reason) for c in found)
    return Pairs(best=best, images=images, comparisons=held, own=0 if reason else testable)


def _too_few(images: int, pairs: int, least: float) -> str:
    """Why no difference on so few images can be established."""
    after = f", after Holm over the {pairs} pairs on these images {significant(least, 2)}" if pairs > 1 else ""
    return f"{images} images can give no p below {significant(least_p(images), 2)}{after}"


def _networks(quality: Quality) -> list[Network]:
    """Best first; what was not scored on every image comes last."""
    ranking, held = dict.fromkeys(quality.ranking), set(quality.by_seed.columns.get_level_values(0))
    rest = [label for label in quality.labels if label not in ranking and label != quality.baseline]
    return [
        Network(label=label, scores=quality.by_seed[label].to_numpy(float), complete=label in ranking)
        for label in (*ranking, *rest)
        if label in held
    ]


def _chosen(networks: Sequence[Network]) -> list[tuple[Network, Network]]:
    """Which pairs to show; none where no network is complete, as there is no best then."""
    ranked = [each for each in networks if each.complete]
    if not ranked:
        return []
    if len(networks) <= MOST_IN_ALL_PAIRS:
        return list(itertools.combinations(networks, 2))
    return [(networks[0], other) for other in networks[1:]] + list(itertools.pairwise(ranked[1:]))


def compare(first: Network, second: Network) -> Comparison:
    """One pair, before Holm; undecided with a reason where it cannot be tested."""
    missing = np.isnan(first.scores).any(axis=1) | np.isnan(second.scores).any(axis=1)
    common = int((~missing).sum())
    pair = Comparison(first=first.label, second=second.label, images=common, seeds=(first.seeds, second.seeds))
    if not (common and first.complete and second.complete):
        return dataclasses.replace(pair, reason="not scored on the same images")
    return _measured(pair, first.scores, second.scores)


def _measured(pair: Comparison, first: Floats, second: Floats) -> Comparison:
    with np.errstate(invalid="ignore"):
        differences = first.mean(axis=1) - second.mean(axis=1)
        pair = dataclasses.replace(pair, difference=float(differences.mean()))
    if not np.isfinite(differences).all():
        return dataclasses.replace(pair, reason="infinite values")
    told = np.where(np.abs(differences) < ALIKE_DB, 0.0, differences)
    wins, losses, ties = (int((np.sign(told) == sign).sum()) for sign in (1, -1, 0))
    pair = dataclasses.replace(pair, wins=wins, losses=losses, ties=ties)
    if pair.images < FEWEST:
        return dataclasses.replace(pair, reason=f"fewer than {FEWEST} images")
    return _tested(pair, told, first, second)


def _tested(pair: Comparison, told: Floats, first: Floats, second: Floats) -> Comparison:
    """Wilcoxon takes seeds as they fell; where they can be told from luck, Student's t must reject as well."""
    found, over_images = estimate(first, second), wilcoxon(told)
    return dataclasses.replace(
        pair,
        interval=crossed_interval(first, second, found),
        wilcoxon=over_images,
        p=over_images if max(pair.seeds) == 1 else max(over_images, found.p),
        detectable=found.detectable,
    )
