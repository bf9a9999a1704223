"""How methods look: the same colour and marker in every figure, told apart without colour too.

Colours are numbers here; the page's style sheet holds two sets of them, for light and for dark pages.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

LIGHT = ("#0072b2", "#c45100", "#00805c", "#a8559b", "#8a6d00", "#7a4a21", "#5f6b76", "#b3263a")
DARK = ("#5ab6f0", "#ff9152", "#35cfa3", "#e5a3da", "#e3c336", "#d3a678", "#aab6c1", "#ff8795")
"""After Okabe and Ito, darkened and lightened until each stands out 3 : 1 from its page."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
"""One more than colours, so that pairs repeat after 72 methods only."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """Colour, as a number among `LIGHT` and `DARK`, and marker of one method."""

    series: int
    marker: str


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """The look of each label, by its place among all labels of the run."""
    return {label: Look(series=i % len(LIGHT), marker=MARKERS[i % len(MARKERS)]) for i, label in enumerate(labels)}
