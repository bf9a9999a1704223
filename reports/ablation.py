"""Ablations: the variants of one method beside the full one, with what each change does to quality and cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from reports.cost import Cost
from reports.frames import Frames
from reports.pair_tables import MARKS, WORDS
from reports.pairs import Comparison, Network, compare
from reports.quality import Beside, Quality, beside
from reports.tables import PERCENT, Column, Entry, Row, Table, bounds, make_table, missing, number, shown, signed

SHARES = {"macs": "MACs", "forward_s": "Forward"}
FIXED = (
    Column(key="psnr_y", title="PSNR-Y", unit="dB", better="higher"),
    Column(key="change", title="Change", unit="dB"),
    Column(key="interval", title=f"95{PERCENT} interval", unit="dB"),
    *(Column(key=key, title=f"{title} against full", unit="%") for key, title in SHARES.items()),
)
SEEDS = "One training seed each tells of trained networks, not of their settings."


def ablation_tables(frames: Frames, quality: Quality, costs: list[Cost]) -> list[Table]:
    """A table for each method of which several variants were scored on the same images."""
    specs = {label: frames.of_label(label, quality.scale)[0]["cell_spec"] for label in quality.labels}
    methods: dict[str, list[str]] = {}
    for label in quality.labels:
        methods.setdefault(str(specs[label]["method"]), []).append(label)
    several = [labels for labels in methods.values() if len(labels) > 1]
    return [_table(quality, costs, {label: specs[label] for label in labels}) for labels in several]


def _table(quality: Quality, costs: list[Cost], specs: Mapping[str, Mapping[str, Any]]) -> Table:
    varied, full = _varied(specs), _full(specs)
    found = beside(quality, costs)
    columns = [*(Column(key=f"set {name}", title=name, words=True) for name in varied), *FIXED]
    rows = [_row(quality, found, label, full, varied, specs) for label in specs]
    notes = [f"Changes are against {full}, the variant with the fewest settings that are not as released."]
    notes += [_measured_where(found, full, rows)] if found else []
    notes += [SEEDS] if quality.by_seed.columns.get_level_values(1).nunique() == 1 else []
    title = str(specs[full].get("title", specs[full]["method"]))
    return make_table(f"{quality.title}: ablation of {title}", columns, rows, notes=notes, protocol=quality.comparable)


def _measured_where(found: Beside, full: str, rows: Sequence[Row]) -> str:
    """At which size, and on which machine where there are several."""
    if all(row.entries["forward_s"].value is None for row in rows):
        return f"MACs at {shown(found.size)}."
    place = found.timed(full).machine_name
    return f"MACs and forward time at {shown(found.size)}{f', time on {place}' if place else ''}."


def _varied(specs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Settings, and parts of the training budget, in which the variants differ."""
    flat = [_flat(spec) for spec in specs.values()]
    names = dict.fromkeys(name for each in flat for name in each)
    return [name for name in names if len({repr(each.get(name)) for each in flat}) > 1]


def _flat(spec: Mapping[str, Any]) -> dict[str, Any]:
    budget = {f"train {name}": value for name, value in (spec.get("train") or {}).items()}
    return {**spec["settings"], **budget, "weights": spec.get("weights"), "start": spec.get("start")}


def _full(specs: Mapping[str, Mapping[str, Any]]) -> str:
    """The variant with the fewest settings that are not as released; of several, the grid's first."""
    return min(specs, key=lambda label: len(specs[label].get("changed", ())))


def _row(
    quality: Quality,
    found: Beside | None,
    label: str,
    full: str,
    varied: Sequence[str],
    specs: Mapping[str, Mapping[str, Any]],
) -> Row:
    flat = _flat(specs[label])
    entries = {f"set {name}": Entry(text=_worded(flat.get(name))) for name in varied}
    entries["psnr_y"] = number(quality.score(label, "psnr_y"), 2, ranked=quality.complete(label))
    entries |= _change(quality, label, full)
    entries |= {key: _share(found, key, label, full) for key in SHARES}
    return Row(head=label, note="full" if label == full else "", entries=entries)


def _worded(value: Any) -> str:
    return "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value)  # noqa: RUF001 - a dash


def _change(quality: Quality, label: str, full: str) -> dict[str, Entry]:
    """PSNR-Y minus that of the full variant, paired by image."""
    if label == full:
        return dict.fromkeys(("change", "interval"), missing("the full variant itself"))
    pair: Comparison = compare(_network(quality, label), _network(quality, full))
    if pair.interval is None:
        told = missing(pair.reason or "too few images")
        return {"change": told, "interval": told}
    change = Entry(text=signed(pair.difference), value=pair.difference)
    if pair.interval.holds(0.0):
        change = dataclasses.replace(change, mark=MARKS["noise"], doubt=WORDS["noise"])
    return {"change": change, "interval": Entry(text=bounds(pair.interval, digits=2), value=pair.interval.low)}


def _network(quality: Quality, label: str) -> Network:
    scores = quality.by_seed[label].to_numpy(float)
    return Network(label=label, scores=scores, complete=quality.complete(label))


def _share(found: Beside | None, key: str, label: str, full: str) -> Entry:
    """Of times, those of the machine that timed the full variant."""
    if found is None or label == full:
        return missing("the full variant itself" if label == full else "not measured")
    own, other = (_cost(found, key, each, full) for each in (label, full))
    if own is None or not other:
        return missing("not measured")
    change = 100.0 * (own / other - 1.0)
    return Entry(text=signed(change, 1), value=change)


def _cost(found: Beside, key: str, label: str, full: str) -> float | None:
    return found.timed(full).value(label, found.size, key) if key == "forward_s" else found.counted(label, key)
