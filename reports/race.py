"""What was timed in turn, or only counted: samples by round, medians by size, the noise floor between passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness.records import executed
from reports.cost import Cost
from reports.frames import Frames, positions
from reports.noise import floor
from reports.stats import Floats, Interval, median_interval
from reports.tables import TIMES

TIME, INSIDE, BYPASSED, CONTROL = "race_s", "race_inside_s", "race_bypassed_s", "control"
SERIES = (TIME, INSIDE, BYPASSED)
COUNTED = (
    "counted_macs",
    "counted_attention_macs",
    "counted_moved_bytes",
    "counted_peak_bytes",
    "counted_parameters",
)
ONCE = ("race_first_s", "race_kernel_s", "race_clock_s", "race_energy_j")
PLAIN = "plain"
MILLI = 1e-3
GROUP = ["comparable", "machine_id"]
CONTROL_LABEL = "1×1 convolution (control)"  # noqa: RUF001 - the sign that is printed
INSIDE_NETWORKS = {
    "counted_macs": "macs",
    "counted_attention_macs": "attention_macs",
    "counted_peak_bytes": "peak_bytes",
}
INSIDE_ATTENTION = {"counted_macs": "attention_macs", "counted_peak_bytes": "peak_bytes"}
"""What counted figures are called where each network is profiled by itself."""

Where = tuple[str, str]
"""Label and size."""
Samples = Mapping[Where, "pd.Series[float]"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Race:
    """What ran in turn under one protocol on one machine: attentions alone (scale 0), or networks of one scale.

    Samples by label and size are indexed by pass and round: of the whole, `inside` attention, and `bypassed`, with
    attention left out. `counted` and `once`, the median over passes, by metric, label and size; `missing` says by label
    and size why there is no time; `references` are dense attention, plain and fused, where they ran; `subjects` are
    what the store was told of each label.
    """

    way: str
    mode: str
    batch: int
    scale: int
    comparable: str
    labels: tuple[str, ...]
    sizes: tuple[str, ...]
    samples: Samples
    inside: Samples
    bypassed: Samples
    counted: Mapping[tuple[str, str, str], float]
    once: Mapping[tuple[str, str, str], float]
    missing: Mapping[Where, str]
    references: Mapping[str, str]
    subjects: Mapping[str, Mapping[str, Any]]
    attempts: tuple[str, ...]
    machine: str
    precision: str

    @property
    def alone(self) -> bool:
        """Whether attentions ran by themselves."""
        return not self.scale

    @property
    def subject(self) -> str:
        """What ran: one attention, or a network."""
        return "one attention" if self.alone else "a network"

    @property
    def title(self) -> str:
        """What ran, and how."""
        what = "Attention alone" if self.alone else f"Networks at {TIMES}{self.scale}"
        return f"{what}, {self.way}, precision {self.precision}"

    @property
    def reference(self) -> str | None:
        """What ratios are taken to."""
        return self.references.get(PLAIN)

    @property
    def cost(self) -> Cost:
        """The same as costs of networks are held, so that growth and crossovers are found in the same way."""
        whole = {"forward_s": self.samples, "attention_s": self.inside}
        series = {"attention_s": self.samples} if self.alone else whole
        rows: dict[Where, dict[str, float]] = {}
        for metric, samples in series.items():
            for place, each in samples.items():
                rows.setdefault(place, {})[metric] = _median(medians_of(each))
        for (metric, label, size), value in self.counted.items():
            if name := (INSIDE_ATTENTION if self.alone else INSIDE_NETWORKS).get(metric):
                rows.setdefault((label, size), {})[name] = value
        figures = pd.DataFrame.from_dict(rows, orient="index", dtype=float)
        figures.index = pd.MultiIndex.from_tuples(list(rows), names=["label", "size"])
        return Cost(
            scale=self.scale,
            precision=self.precision,
            comparable=self.comparable,
            machine=self.machine,
            figures=figures,
            samples={(m, *place): _floats(each) for m, samples in series.items() for place, each in samples.items()},
            raced=self.way,
        )

    def medians(self, label: str, size: str) -> Floats:
        """The median of each pass."""
        found = self.samples.get((label, size))
        return np.zeros(0) if found is None else medians_of(found)

    def median(self, label: str, size: str) -> float | None:
        """The median over passes of their medians."""
        medians = self.medians(label, size)
        return _median(medians) if len(medians) else None

    def noise(self, label: str) -> float | None:
        """The noise floor of one, pooled over sizes."""
        return floor(self.medians(label, size) for size in self.sizes)

    def pairs(self, label: str, size: str) -> pd.Series[float]:
        """Each sample over the reference's of the same pass and round, by these."""
        own, other = self.samples.get((label, size)), self.samples.get((self.reference or "", size))
        return pd.Series(dtype=float) if own is None or other is None else (own / other).dropna()

    def ratio(self, label: str, size: str) -> tuple[float, Interval | None] | None:
        """How many times as long as the reference: the median of `pairs`, with its interval."""
        pairs = _floats(self.pairs(label, size))
        return (_median(pairs), median_interval(pairs)) if len(pairs) else None

    def ratios(self, label: str, size: str) -> Floats:
        """The median of `pairs` in each pass."""
        pairs = self.pairs(label, size)
        return medians_of(pairs) if len(pairs) else np.zeros(0)

    def ratio_noise(self, label: str) -> float | None:
        """The noise floor of ratios: what slows all alike is not in it."""
        return floor(self.ratios(label, size) for size in self.sizes)

    def saved(self, label: str, size: str) -> Floats:
        """Seconds that a network takes longer than with its attention bypassed in the same pass and round."""
        own, other = self.samples.get((label, size)), self.bypassed.get((label, size))
        return np.zeros(0) if own is None or other is None else _floats((own - other).dropna())


