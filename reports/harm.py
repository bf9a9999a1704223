"""Where attention helps and where it harms, beside the twin without: tables and maps.

The definition is in docs/harm.md. Figures are means over images, then over seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.records import METRICS
from reports.crops import Strip, maps
from reports.frames import Frames
from reports.tables import (
    TIMES,
    Column,
    Entry,
    Row,
    Table,
    described,
    make_table,
    missing,
    number,
    signed,
)

GROUP = ["scale", "dataset", "comparable"]
ALL, WORST = "all", "degraded texture"
REGIONS = ("texture", "degraded", WORST)
PLAIN, HELD_BACK = "add", "texture"
"""Values of the setting `fuse`: attention added as it is, or through texture fidelity."""
FIGURES = (
    "psnr_rgb",
    "psnr_rgb_twin",
    "psnr_rgb_oracle",
    "helped_share",
    "harmed_share",
    "helped_levels",
    "harmed_levels",
    "undone_share",
)
CONTROL = "itself, from another seed"
"""The twin of a twin: what differs there is chance."""
LEAST_BOUND_DB = 0.005
"""Half of the last digit that is printed: a smaller bound leaves nothing to recover."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Harm:
    """Networks beside their twins on one data set at one scale under one protocol.

    `figures` is indexed by region and label, with a column per metric; `twins` names the twin of each label.
    """

    scale: int
    dataset: str
    comparable: str
    labels: tuple[str, ...]
    figures: pd.DataFrame
    twins: Mapping[str, str]

    @property
    def title(self) -> str:
        """Data set and scale in words."""
        return f"{self.dataset} {TIMES}{self.scale}"

    def figure(self, label: str, metric: str, region: str = ALL) -> float | None:
        """One figure, if it was measured."""
        if (region, label) not in self.figures.index:
            return None
        value: Any = self.figures.loc[(region, label), metric]
        return None if pd.isna(value) else float(value)

    def gain(self, label: str, region: str = ALL) -> float | None:
        """PSNR of the network minus that of its twin."""
        return _difference(self.figure(label, "psnr_rgb", region), self.figure(label, "psnr_rgb_twin", region))

    def lost(self, label: str, region: str = ALL) -> float | None:
        """PSNR that harm costs: of the oracle minus that of the network."""
        return _difference(self.figure(label, "psnr_rgb_oracle", region), self.figure(label, "psnr_rgb", region))


def harms(frames: Frames) -> list[Harm]:
    """One for each scale, data set and comparable protocol."""
    records = frames.measured(*FIGURES)
    records = records[records["region"].notna()]
    return [_harm(frames, group) for _, group in records.groupby(GROUP, sort=False)]


def harm_tables(frames: Frames, harm: Harm) -> list[Table]:
    """Everywhere, by region, and what texture fidelity recovers, as far as there is something to show."""
    shared = {"protocol": harm.comparable}
    how = "Measured with " + ", ".join(f"{k} {v}" for k, v in described(frames.protocols[harm.comparable])) + "."
    everywhere = [_everywhere(harm, label) for label in harm.labels]
    tables = [
        make_table(f"{harm.title}: where attention helps and harms", EVERYWHERE, everywhere, notes=[how], **shared)
    ]
    by_region = [Row(head=label, entries=_by_region(harm, label)) for label in harm.labels]
    by_region = [_unranked(row) if harm.twins.get(row.head) == row.head else row for row in by_region]
    tables.append(make_table(f"{harm.title}: gain and loss by region", BY_REGION, by_region, **shared))
    recovered = [_recovered(harm, *pair) for pair in _held_back(frames, harm)]
    if recovered:
        tables.append(make_table(f"{harm.title}: what texture fidelity recovers", RECOVERED, recovered, **shared))
    return tables


def harm_maps(frames: Frames) -> list[Strip]:
    """The maps of one image under every method, side by side."""
    return maps(frames, "harm", "where attention helps (blue) and harms (orange)")


def _harm(frames: Frames, group: pd.DataFrame) -> Harm:
    first = group.iloc[0]
    values = group.pivot_table(index=["region", "label", "seed", "image"], columns="metric", values="value")
    over_images = values.reindex(columns=list(FIGURES)).groupby(["region", "label", "seed"]).mean()
    present = set(group["label"])
    return Harm(
        scale=int(first["scale"]),
        dataset=str(first["dataset"]),
        comparable=str(first["comparable"]),
        labels=tuple(label for label in frames.labels if label in present),
        figures=over_images.groupby(["region", "label"]).mean(),
        twins=twin_labels(frames, int(first["scale"])),
    )


def twin_labels(frames: Frames, scale: int) -> dict[str, str]:
    """The label of each label's twin: that of the cell whose training made the twin's weights; of a control its own.

    Of a twin that was not trained here it is that of the cell with its method and settings.
    """
    here = frames.tasks[frames.tasks["scale"] == scale]
    trained = here[here["kind"] == "train"]
    by_weights = dict(zip(trained["task_key"], trained["label"].astype(str), strict=True))
    cells = here.drop_duplicates("cell_id")
    named = {_identity(spec): str(label) for label, spec in zip(cells["label"], cells["cell_spec"], strict=True)}
    harmed = frames.done("harm")
    tasks = harmed[harmed["scale"] == scale]
    told = zip(tasks["label"], tasks["twin"], strict=True)
    return {
        str(label): by_weights.get(twin["weights"], named.get(_identity(twin), str(twin["method"])))
        for label, twin in told
    }


