"""Figures of a run as trackers of benchmarks read them: Bencher, and the action github-action-benchmark.

A figure is one value of one subject with its interval: scores as means, sampled times as medians. What has no better
direction is no figure to track; what is infinite, or was scored on a part of the images only, is left out.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from harness.errors import UserError
from harness.records import METRICS, fingerprint
from reports.cost import MEMORY, SAMPLED, Cost, costs
from reports.frames import Frames
from reports.quality import SCORES, Quality, qualities
from reports.race import COUNTED, INSIDE, TIME, Race, races
from reports.stats import Interval, median_interval
from reports.tables import TIMES

Tracker = Literal["bencher", "smaller-is-better", "bigger-is-better"]
DIRECTION = {"smaller-is-better": "lower", "bigger-is-better": "higher"}
COSTS = (*SAMPLED, *MEMORY, "parameters", "macs", "attention_macs", "first_forward_s")
RACED = ("race_first_s", "race_kernel_s", "race_energy_j")
LONGEST = 1024
"""Signs of the name of a benchmark that Bencher takes."""
SHORT = 8
"""Digits of a fingerprint that are told."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """One value in the unit of its metric. `machine` is empty for a score, which is not of one."""

    subject: str
    metric: str
    value: float
    interval: Interval | None
    protocol: str
    machine: str = ""

    @property
    def name(self) -> str:
        """Subject and metric."""
        return f"{self.subject} / {self.metric}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tracked:
    """What is written, of how many figures, and how many could not be."""

    text: str
    count: int
    left_out: int


def tracked(frames: Frames, tracker: Tracker) -> Tracked:
    """The figures of a run as `tracker` reads them.

    Raises:
        UserError: there are none.
    """
    asked = (DIRECTION[tracker],) if tracker in DIRECTION else ("lower", "higher")
    found = [each for each in figures(frames) if METRICS[each.metric].better in asked]
    finite = _named([each for each in found if math.isfinite(each.value)])
    if not finite:
        raise UserError(f"run {frames.run['id'][:SHORT]} has no figure for {tracker}")
    content = _bencher(finite) if tracker == "bencher" else _action(frames, finite)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return Tracked(text=text, count=len(finite), left_out=len(found) - len(finite))


def figures(frames: Frames) -> Iterator[Figure]:
    """All of a run, as its page prints them; NaN for a score of a part of the images."""
    for quality in qualities(frames):
        yield from _scores(quality)
    for cost in costs(frames):
        yield from _costs(cost)
    for race in races(frames):
        yield from _race(race)


def _scores(quality: Quality) -> Iterator[Figure]:
    where = f"{quality.dataset}{quality.variant}, {quality.tiling}, {quality.precision}"
    for label in quality.labels:
        for metric in SCORES:
            value, spread = quality.score(label, metric), quality.score(label, f"{metric}_seeds")
            if not math.isnan(value):
                yield Figure(
                    subject=f"{label} x{quality.scale} / {where}",
                    metric=metric,
                    value=value if quality.complete(label) else math.nan,
                    interval=None if math.isnan(spread) else Interval(low=value - spread, high=value + spread),
                    protocol=quality.comparable,
                )


def _costs(cost: Cost) -> Iterator[Figure]:
    """A cost of nothing, such as of attention where there is none, is none."""
    for label, size in cost.figures.index:
        for metric in COSTS:
            if value := cost.value(label, size, metric):
                yield Figure(
                    subject=f"{label} x{cost.scale} / profile, {cost.precision} / {size}",
                    metric=metric,
                    value=value,
                    interval=cost.interval(label, size, metric),
                    protocol=cost.comparable,
                    machine=cost.machine,
                )


def _race(race: Race) -> Iterator[Figure]:
    what = "attention alone" if race.alone else f"network x{race.scale}"
    for metric, label, size, value, interval in _raced(race):
        yield Figure(
            subject=f"{label} / {what}, {race.way}, {race.precision} / {size}",
            metric=metric,
            value=value,
            interval=interval,
            protocol=race.comparable,
            machine=race.machine,
        )


def _raced(race: Race) -> Iterator[tuple[str, str, str, float, Interval | None]]:
    for (label, size), samples in race.samples.items():
        yield TIME, label, size, race.median(label, size) or 0.0, median_interval(np.asarray(samples))
    for (label, size), samples in race.inside.items():
        yield INSIDE, label, size, float(np.median(samples)), median_interval(np.asarray(samples))
    for (metric, label, size), value in {**race.once, **race.counted}.items():
        if value and metric in (*RACED, *COUNTED):
            yield metric, label, size, value, None


def _named(found: Sequence[Figure]) -> list[Figure]:
    """The same with names of their own: where two would meet, protocol and machine are told."""
    count = Counter(each.name for each in found)
    apart = [_apart(each) if count[each.name] > 1 else each for each in found]
    return [dataclasses.replace(each, subject=_cut(each.subject.replace(TIMES, "x"))) for each in apart]


def _apart(figure: Figure) -> Figure:
    told = ", ".join(filter(None, (figure.protocol[:SHORT], figure.machine[:SHORT])))
    return dataclasses.replace(figure, subject=f"{figure.subject} ({told})")


def _cut(name: str) -> str:
    """A name that is too long ends in its fingerprint."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 17]} {fingerprint({'name': name})}"


def _bencher(found: Sequence[Figure]) -> dict[str, dict[str, dict[str, float]]]:
    """Benchmark, measure, metric, in Bencher's words."""
    told: dict[str, dict[str, dict[str, float]]] = {}
    for each in found:
        ends = {"lower_value": each.interval.low, "upper_value": each.interval.high} if each.interval else {}
        told.setdefault(each.subject, {})[each.metric.replace("_", "-")] = {"value": each.value} | ends
    return told


def _action(frames: Frames, found: Sequence[Figure]) -> list[dict[str, Any]]:
    """Names, values and units in a list, as the action's custom tools give them."""
    origins = {place: _origin(frames, *place) for place in {(each.protocol, each.machine) for each in found}}
    return [
        {"name": each.name, "unit": METRICS[each.metric].unit or METRICS[each.metric].title, "value": each.value}
        | ({"range": f"{each.interval.low:.6g} to {each.interval.high:.6g}"} if each.interval else {})
        | {"extra": origins[each.protocol, each.machine]}
        for each in found
    ]


def _origin(frames: Frames, protocol: str, machine: str) -> str:
    """By what protocol, from what code and on what machine, the last two of all tasks that answer."""
    tasks = frames.tasks[frames.tasks["comparable"] == protocol]
    tasks = tasks[tasks["machine_id"] == machine] if machine else tasks
    commits = sorted(
        {f"{str(c)[:SHORT]}{'+' if d else ''}" for c, d in zip(tasks["commit_id"], tasks["dirty"], strict=True)}
    )
    described = [frames.machines[each] for each in sorted(set(tasks["machine_id"]))]
    machines = [str(each.get("gpu") or each.get("cpu") or "unnamed machine") for each in described]
    return "\n".join((f"protocol {protocol[:SHORT]}", f"commit {', '.join(commits)}", f"machine {', '.join(machines)}"))
