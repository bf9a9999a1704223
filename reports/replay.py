"""An attempt beside the same done again: each figure then and now, judged by what it is.

What is counted and what is scored must be the same to the last bit where nothing changed and a CPU computed it. Else a
score may differ by half the last digit that tables print: sums of floats in another order move a few pixels by one
level. Times and measured memory are never called different: they depend on what else the machine does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from scipy import special

from harness.recorded import Recorded, done_alike, pictures, records
from harness.records import METRICS, canonical
from harness.store import Store
from reports.noise import UPPER, spread
from reports.quality_changes import OF_ONE_TRAINING

if TYPE_CHECKING:
    from harness.replay import Again

Rule = Literal["exact", "score", "measured", "content"]
Word = Literal["equal", "within tolerance", "different", "gone", "new", "within noise", "beyond noise", "not judged"]
Value = float | str | None
BAD: frozenset[Word] = frozenset({"different", "gone"})
SCORED = ("train", "evaluate", "harm", "attention")
"""Kinds of task whose figures are computed from images."""
TIMED = ("profile", "race")
MEASURED_UNITS = frozenset({"s", "J", "MHz", "°C", "W", "/s", "B/s"})
MEASURED = frozenset(
    {"reserved_bytes", "process_bytes", "rss_bytes", "load_average", "converged", "race_converged", "gpu_throttled",
     "gpu_others"}
)  # fmt: skip
"""Figures that differ from one process to the next, besides those of `MEASURED_UNITS`."""
ON_CPU_ONLY = "peak_bytes"
"""Exact on a CPU, where it is counted; on a GPU it is what the allocator took."""
SUBJECT = ["metric", "dataset", "image", "region", "size", "module"]
PLACE = ["step", "repeat"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure then and now. Of several samples `then` and `now` are medians, of a curve its last points.

    `difference` is now less then, of a curve the largest there is; `tolerance` is how far it may go for the `word`.
    For what was measured both are shares of what it was.
    """

    metric: str
    where: str = ""
    rule: Rule
    then: Value
    now: Value
    difference: float | None = None
    tolerance: float | None = None
    word: Word

    @property
    def title(self) -> str:
        """The quantity as tables print it."""
        return METRICS[self.metric].title if self.metric in METRICS else self.metric

    def as_json(self) -> dict[str, Any]:
        """For a program; what JSON has no number for is a word."""
        told = dataclasses.asdict(self)
        return {name: repr(x) if isinstance(x, float) and not math.isfinite(x) else x for name, x in told.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replayed:
    """An attempt and the same done again; `now` is None where it could not be, and `refusal` says why."""

    then: Recorded
    now: Recorded | None
    figures: tuple[Figure, ...] = ()
    refusal: str = ""
    changes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def ended_alike(self) -> bool:
        """Whether it ended with the same status."""
        return self.now is not None and self.now.status == self.then.status

    @property
    def same(self) -> bool:
        """Whether it ended in the same way, with no figure that is different or gone."""
        return self.ended_alike and not any(figure.word in BAD for figure in self.figures)

    @property
    def verdict(self) -> Literal["same", "different", "not replayed"]:
        """In a word."""
        return "not replayed" if self.refusal else "same" if self.same else "different"


def replayed(again: Iterable[Again], old: Store, fresh: Store | None, done: Iterable[Recorded]) -> list[Replayed]:
    """Each of `again` compared: `done` are the attempts of the replay, in the store `fresh`; None if there was none."""
    by_task = {each.task_key: each for each in done}
    noise = _Noise(old)
    return [_compared(each, by_task.get(each.task.key if each.task else ""), old, fresh, noise) for each in again]


def _compared(each: Again, now: Recorded | None, old: Store, fresh: Store | None, noise: _Noise) -> Replayed:
    told: dict[str, Any] = {"then": each.then, "refusal": each.refusal}
    told |= {"changes": each.changes, "remarks": each.remarks}
    if now is None or fresh is None or now.status != each.then.status:
        return Replayed(now=now, **told)
    judge = _Judge(then=each.then, now=now, exact=each.exact, noise=noise)
    rows = [_rows(records(store, a.id), a) for store, a in ((old, each.then), (fresh, now))]
    seen = [pictures(store, a.id) for store, a in ((old, each.then), (fresh, now))]
    figures = (*judge.weights(), *judge.figures(*rows), *judge.pictures(*seen))
    return Replayed(now=now, figures=figures, **told)


def _rows(found: pd.DataFrame, attempt: Recorded) -> dict[tuple[str, ...], pd.DataFrame]:
    """The records of an attempt by what they are of; a contender, whose key holds its code, by its label."""
    names = {key: told["label"] for key, told in attempt.cell_spec.get("contenders", {}).items()}
    whole = found.assign(module=found["module"].map(lambda key: names.get(key, key)))
    whole[[*SUBJECT, *PLACE]] = whole[[*SUBJECT, *PLACE]].astype(object).where(whole[[*SUBJECT, *PLACE]].notna(), "")
    groups: Any = whole.groupby(SUBJECT, sort=False)
    return {tuple(map(str, key)): group for key, group in groups}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Judge:
    """Judges the figures of one attempt; `exact` says that every bit of what is computed must be the same."""

    then: Recorded
    now: Recorded
    exact: bool
    noise: _Noise

    def weights(self) -> Iterator[Figure]:
        """Which weights the network had, by their hash."""
        was, has = (each.protocol.get("weights") for each in (self.then, self.now))
        if was and has:
            fixed = self.exact or not self._trained
            word: Word = "equal" if was == has else "different" if fixed else "not judged"
            yield Figure(metric="weights", rule="content", then=was, now=has, word=word)

    def pictures(self, was: Mapping[tuple[str, ...], str], has: Mapping[tuple[str, ...], str]) -> Iterator[Figure]:
        """How many of the pictures are the same to the last byte."""
        if was:
            equal = sum(has.get(key) == digest for key, digest in was.items())
            word: Word = "equal" if equal == len(was) else "different" if self.exact else "not judged"
            now = f"{equal} equal"
            yield Figure(metric="pictures", rule="content", then=str(len(was)), now=now, word=word)

    def figures(
        self, was: Mapping[tuple[str, ...], pd.DataFrame], has: Mapping[tuple[str, ...], pd.DataFrame]
    ) -> Iterator[Figure]:
        """Every figure of then, and those that are new."""
        for key, rows in was.items():
            yield self._figure(key, rows, has[key]) if key in has else self._alone(key, rows, gone=True)
        for key, rows in has.items():
            if key not in was:
                yield self._alone(key, rows, gone=False)

    def _alone(self, key: tuple[str, ...], rows: pd.DataFrame, *, gone: bool) -> Figure:
        rule, value = self._rule(key[0]), _value(rows)
        word: Word = "new" if not gone else "not judged" if rule == "measured" else "gone"
        then, now = (value, None) if gone else (None, value)
        return Figure(metric=key[0], where=_where(key, rows), rule=rule, then=then, now=now, word=word)

    def _figure(self, key: tuple[str, ...], was: pd.DataFrame, has: pd.DataFrame) -> Figure:
        rule = self._rule(key[0])
        told: dict[str, Any] = {"metric": key[0], "where": _where(key, was), "rule": rule}
        told |= {"then": _value(was), "now": _value(has)}
        if isinstance(told["then"], str) or isinstance(told["now"], str):
            word: Word = "equal" if told["then"] == told["now"] else "different"
            return Figure(**told, word="not judged" if rule == "measured" and word != "equal" else word)
        if rule == "measured":
            return Figure(**told, **self._measured(key, told["then"], told["now"]))
        return Figure(**told, **self._computed(rule, key[0], was, has))

    def _computed(self, rule: Rule, metric: str, was: pd.DataFrame, has: pd.DataFrame) -> dict[str, Any]:
        before, after = (each.set_index(PLACE)["value"].astype(float) for each in (was, has))
        if not set(before.index) <= set(after.index):
            return {"word": "gone"}
        pairs = zip(before, after[before.index], strict=True)
        difference = max((0.0 if a == b else b - a for a, b in pairs), key=abs)
        tolerance = 0.0 if self.exact or rule == "exact" else self._tolerance(metric)
        within: Word = "within tolerance" if abs(difference) <= tolerance else "different"
        return {"difference": difference, "tolerance": tolerance, "word": within if difference else "equal"}

    def _tolerance(self, metric: str) -> float:
        """Half the last digit that is printed; of another training than then, as much as luck alone makes."""
        return float(0.5 * 10.0 ** -METRICS[metric].digits * (OF_ONE_TRAINING if self._other_training else 1.0))

    @property
    def _trained(self) -> bool:
        return self.then.kind == "train" or self.then.cell_spec["train"] is not None

    @property
    def _other_training(self) -> bool:
        was, has = (each.protocol.get("weights") for each in (self.then, self.now))
        return self._trained and (was is None or was != has)

    def _measured(self, key: tuple[str, ...], was: float, has: float) -> dict[str, Any]:
        share = has / was - 1.0 if was else None
        noise = self.noise.of(self.then, key) if self.then.machine_id == self.now.machine_id else None
        if noise is None or was <= 0.0 or has <= 0.0:
            return {"difference": share, "word": "not judged"}
        within = abs(math.log(has / was)) <= math.log1p(noise)
        return {"difference": share, "tolerance": noise, "word": "within noise" if within else "beyond noise"}

    def _rule(self, metric: str) -> Rule:
        if METRICS[metric].unit in MEASURED_UNITS or metric in MEASURED:
            return "measured"
        if metric == ON_CPU_ONLY and self.then.machine.get("device") != "cpu":
            return "measured"
        return "score" if self.then.kind in SCORED else "exact"


class _Noise:
    """How far apart two passes of the same measurement may be, by passes of a race that the store holds."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.known: dict[str, dict[tuple[str, str], float]] = {}

    def of(self, then: Recorded, key: tuple[str, ...]) -> float | None:
        """As a share, for one pass beside another; None where the store holds a single pass, or of what is no time."""
        if then.kind not in TIMED or METRICS[key[0]].unit != "s":
            return None
        way = canonical({"kind": then.kind, "machine": then.machine_id, "way": _way(then.spec)})
        if way not in self.known:
            self.known[way] = dict(self._floors(then))
        return self.known[way].get((key[0], key[-1]))

    def _floors(self, then: Recorded) -> Iterator[tuple[tuple[str, str], float]]:
        passes = done_alike(self.store, then.kind, then.machine_id)
        found = [records(self.store, key) for key, spec in passes if _way(spec) == _way(then.spec)]
        names = {key: told["label"] for key, told in then.cell_spec.get("contenders", {}).items()}
        timed = pd.concat(found, ignore_index=True)
        timed = timed[timed["value"] > 0.0].assign(module=timed["module"].map(lambda key: names.get(key, key) or ""))
        groups: Any = timed.groupby(["metric", "module"])
        for (metric, module), group in groups:
            medians = group.groupby(["size", "attempt_id"])["value"].median()
            pooled = spread(each.to_numpy() for _, each in medians.groupby(level="size"))
            if pooled:
                step = float(special.stdtrit(pooled.freedom, UPPER)) * pooled.deviation * math.sqrt(2.0)
                yield (str(metric), str(module)), math.expm1(step)


def _way(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What passes of one measurement share."""
    return {name: value for name, value in spec.items() if name not in ("pass", "size")}


def _value(rows: pd.DataFrame) -> float | str:
    """The median of samples, the last of a curve, or how it ended without a value."""
    values = rows["value"].dropna()
    if values.empty:
        return str(rows["status"].iloc[0])
    return float(values.iloc[-1]) if rows["step"].iloc[0] != "" else float(values.median())


def _where(key: tuple[str, ...], rows: pd.DataFrame) -> str:
    what = "points" if rows["step"].iloc[0] != "" else "samples"
    count = [f"{len(rows)} {what}"] if len(rows) > 1 else []
    return ", ".join([*filter(None, key[2:]), *count])