def _identity(spec: Mapping[str, Any]) -> str:
    return repr((spec["method"], sorted(spec["settings"].items())))


EVERYWHERE = (
    Column(key="twin", title="Twin", words=True),
    Column(key="psnr_rgb_twin", title="PSNR-RGB of twin", unit="dB"),
    Column(key="psnr_rgb", title="PSNR-RGB", unit="dB", better="higher"),
    Column(key="gain", title="Gain by attention", unit="dB", better="higher"),
    Column(key="psnr_rgb_oracle", title="Better of both at each sub-pixel", unit="dB"),
    Column(key="lost", title="Lost to harm", unit="dB"),
    Column(key="helped_share", title="Helped", unit="% of sub-pixels"),
    Column(key="harmed_share", title="Harmed", unit="% of sub-pixels", better="lower"),
    Column(key="helped_levels", title="Mean help", unit="levels"),
    Column(key="harmed_levels", title="Mean harm", unit="levels"),
    Column(key="undone_share", title="Harm over help", unit="squared error", better="lower"),
)
BY_REGION = tuple(
    column
    for region in REGIONS
    for column in (
        Column(key=f"gain {region}", title=f"{region.capitalize()}: gain", unit="dB", better="higher"),
        Column(key=f"lost {region}", title="lost to harm", unit="dB"),
        Column(key=f"harmed {region}", title="harmed", unit="% of sub-pixels", better="lower"),
    )
)
RECOVERED = (
    Column(key="plain", title="Compared with", words=True),
    Column(key="gain", title="Gain by texture fidelity", unit="dB", better="higher"),
    Column(key="bound", title="Bound: lost to harm without it", unit="dB"),
    Column(key="share", title="Recovered", unit="% of bound", better="higher"),
    Column(key=f"gain {WORST}", title="Degraded texture: gain", unit="dB", better="higher"),
    Column(key=f"bound {WORST}", title="bound", unit="dB"),
    Column(key=f"share {WORST}", title="recovered", unit="% of bound", better="higher"),
)


def _everywhere(harm: Harm, label: str) -> Row:
    entries = {metric: number(harm.figure(label, metric), METRICS[metric].digits) for metric in FIGURES}
    for share in ("helped_share", "harmed_share"):
        entries[share] = _percent(harm.figure(label, share))
    entries |= {"gain": _signed(harm.gain(label)), "lost": number(harm.lost(label), 2)}
    twin = harm.twins.get(label, "")
    row = Row(head=label, entries=entries | {"twin": Entry(text=CONTROL if twin == label else twin)})
    return _unranked(row) if twin == label else row


def _unranked(row: Row) -> Row:
    """A control competes with nobody."""
    return dataclasses.replace(row, entries={k: dataclasses.replace(e, ranked=False) for k, e in row.entries.items()})


def _by_region(harm: Harm, label: str) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for region in REGIONS:
        entries[f"gain {region}"] = _signed(harm.gain(label, region))
        entries[f"lost {region}"] = number(harm.lost(label, region), 2)
        entries[f"harmed {region}"] = _percent(harm.figure(label, "harmed_share", region))
    return entries


def _held_back(frames: Frames, harm: Harm) -> list[tuple[str, str]]:
    """Pairs of labels (without, with texture fidelity) that differ in nothing else."""
    cells = frames.tasks[(frames.tasks["scale"] == harm.scale) & frames.tasks["label"].isin(harm.labels)]
    kinds: dict[str, dict[str, str]] = {}
    for label, spec in cells.drop_duplicates("label")[["label", "cell_spec"]].itertuples(index=False):
        settings = dict(spec["settings"])
        fuse = str(settings.pop("fuse", ""))
        kinds.setdefault(repr((spec["method"], sorted(settings.items()))), {})[fuse] = str(label)
    return [(kind[PLAIN], kind[HELD_BACK]) for kind in kinds.values() if {PLAIN, HELD_BACK} <= kind.keys()]


def _recovered(harm: Harm, plain: str, held_back: str) -> Row:
    entries = {"plain": Entry(text=plain)}
    for region, suffix in ((ALL, ""), (WORST, f" {WORST}")):
        gain = _difference(harm.figure(held_back, "psnr_rgb", region), harm.figure(plain, "psnr_rgb", region))
        bound = harm.lost(plain, region)
        entries |= {f"gain{suffix}": _signed(gain), f"bound{suffix}": number(bound, 2)}
        entries[f"share{suffix}"] = _share(gain, bound)
    return Row(head=held_back, entries=entries)


def _share(gain: float | None, bound: float | None) -> Entry:
    if gain is None or bound is None:
        return missing("not measured")
    return _percent(gain / bound) if bound >= LEAST_BOUND_DB else missing("harm costs next to nothing")


def _percent(share: float | None) -> Entry:
    return missing("not measured") if share is None else number(100.0 * share, 1)


def _signed(value: float | None) -> Entry:
    return missing("not measured") if value is None else Entry(text=signed(value), value=value, ranked=True)


def _difference(first: float | None, second: float | None) -> float | None:
    """None where one is missing or both are infinite."""
    if first is None or second is None or first == second == float("inf"):
        return None
    return first - second
