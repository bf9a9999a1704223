"""Twins: for a network with attention, the same network without, trained alike, if the grid has one.

The control of such a comparison is the twin itself beside the twin from another seed: what differs there is chance.
Cells are looked up by what must be equal, so that a grid of thousands is planned in time that grows with their number.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

from datasets.naming import nearest
from harness.grid_tables import Scalar
from harness.records import fingerprint
from harness.resolve import Resolved

Training = tuple[int, Hashable]
"""The scale, and seed and budget of what is trained here; None of what has its weights from a file or none at all."""
Values = tuple[Scalar, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Twin:
    """The network without attention as a worker needs it: `train` is the key of the task that makes its weights."""

    label: str
    address: str
    settings: Mapping[str, Scalar]
    weights: Path | None
    train: str | None


@dataclasses.dataclass(frozen=True)
class Twins:
    """Which of `cells` is the twin, or the control, of another."""

    cells: Sequence[Resolved]

    def of(self, cell: Resolved) -> Resolved | None:
        """The twin of `cell`: the one that its grid names, or else the one that its settings tell.

        By settings: it has none that `cell` has not, all of the same value, and no attention; of several that with the
        most settings, and of these the first.

        Raises:
            ValueError: the grid names a twin that is not there, or that fits several cells.
        """
        if cell.cell.twin:
            return self._named(cell.cell.twin, cell)
        return self._fitting(cell) if cell.attends else None

    def control(self, twin: Resolved) -> Resolved | None:
        """The same network from the next of its training seeds, the first following the last; None where it has one."""
        return self._controls.get(_network(twin), {}).get(twin.cell.seed) if twin.trained else None

    def _fitting(self, cell: Resolved) -> Resolved | None:
        known = self._without_attention.get(_training(cell), {})
        found = [known[names].get(_values(cell, names)) for names in known if names <= cell.settings.keys()]
        positions = [position for position in found if position is not None]
        best = max(positions, key=lambda position: (len(self.cells[position].settings), -position), default=None)
        return None if best is None else self.cells[best]

    def _named(self, name: str, cell: Resolved) -> Resolved:
        known, scale = self._by_name.get(name, {}), cell.cell.scale
        alike = (_training(cell), (scale, None)) if cell.trained else [key for key in known if key[0] == scale]
        found = [other for key in alike for other in known.get(key, ()) if other is not cell]
        if len(found) != 1:
            names = sorted({name for other in self.cells for name in (other.title, other.cell.method)})
            count = "several cells" if found else "no cell of the same scale, seed and budget"
            raise ValueError(f"twin {name!r} names {count}: {nearest(name, names)}")
        return found[0]

    @functools.cached_property
    def _without_attention(self) -> Mapping[Training, Mapping[frozenset[str], Mapping[Values, int]]]:
        """Positions of cells by how they get their weights, the names of their settings, and the values of these."""
        found: dict[Training, dict[frozenset[str], dict[Values, int]]] = defaultdict(lambda: defaultdict(dict))
        for position, cell in enumerate(self.cells):
            if cell.settings and not cell.attends:
                names = frozenset(cell.settings)
                found[_training(cell)][names].setdefault(_values(cell, names), position)
        return found

    @functools.cached_property
    def _by_name(self) -> Mapping[str, Mapping[Training, list[Resolved]]]:
        """Those that can be trained, by title and by method, and by how they get their weights."""
        found: dict[str, dict[Training, list[Resolved]]] = defaultdict(lambda: defaultdict(list))
        for cell in self.cells:
            for name in {cell.title, cell.cell.method} if cell.plugin.trainable else ():
                found[name][_training(cell)].append(cell)
        return found

    @functools.cached_property
    def _controls(self) -> Mapping[tuple[str, Hashable], Mapping[int, Resolved]]:
        """Of each network and budget, by seed the cell of the next seed, where there are several."""
        seeds: dict[tuple[str, Hashable], dict[int, Resolved]] = defaultdict(dict)
        for cell in self.cells:
            if cell.trained:
                seeds[_network(cell)][cell.cell.seed] = cell
        return {network: _next_of(held) for network, held in seeds.items() if len(held) > 1}


def _training(cell: Resolved) -> Training:
    return cell.cell.scale, (cell.cell.seed, cell.cell.train) if cell.trained else None


def _values(cell: Resolved, names: frozenset[str]) -> Values:
    return tuple(cell.settings[name] for name in sorted(names))


def _network(cell: Resolved) -> tuple[str, Hashable]:
    return fingerprint(cell.function), cell.cell.train


def _next_of(held: Mapping[int, Resolved]) -> dict[int, Resolved]:
    seeds = sorted(held)
    return {seed: held[later] for seed, later in zip(seeds, [*seeds[1:], seeds[0]], strict=True)}
