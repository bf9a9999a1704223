"""Twins: for a network with attention, the same network without, trained alike, if the grid has one.

The control of such a comparison is the twin itself beside the twin from another seed: what differs there is chance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.naming import nearest
from harness.grid_tables import Scalar
from harness.resolve import Resolved


@dataclasses.dataclass(frozen=True, kw_only=True)
class Twin:
    """The network without attention as a worker needs it: `train` is the key of the task that makes its weights."""

    label: str
    address: str
    settings: Mapping[str, Scalar]
    weights: Path | None
    train: str | None


def twin_of(cell: Resolved, cells: Sequence[Resolved]) -> Resolved | None:
    """The twin of `cell` among `cells`: the one that its grid names, or else the one that its settings tell.

    By settings: it has none that `cell` has not, all of the same value, and no attention.

    Raises:
        ValueError: the grid names a twin that is not there, or that fits several cells.
    """
    if not (cell.attends or cell.cell.twin):
        return None
    if cell.cell.twin:
        return _named(cell.cell.twin, cell, cells)
    fitting = [other for other in cells if _without_attention(cell, other) and _trained_alike(cell, other)]
    return max(fitting, key=lambda other: len(other.settings), default=None)


def control_of(twin: Resolved, cells: Sequence[Resolved]) -> Resolved | None:
    """The same network from the next of its training seeds, the first following the last; None where it has one."""
    if not twin.trained:
        return None
    same = [cell for cell in cells if cell.trained and cell.function == twin.function]
    seeds = {cell.cell.seed: cell for cell in same if cell.cell.train == twin.cell.train}
    later = sorted(seeds, key=lambda seed: (seed <= twin.cell.seed, seed))
    return seeds[later[0]] if len(later) > 1 else None


def _trained_alike(cell: Resolved, other: Resolved) -> bool:
    """The same scale, and, where both are trained here, the same seed and budget."""
    if cell.cell.scale != other.cell.scale:
        return False
    both = cell.trained and other.trained
    return not both or (cell.cell.seed == other.cell.seed and cell.cell.train == other.cell.train)


def _without_attention(cell: Resolved, other: Resolved) -> bool:
    return (
        not other.attends
        and other.trained == cell.trained
        and bool(other.settings)
        and other.settings.items() <= cell.settings.items()
    )


def _named(name: str, cell: Resolved, cells: Sequence[Resolved]) -> Resolved:
    bearing = [other for other in cells if name in (other.title, other.cell.method) and other is not cell]
    found = [other for other in bearing if other.plugin.trainable and _trained_alike(cell, other)]
    if len(found) != 1:
        known = sorted({known for other in cells for known in (other.title, other.cell.method)})
        count = "several cells" if found else "no cell of the same scale, seed and budget"
        raise ValueError(f"twin {name!r} names {count}: {nearest(name, known)}")
    return found[0]
