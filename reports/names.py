"""Names by which figures are asked for and labels that LaTeX refers to: words joined by hyphens, from what is shown."""

from __future__ import annotations

import re
import unicodedata

from reports.cost import Cost
from reports.quality import Quality
from reports.tables import TIMES

USUAL = frozenset({"whole", "fp32", "inference", "batch 1"})
"""What a name does not tell, whatever else a run has, so that names stay the same from run to run."""
SHORT = {"forward_s": "time", "attention_s": "time", "attention_macs": "macs", "peak_bytes": "memory"}
"""Metrics as names tell them, where that is not their own name."""


def slug(text: str) -> str:
    """The words and numbers of a text in lower case, joined by hyphens."""
    plain = unicodedata.normalize("NFKD", text.replace(TIMES, "x")).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[a-z0-9]+", plain.lower()))


def quality_name(quality: Quality, what: str) -> str:
    """Of a figure about quality, such as `quality-set5-x2-macs`; `what` is the cost it is against, or what spreads."""
    return _joined("quality", quality.subject, quality.tiling, quality.precision, SHORT.get(what, what))


def cost_name(kind: str, cost: Cost) -> str:
    """Of a figure about costs, such as `growth-time-x2`; `kind` is what it shows of them."""
    where = "attention" if cost.alone else f"x{cost.scale}"
    return _joined(kind, where, *(["in turn", *cost.raced.split(", ")] if cost.raced else []), cost.precision)


def growth_name(cost: Cost, quantity: str) -> str:
    """Of a figure of growth with n."""
    return cost_name(f"growth {SHORT.get(quantity, quantity)}", cost)


def _joined(*parts: str) -> str:
    return "-".join(filter(None, (slug(part) for part in parts if part not in USUAL)))