def races(frames: Frames) -> list[Race]:
    """One for each protocol and machine, in the order in which the run asked for them; what is only counted as well."""
    records = frames.records[frames.records["metric"].str.startswith(("race_", "counted_"))]
    return [_race(frames, group) for _, group in records.groupby(GROUP, sort=False)]


def _race(frames: Frames, group: pd.DataFrame) -> Race:
    first, specs = group.iloc[0], _specs(group, frames.tasks)
    named = _names(specs, set(group["module"].dropna()))
    timed = group[group["module"].isin(named)].assign(label=group["module"].map(named))
    done, failed = timed[timed["value"].notna()], timed[timed["value"].isna()]
    protocol = frames.protocols[str(first["comparable"])]
    return Race(
        mode=str(protocol["mode"]),
        batch=int(protocol["batch"]),
        way=", ".join([protocol["mode"], f"batch {protocol['batch']}", *_tiling(protocol), *executed(protocol)]),
        scale=int(protocol["scale"]),
        comparable=str(first["comparable"]),
        labels=tuple(dict.fromkeys(named.values())),
        sizes=tuple(sorted(map(str, group["size"].dropna().unique()), key=positions)),
        samples=_series(done, TIME),
        inside=_series(done, INSIDE),
        bypassed=_series(done, BYPASSED),
        counted=_values(done, COUNTED),
        once=_values(done, ONCE),
        missing={(r.label, r.size): r.reason for r in _rows(failed)},
        references=_references(specs, named),
        subjects={named[key]: told for spec in specs for key, told in spec["contenders"].items() if key in named},
        attempts=tuple(map(str, group["attempt_id"].unique())),
        machine=str(first["machine_id"]),
        precision=str(protocol["precision"]),
    )


def _series(done: pd.DataFrame, metric: str) -> Samples:
    groups = done[done["metric"] == metric].groupby(["label", "size"], sort=False)
    return {
        (str(label), str(size)): each.set_index(["seed", "repeat"])["value"].rename_axis(["pass", "round"])
        for (label, size), each in groups
    }


def _values(done: pd.DataFrame, metrics: tuple[str, ...]) -> dict[tuple[str, str, str], float]:
    medians = done[done["metric"].isin(metrics)].groupby(["metric", "label", "size"], sort=False)["value"].median()
    return {(r.metric, r.label, r.size): r.value for r in _rows(medians.reset_index())}


def _tiling(protocol: Mapping[str, Any]) -> list[str]:
    """Attentions know no tiling."""
    return [str(protocol["tiling"])] if protocol["scale"] else []


def _floats(values: pd.Series[float]) -> Floats:
    return np.asarray(values, dtype=np.float64)


def medians_of(samples: pd.Series[float]) -> Floats:
    """Of each pass."""
    return _floats(samples.groupby(level="pass").median())


def _median(values: Floats) -> float:
    return float(np.median(values))


def _rows(table: pd.DataFrame) -> Any:
    """Rows by the names of their columns."""
    return table.itertuples(index=False)


def _specs(group: pd.DataFrame, tasks: pd.DataFrame) -> list[Mapping[str, Any]]:
    """What the store is told of the passes."""
    return list(tasks[tasks["cell_id"].isin(group["cell_id"])].drop_duplicates("cell_id")["cell_spec"])


def _names(specs: list[Mapping[str, Any]], ran: set[str]) -> dict[str, str]:
    """The label of the key of each that `ran`, the control last."""
    told = {key: str(spec["contenders"][key]["label"]) for spec in specs for key in spec["order"]}
    return {key: label for key, label in (told | {CONTROL: CONTROL_LABEL}).items() if key in ran}


def _references(specs: list[Mapping[str, Any]], named: Mapping[str, str]) -> dict[str, str]:
    """The labels of dense attention by how it is computed; of several the first, in the grid's order."""
    told = [spec["contenders"][key]["settings"] for spec in specs[:1] for key in spec["order"] if key in named]
    keys = [key for spec in specs[:1] for key in spec["order"] if key in named]
    dense = [(each, key) for each, key in zip(told, keys, strict=True) if each.get("weighting") == "softmax"]
    found: dict[str, str] = {}
    for settings, key in dense:
        found.setdefault(str(settings["backend"]), named[key])
    return found
