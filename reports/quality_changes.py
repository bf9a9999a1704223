"""Scores of two sides, image by image: a loss is one if images and training seeds cannot explain it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from harness.records import METRICS
from reports.changes import Change, Word
from reports.counterparts import Network, became, counterparts, network
from reports.frames import Frames
from reports.quality import SCORES, qualities
from reports.significance import paired_interval
from reports.stats import Floats, Interval
from reports.tables import bounds, fixed, signed

OF_ONE_TRAINING = 20.0
"""Two trainings that differ by luck alone may be some halves of the last digit apart: up to about 0.1 dB. Images cannot
tell that from a loss, seeds can."""
GONE = "not scored under this protocol any more"


class Place(NamedTuple):
    """What a score is of: the metric, the identity of the network, the test set and how it was asked."""

    metric: str
    network: str
    comparable: str
    dataset: str
    scale: int


class Scores(NamedTuple):
    """The network, where it was scored in words, which weights, and scores by image (rows) and training seed."""

    network: Network
    where: str
    weights: frozenset[str]
    table: pd.DataFrame


def quality_changes(before: Iterable[Frames], after: Iterable[Frames]) -> Iterator[Change]:
    """Of every score of `before`; one that `after` has not under the same protocol is gone.

    Networks are those that `reports.counterparts` finds; a change tells in what its network became another.
    """
    was, later = _scores(before), _scores(after)
    same = counterparts(*({place.network: scores.network for place, scores in side.items()} for side in (was, later)))
    for place, old in was.items():
        new = later.get(place._replace(network=same.get(place.network, "")))
        pairs = _pairs(old.table, new.table) if new else np.zeros((0, 0))
        yield _of_images(place, old, new, pairs) if new and pairs.size else _gone(place, old)


def _scores(runs: Iterable[Frames]) -> dict[Place, Scores]:
    """Means over hash draws; of what several runs scored, that of the last."""
    return {place: scores for frames in runs for place, scores in _of_run(frames)}


def _of_run(frames: Frames) -> Iterator[tuple[Place, Scores]]:
    titles = {(q.comparable, q.dataset, q.scale): q.title for q in qualities(frames)}
    cells = frames.tasks.drop_duplicates("cell_id")
    known = map(network, cells["label"], cells["cell_spec"])
    told = dict(zip(cells["cell_id"], known, strict=True))
    networks = {each.identity: each for each in told.values()}
    weights = frames.tasks.drop_duplicates("attempt_id").set_index("attempt_id")["weights"]
    records = frames.measured(*SCORES)
    records = records.assign(
        network=records["cell_id"].map({cell: each.identity for cell, each in told.items()}),
        weights=records["attempt_id"].map(weights).fillna(""),
    )
    by_place = list(Place._fields)
    tables = _tables(records.pivot_table(index=[*by_place, "image"], columns="seed", values="value", aggfunc="mean"))
    found: Any = records.groupby(by_place, sort=False)["weights"].unique().items()
    for key, own in found:
        place = Place(*key)
        where = titles[place.comparable, place.dataset, place.scale]
        yield place, Scores(networks[place.network], where, frozenset(own), tables[key])


def _tables(wide: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    """Of each group that all levels of the index but the last name: means by image (rows) and its own seeds.

    Cut out of one array: a run has thousands of groups, and pandas takes some 30 ms to pivot one.
    """
    values, images, seeds = wide.to_numpy(float), wide.index.get_level_values("image"), wide.columns
    rows = wide.groupby(level=wide.index.names[:-1], sort=False).indices
    seen = {key: ~np.isnan(values[own]).all(axis=0) for key, own in rows.items()}
    return {
        key: pd.DataFrame(values[own][:, seen[key]], index=images[own], columns=seeds[seen[key]])
        for key, own in rows.items()
    }


def _pairs(old: pd.DataFrame, new: pd.DataFrame) -> Floats:
    """Differences `[images seeds]` of the images and training seeds that both have; infinity stays infinity."""
    was, now = old.align(new, join="inner")
    with np.errstate(invalid="ignore"):
        found: Floats = np.where(was == now, 0.0, now.to_numpy(float) - was.to_numpy(float))
    return found[~np.isnan(found).any(axis=1)]


def _of_images(place: Place, old: Scores, new: Scores, differences: Floats) -> Change:
    metric, mean, within = METRICS[place.metric], float(differences.mean()), paired_interval(differences)
    digits, single = metric.digits + 1, old.weights != new.weights and differences.shape[1] == 1
    least = 0.5 * 10.0**-metric.digits
    loss = -mean if metric.better == "higher" else mean
    word = _word(differences, loss, least, within)
    if single and abs(loss) < OF_ONE_TRAINING * least and word in {"worse", "better"}:
        word = "undecided"
    return _change(
        place,
        old,
        where=", ".join(filter(None, [old.where, became(old.network, new.network)])),
        after=_mean(new),
        difference=f"{signed(mean, digits)} {metric.unit}".rstrip(),
        interval=", ".join(filter(None, [bounds(within, digits=digits), "one training each" if single else ""])),
        floor=f"{fixed(least * (OF_ONE_TRAINING if single else 1.0), digits)} {metric.unit}".rstrip(),
        loss=loss,
        word=word,
    )


def _word(differences: Floats, loss: float, least: float, within: Interval | None) -> Word:
    """Less than half the last digit that papers print is no change, however sure."""
    if not differences.any() or abs(loss) < least:
        return "within noise"
    if within is None:
        return "undecided"
    return "within noise" if within.holds(0.0) else "worse" if loss > 0.0 else "better"


def _gone(place: Place, old: Scores) -> Change:
    """What is scored otherwise now, cropped or tiled, or not at all, must not pass for unchanged."""
    return _change(place, old, after=None, difference=GONE, loss=math.inf, word="gone")


def _change(place: Place, old: Scores, **found: Any) -> Change:
    told: dict[str, Any] = {
        "method": old.network.label,
        "name": str(old.network.known["method"]),
        "at": place.dataset,
        "scale": place.scale,
    }
    return Change(rule="quality", quantity=place.metric, before=_mean(old), **({"where": old.where} | told | found))


def _mean(scores: Scores) -> float:
    return float(scores.table.mean().mean())
