"""Verdicts: supported, contradicted or undecided, each with what was found, why, and the attempts it rests on.

Exact figures decide at once. Times decide only where intervals, noise floors and controls allow it, scores only where
the network is the one that was published, or was trained as long.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np

from reports.claims import Claim, Word
from reports.evidence import Evidence, Figure
from reports.frames import positions
from reports.quality_verdicts import scored
from reports.stats import Floats
from reports.tables import TIMES, fixed, shown, significant
from reports.time_verdicts import timed

ENOUGH_SPAN = 16.0
"""By which factor n must grow for a verdict on how something grows."""
FAR = 1.5
"""Two sizes nearer than this factor say too little about a slope: padding to whole chunks alone would be one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a claim: the word, what was `found`, and why it is no other word where that needs saying."""

    claim: Claim
    word: Word
    found: str
    reason: str = ""
    attempts: tuple[str, ...] = ()

    @property
    def fell(self) -> bool:
        """Whether an exact claim does not come to what it came to when it was last looked at."""
        return self.claim.exact and self.claim.verdict is not None and self.word != self.claim.verdict


def decide(claim: Claim, evidence: Evidence) -> Verdict:
    """The verdict on one claim."""
    if not claim.exact:
        word, found, reason, attempts = (scored if claim.scoring else timed)(claim, evidence)
        return Verdict(claim=claim, word=word, found=found, reason=reason, attempts=attempts)
    own = [evidence.figure(claim, claim.subject, size) for size in claim.sizes]
    other = [evidence.figure(claim, claim.against, size) for size in claim.sizes] if claim.against else []
    if lacking := _lacking(claim, own, other):
        return Verdict(claim=claim, word="undecided", found="", reason=lacking)
    if claim.form != "value" and (nothing := _nothing(claim, own, other)):
        return Verdict(claim=claim, word="undecided", found="", reason=nothing)
    attempts = tuple(dict.fromkeys(figure.attempt for figure in (*own, *other) if figure))
    forms = {"exponent": _exponent, "ratio": _ratio, "value": _value, "crossover": _crossover}
    word, found, reason = forms[claim.form](claim, _floats(own), _floats(other))
    return Verdict(claim=claim, word=word, found=found, reason=reason, attempts=attempts)


Told = tuple[Word, str, str]
"""The word, what was found, why."""


def _exponent(claim: Claim, own: Floats, _: Floats) -> Told:
    """The fitted exponent and that between every two neighbouring sizes: one that bends is no single power."""
    n = _n(claim)
    if n.max() < ENOUGH_SPAN * n.min():
        return "undecided", "", f"n spans only {n.max() / n.min():.3g}{TIMES}, a verdict needs {ENOUGH_SPAN:.0f}{TIMES}"
    whole = float(np.polyfit(np.log(n), np.log(own), 1)[0])
    steps = dict(_steps(claim.sizes, n, own))
    found = f"n^{fixed(whole, 2)}, locally {fixed(min(steps.values()), 2)} to {fixed(max(steps.values()), 2)}"
    wrong = [shown(size) for size, step in steps.items() if not claim.holds(step)]
    if claim.holds(whole) and not wrong:
        return "supported", found, ""
    return "contradicted", found, f"not from {', '.join(wrong)} on" if claim.holds(whole) else ""


def _steps(sizes: Sequence[str], n: Floats, cost: Floats) -> Iterator[tuple[str, float]]:
    """From each size the exponent to the next that is far enough away for padding not to count, and what it is."""
    for size, here, value in zip(sizes, n, cost, strict=True):
        beyond = np.flatnonzero(n >= FAR * here)
        if len(beyond):
            nearest = beyond[np.argmin(n[beyond])]
            yield size, float(np.log(cost[nearest] / value) / np.log(n[nearest] / here))


def _ratio(claim: Claim, own: Floats, other: Floats) -> Told:
    return _within(claim, own / other, TIMES)


def _value(claim: Claim, own: Floats, _: Floats) -> Told:
    return _within(claim, own, "")


def _within(claim: Claim, values: Floats, unit: str) -> Told:
    """Every size must hold it."""
    found = " to ".join(dict.fromkeys(f"{_plain(value)}{unit}" for value in (values.min(), values.max())))
    wrong = [shown(size) for size, value in zip(claim.sizes, values, strict=True) if not claim.holds(value)]
    if not wrong:
        return "supported", found, ""
    return "contradicted", found, f"not at {', '.join(wrong)}" if len(wrong) < len(values) else ""


def _crossover(claim: Claim, own: Floats, other: Floats) -> Told:
    """The n from which it stays cheaper, between the two sizes around it as both grow there."""
    order = np.argsort(_n(claim), kind="stable")
    n, ratio = _n(claim)[order], np.log(own / other)[order]
    dearer = np.flatnonzero(ratio >= 0.0)
    if not len(dearer):
        return _crossed(claim, 0.0, n[0], f"cheaper at every size from n = {fixed(n[0], 0)} on")
    last = int(dearer[-1])
    if last == len(n) - 1:
        return _crossed(claim, n[-1], math.inf, f"not cheaper up to n = {fixed(n[-1], 0)}")
    part = ratio[last] / (ratio[last] - ratio[last + 1])
    at = math.exp(math.log(n[last]) + part * math.log(n[last + 1] / n[last]))
    return _crossed(claim, at, at, f"cheaper from n = {fixed(at, 0)} on")


def _crossed(claim: Claim, low: float, high: float, found: str) -> Told:
    """By where it may lie: beyond the sizes that were counted nobody knows where."""
    if claim.holds(low) and claim.holds(high):
        return "supported", found, ""
    if claim.excludes(low, high):
        return "contradicted", found, ""
    return "undecided", found, "the sizes do not reach the bounds"


def _lacking(claim: Claim, own: Sequence[Figure | None], other: Sequence[Figure | None]) -> str:
    """What has not been counted."""
    for subject, figures in ((claim.subject, own), (claim.against, other)):
        without = [shown(size) for size, figure in zip(claim.sizes, figures, strict=bool(figures)) if figure is None]
        if figures and without:
            return f"nothing was counted of {subject} at {', '.join(without)}"
    return ""


def _nothing(claim: Claim, own: Sequence[Figure | None], other: Sequence[Figure | None]) -> str:
    """Where there is no cost at all, which grows by no exponent and is no part of another."""
    for subject, figures in ((claim.subject, own), (claim.against, other)):
        zeros = [
            shown(size) for size, each in zip(claim.sizes, figures, strict=bool(figures)) if each and not each.value
        ]
        if zeros:
            return f"{subject} has none at {', '.join(zeros)}"
    return ""


def _n(claim: Claim) -> Floats:
    return np.array([positions(size) for size in claim.sizes], dtype=float)


def _floats(figures: Sequence[Figure | None]) -> Floats:
    return np.array([figure.value for figure in figures if figure is not None], dtype=float)


def _plain(value: float) -> str:
    return significant(value) if value < 1e4 else fixed(value, 0)  # noqa: PLR2004 - beyond, digits are grouped
