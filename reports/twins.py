"""Attention beside none: each network and its twin without attention, which is what a grid with twins is made for.

These comparisons are known before any score is, so they are a family of their own: Holm's correction counts them alone,
where the pairs of a page with many networks are so many that few images can decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.cost import Cost
from reports.frames import Frames
from reports.harm import twin_labels
from reports.pair_tables import COLUMNS, comparison_entries, comparison_notes
from reports.pairs import Comparison, Pairs, planned
from reports.quality import Beside, Quality, beside
from reports.tables import TIMES, Column, Entry, Row, Table, make_table, missing, number, shown

HEAD = (Column(key="twin", title="Twin", words=True), Column(key="psnr_y", title="PSNR-Y", unit="dB", better="higher"))
COSTS = {"macs": "MACs", "forward_s": "Forward", "peak_bytes": "Memory"}
"""What a network costs as a multiple of its twin."""
FAMILY = "every network of this page beside its twin without attention"
TAIL = tuple(Column(key=key, title=f"{title}, {TIMES} the twin's") for key, title in COSTS.items())


def compared_with_twins(frames: Frames, qualities: Sequence[Quality]) -> list[Pairs]:
    """For each of `qualities` every network that has a twin there, Holm over all of them."""
    return planned(qualities, [_chosen(twin_labels(frames, quality.scale), quality) for quality in qualities])


def twins_table(quality: Quality, pairs: Pairs, costs: Sequence[Cost]) -> Table | None:
    """What attention gains and what it costs, a row for each network with a twin; None where there is none."""
    if not pairs.comparisons:
        return None
    found = beside(quality, costs)
    rows = [_row(quality, pair, pairs.family, found) for pair in pairs.comparisons]
    notes = [*comparison_notes(pairs, FAMILY), *([f"Costs at {shown(found.size)}."] if found else [])]
    columns = [*HEAD, *COLUMNS, *(TAIL if found else ())]
    caption = f"{quality.title}: attention beside none, PSNR-Y of each network minus that of its twin"
    return make_table(caption, columns, rows, notes=notes, protocol=quality.comparable)


def _chosen(twins: Mapping[str, str], quality: Quality) -> list[tuple[str, str]]:
    """Labels of networks with their twins', in the order of the grid; a control is its own twin and left out."""
    present = set(quality.by_seed.columns.get_level_values(0))
    own = {label: twin for label, twin in twins.items() if label != twin and {label, twin} <= present}
    return [(label, own[label]) for label in quality.labels if label in own]


def _row(quality: Quality, pair: Comparison, family: int, found: Beside | None) -> Row:
    score = number(quality.score(pair.first, "psnr_y"), 2, ranked=quality.complete(pair.first))
    entries = {"twin": Entry(text=pair.second), "psnr_y": score} | comparison_entries(pair, family)
    if found is not None:
        entries |= {key: _multiple(found, key, pair) for key in COSTS}
    return Row(head=pair.first, note=pair.caution, entries=entries)


def _multiple(found: Beside, key: str, pair: Comparison) -> Entry:
    """Of times, those of the machine that timed the network."""
    source = found.timed(pair.first)
    own, twin = (
        source.value(label, found.size, key) if key == "forward_s" else found.counted(label, key)
        for label in (pair.first, pair.second)
    )
    return missing("not measured") if own is None or not twin else number(own / twin, 2)
