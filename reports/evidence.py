"""Evidence: the figures that claims are decided by, found by method, settings and way over any number of runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from reports.claims import Claim, Subject, Way
from reports.frames import Frames
from reports.quality import Quality, qualities
from reports.race import Race, races

OF_TRUNK = frozenset({"n_resblocks", "n_resgroups", "attention_every", "trunk"})
"""Settings that an attention by itself does not see."""
PREFIX = "counted_"
"""How the metrics of exact figures begin."""


class Figure(NamedTuple):
    """One exact figure, and the attempt that found it."""

    value: float
    attempt: str


class Place(NamedTuple):
    """Where exact figures are looked up."""

    method: str
    way: Way
    quantity: str
    size: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """How one network did on one test set: `told` is what the store is told of it, as of a contender.

    `weights` is the name of its file, `train` the budget it was trained with here: one of them, or none if there is
    nothing to learn.
    """

    quality: Quality
    label: str
    told: Mapping[str, Any]
    protocol: Mapping[str, Any]
    weights: str | None
    train: Mapping[str, Any] | None
    attempts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Evidence:
    """All exact figures of some runs, the latest of each; what ran in turn; and what was scored, the latest first."""

    exact: Mapping[Place, list[tuple[Mapping[str, Any], Figure]]]
    raced: tuple[Race, ...]
    scored: tuple[Scores, ...] = ()

    @classmethod
    def of(cls, runs: Iterable[Frames], evaluated: Iterable[Frames] = ()) -> Evidence:
        """Costs of `runs` and scores of `evaluated`, oldest first."""
        exact: dict[Place, list[tuple[Mapping[str, Any], Figure]]] = {}
        raced: list[Race] = []
        for frames in runs:
            for place, told, figure in counted(frames):
                exact.setdefault(place, []).insert(0, (told, figure))
            raced = [race for race in races(frames) if race.samples] + raced
        scored = [scores for frames in reversed([*evaluated]) for scores in _scores(frames)]
        return cls(exact=exact, raced=tuple(raced), scored=tuple(scored))

    def figure(self, claim: Claim, subject: Subject, size: str) -> Figure | None:
        """What was counted of `subject` at `size`, as often as the claim takes it."""
        found = self.exact.get(Place(subject.method, claim.way, claim.quantity, size), ())
        for told, figure in found:
            if fits(subject, told, claim.way.scope):
                return figure._replace(value=subject.times * figure.value)
        return None


def fits(subject: Subject, told: Mapping[str, Any], scope: str) -> bool:
    """Whether what the store is `told` of a contender is the claim's subject: its settings, all else as released."""
    unseen = OF_TRUNK if scope == "attention" else frozenset[str]()
    asked = all(told["settings"].get(name) == value for name, value in subject.settings.items())
    return told.get("method") == subject.method and asked and set(told["changed"]) <= {*subject.settings, *unseen}


def counted(frames: Frames) -> Iterator[tuple[Place, Mapping[str, Any], Figure]]:
    """Every exact figure of a run: where it is looked up, what the store was told of its contender, and itself."""
    told = {cell: spec.get("contenders", {}) for cell, spec in _specs(frames)}
    records = frames.records[frames.records["metric"].str.startswith(PREFIX) & frames.records["value"].notna()]
    for row in records.to_dict("records"):
        contender = told[row["cell_id"]][row["module"]]
        place = _place(contender, frames.protocols[row["comparable"]], row["metric"], row["size"])
        yield place, contender, Figure(float(row["value"]), str(row["attempt_id"]))


def _scores(frames: Frames) -> Iterator[Scores]:
    """Every network on every test set of a run that evaluated any."""
    tasks = frames.done("evaluate")
    for quality in qualities(frames) if len(tasks) else ():
        here = tasks[(tasks["scale"] == quality.scale) & (tasks["comparable"] == quality.comparable)]
        for label in quality.labels:
            own = here[here["label"] == label]
            spec = own.iloc[0]["cell_spec"]
            yield Scores(
                quality=quality,
                label=label,
                told={"method": spec["method"], "settings": spec["settings"], "changed": spec["changed"]},
                protocol=frames.protocols[quality.comparable],
                weights=spec["weights"]["file"] if spec["weights"] else None,
                train=spec["train"],
                attempts=tuple(own.loc[own["dataset"] == quality.dataset, "attempt_id"]),
            )


def _specs(frames: Frames) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    cells = frames.tasks.drop_duplicates("cell_id")
    return zip(cells["cell_id"], cells["cell_spec"], strict=True)


def _place(contender: Mapping[str, Any], protocol: Mapping[str, Any], metric: str, size: str) -> Place:
    return Place(str(contender["method"]), _way(protocol), metric.removeprefix(PREFIX), size)


def _way(protocol: Mapping[str, Any]) -> Way:
    return Way.model_validate({name: protocol[name] for name in Way.model_fields})
