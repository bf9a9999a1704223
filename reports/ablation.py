"""Ablations: the variants of one method beside the full one, with what each change does to quality and cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.cost import Cost
from reports.frames import Frames
from reports.pair_tables import comparison_notes, judged
from reports.pairs import Comparison, Pairs, planned
from reports.quality import Beside, Quality, beside
from reports.tables import PERCENT, Column, Entry, Row, Table, bounds, make_table, missing, number, shown, signed

SHARES = {"macs": "MACs", "forward_s": "Forward"}
FIXED = (
    Column(key="psnr_y", title="PSNR-Y", unit="dB", better="higher"),
    Column(key="change", title="Change", unit="dB"),
    Column(key="interval", title=f"95{PERCENT} interval", unit="dB"),
    *(Column(key=key, title=f"{title} against full", unit="%") for key, title in SHARES.items()),
)
FAMILY = "every variant of this page against the full one of its method"

Specs = Mapping[str, Mapping[str, Any]]
"""What the store was told of the variants of one method, by label."""


def compared_with_full(frames: Frames, qualities: Sequence[Quality]) -> list[Pairs]:
    """For each of `qualities` every variant against the full one of its method: planned, so a family of their own."""
    return planned(qualities, [list(_chosen(frames, quality)) for quality in qualities])


def ablation_tables(frames: Frames, quality: Quality, costs: list[Cost], pairs: Pairs) -> list[Table]:
    """A table for each method of which several variants were scored on the same images; `pairs` are theirs."""
    return [_table(quality, costs, specs, pairs) for specs in _methods(frames, quality)]


def _methods(frames: Frames, quality: Quality) -> list[Specs]:
    """The variants of each method that has several."""
    methods: dict[str, dict[str, Mapping[str, Any]]] = {}
    for label in quality.labels:
        spec = frames.of_label(label, quality.scale)[0]["cell_spec"]
        methods.setdefault(str(spec["method"]), {})[label] = spec
    return [specs for specs in methods.values() if len(specs) > 1]


def _chosen(frames: Frames, quality: Quality) -> Iterator[tuple[str, str]]:
    present = set(quality.by_seed.columns.get_level_values(0)) - {quality.baseline}
    for specs in _methods(frames, quality):
        full = _full(specs)
        yield from ((label, full) for label in specs if label != full and {label, full} <= present)


def _table(quality: Quality, costs: list[Cost], specs: Specs, pairs: Pairs) -> Table:
    varied, full = _varied(specs), _full(specs)
    found = beside(quality, costs)
    own = tuple(each for each in pairs.comparisons if each.second == full and each.first in specs)
    columns = [*(Column(key=f"set {name}", title=name, words=True) for name in varied), *FIXED]
    changes = {each.first: _change(each, pairs.family) for each in own}
    rows = [_row(quality, found, label, full, varied, specs, changes) for label in specs]
    notes = [f"Changes are against {full}, the variant with the fewest settings that are not as released."]
    notes += comparison_notes(dataclasses.replace(pairs, comparisons=own), FAMILY) if own else []
    notes += [_measured_where(found, full, rows)] if found else []
    title = str(specs[full].get("title", specs[full]["method"]))
    return make_table(f"{quality.title}: ablation of {title}", columns, rows, notes=notes, protocol=quality.comparable)


def _measured_where(found: Beside, full: str, rows: Sequence[Row]) -> str:
    """At which size, and on which machine where there are several."""
    if all(row.entries["forward_s"].value is None for row in rows):
        return f"MACs at {shown(found.size)}."
    place = found.timed(full).machine_name
    return f"MACs and forward time at {shown(found.size)}{f', time on {place}' if place else ''}."


def _varied(specs: Specs) -> list[str]:
    """Settings, and parts of the training budget, in which the variants differ."""
    flat = [_flat(spec) for spec in specs.values()]
    names = dict.fromkeys(name for each in flat for name in each)
    return [name for name in names if len({repr(each.get(name)) for each in flat}) > 1]


def _flat(spec: Mapping[str, Any]) -> dict[str, Any]:
    budget = {f"train {name}": value for name, value in (spec.get("train") or {}).items()}
    return {**spec["settings"], **budget, "weights": spec.get("weights"), "start": spec.get("start")}


def _full(specs: Specs) -> str:
    """The variant with the fewest settings that are not as released; of several, the grid's first."""
    return min(specs, key=lambda label: len(specs[label].get("changed", ())))


def _row(
    quality: Quality,
    found: Beside | None,
    label: str,
    full: str,
    varied: Sequence[str],
    specs: Specs,
    changes: Mapping[str, dict[str, Entry]],
) -> Row:
    flat = _flat(specs[label])
    entries = {f"set {name}": Entry(text=_worded(flat.get(name))) for name in varied}
    entries["psnr_y"] = number(quality.score(label, "psnr_y"), 2, ranked=quality.complete(label))
    why = "the full variant itself" if label == full else "not a network to compare"
    entries |= changes.get(label) or dict.fromkeys(("change", "interval"), missing(why))
    entries |= {key: _share(found, key, label, full) for key in SHARES}
    return Row(head=label, note="full" if label == full else "", entries=entries)


def _worded(value: Any) -> str:
    return "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value)  # noqa: RUF001 - a dash


def _change(pair: Comparison, family: int) -> dict[str, Entry]:
    """PSNR-Y minus that of the full variant, marked where it is not told from zero."""
    if math.isnan(pair.difference) or pair.interval is None:
        return dict.fromkeys(("change", "interval"), missing(pair.reason))
    interval = Entry(text=bounds(pair.interval, digits=2), value=pair.interval.low)
    return {"change": judged(pair.difference, pair, family), "interval": interval}


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
