"""Two runs beside each other in what was measured: quality by paired images, time by the noise between passes.

Counted figures are `reports.compare`'s: any difference is one. Here a difference must stand out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from rich.table import Table

from reports.frames import Frames
from reports.noise import alarm, change, seen
from reports.quality import Quality, qualities
from reports.race import CONTROL_LABEL, Race, races
from reports.stats import Floats, mean_interval
from reports.tables import fixed, significant

LEAST_DB = 0.005
"""Half of the last digit that papers print: a smaller loss is none, however sure."""
Word = Literal["worse", "better", "gone", "within noise", "undecided"]
BAD: frozenset[Word] = frozenset({"worse", "gone"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """What became of one measured quantity: its means or medians, the difference in words, and what that amounts to."""

    method: str
    where: str
    quantity: str
    before: float
    after: float
    told: str
    word: Word

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of a table."""
        values = ("" if math.isnan(value) else significant(value, 5) for value in (self.before, self.after))
        return (self.method, self.where, self.quantity, *values, self.told, self.word)


HEAD = ("method", "where", "quantity", "before", "after", "difference", "")


def changes(before: Frames, after: Frames) -> list[Change]:
    """All that both runs measured under the same protocol; times only of the same machine."""
    return [*_quality(before, after), *_time(before, after)]


def told(found: Sequence[Change]) -> Table:
    """What is not within noise, for people to read."""
    shown = Table(*HEAD)
    for each in found:
        if each.word != "within noise":
            shown.add_row(*each.cells)
    return shown


def _quality(before: Frames, after: Frames) -> Iterator[Change]:
    later = {(q.scale, q.dataset, q.comparable): q for q in qualities(after)}
    for old in qualities(before):
        new = later.get((old.scale, old.dataset, old.comparable))
        for label in old.labels:
            pairs = _pairs(label, old, new) if new and label in new.labels else np.zeros((0, 2))
            yield _of_images(label, old.title, pairs) if len(pairs) else _gone(label, old)


def _gone(label: str, old: Quality) -> Change:
    """What is scored otherwise now, cropped or tiled, or not at all, must not pass for unchanged."""
    told = "not scored under this protocol any more"
    means = {"before": old.score(label, "psnr_y"), "after": float("nan")}
    return Change(method=label, where=old.title, quantity="PSNR-Y", told=told, word="gone", **means)


def _pairs(label: str, old: Quality, new: Quality) -> Floats:
    """PSNR-Y of the images that both scored, before and after `[images 2]`."""
    found: Floats = pd.concat([old.images[label], new.images[label]], axis=1, join="inner").dropna().to_numpy(float)
    return found


def _of_images(label: str, where: str, pairs: Floats) -> Change:
    differences: Floats = pairs[:, 1] - pairs[:, 0]
    mean, within = float(differences.mean()), mean_interval(differences)
    interval = f" ({fixed(within.low, 3)} to {fixed(within.high, 3)})" if within else ""
    word: Word = "within noise"
    if differences.any() and within is None:
        word = "undecided"
    elif within and not within.holds(0.0) and abs(mean) >= LEAST_DB:
        word = "better" if mean > 0.0 else "worse"
    means = {"before": float(pairs[:, 0].mean()), "after": float(pairs[:, 1].mean())}
    what = f"{fixed(mean, 3)} dB{interval}"
    return Change(method=label, where=where, quantity="PSNR-Y", told=what, word=word, **means)


def _time(before: Frames, after: Frames) -> Iterator[Change]:
    later = {(race.comparable, race.machine): race for race in races(after) if race.samples}
    paired = [(old, new) for old in races(before) if (new := later.get((old.comparable, old.machine))) and old.samples]
    cells = [(old, new, label, size) for old, new in paired for label in old.labels for size in old.sizes]
    own = [cell for cell in cells if cell[2] != CONTROL_LABEL and _both(*cell)]
    for old, new, label, size in own:
        yield _of_passes(old, new, label, size, len(own))


def _both(old: Race, new: Race, label: str, size: str) -> bool:
    return bool(len(_taken(old, label, size)) and len(_taken(new, label, size)))


def _taken(race: Race, label: str, size: str) -> Floats:
    """Ratios to the reference by pass, which drift does not touch; of the reference itself, and without one, times."""
    own = label == race.reference or race.reference is None
    return race.medians(label, size) if own else race.ratios(label, size)


def _passes(race: Race, label: str) -> list[Floats]:
    return [_taken(race, label, size) for size in race.sizes]


def _alike(race: Race, label: str) -> list[str]:
    """Whose noise is of the same kind: times drift, ratios do not."""
    others = [each for each in race.labels if each not in {race.reference, CONTROL_LABEL}]
    return others if label in others else [label]


def _of_passes(old: Race, new: Race, label: str, size: str, among: int) -> Change:
    """Judged by the noise of the first run, and rarely enough that all cells together stay quiet in twenty runs."""
    was, now = _taken(old, label, size), _taken(new, label, size)
    noise = alarm(_passes(old, label), [each for like in _alike(old, label) for each in _passes(old, like)], among)
    slower = change(was, now)
    word: Word = "undecided"
    if noise is not None:
        word = ("worse" if slower > 0.0 else "better") if seen(was, now, noise) else "within noise"
    what = f"{slower:+.1%}" + ("" if noise is None else f", alarm from {noise:.1%}")
    unit = "time [s]" if label == old.reference or old.reference is None else f"time over {old.reference}"
    means = {"before": float(np.median(was)), "after": float(np.median(now))}
    return Change(method=label, where=f"{old.title}, {size}", quantity=unit, told=what, word=word, **means)
