"""Verdicts on times, which a machine may be unable to give: intervals, noise between passes and controls decide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from reports.claims import Claim, Subject, Word
from reports.controls import doubts
from reports.evidence import Evidence, fits
from reports.frames import positions
from reports.noise import floor
from reports.race import CONTROL_LABEL, Race, medians_of
from reports.scaling import TIME, growths
from reports.stats import Floats, Interval, median_interval
from reports.tables import TIMES, fixed, shown, significant

Told = tuple[Word, str, str, tuple[str, ...]]
"""The word, what was found, why, and the attempts."""


def timed(claim: Claim, evidence: Evidence) -> Told:
    """The verdict on a claim about time, by the newest race in which all it speaks of ran."""
    ways = [race for race in evidence.raced if _same_way(claim, race)]
    found = next((told for race in ways if (told := _decided(claim, race))), None)
    if found is None:
        return "undecided", "", "nothing of this was timed in turn here", ()
    return found


def _same_way(claim: Claim, race: Race) -> bool:
    way = claim.way
    return (race.scale, race.mode, race.precision, race.batch) == (way.scale, way.mode, way.precision, way.batch)


def _decided(claim: Claim, race: Race) -> Told | None:
    """None where `race` lacks the subject, the other, or a size."""
    own, other = (_label(race, subject) for subject in (claim.subject, claim.against))
    if own is None or (claim.against is not None and other is None):
        return None
    if claim.form == "exponent" and (race.alone or claim.quantity == "attention_time"):
        return _exponent(claim, race, own)
    if claim.form == "ratio" and other is not None:
        return _ratio(claim, race, own, other)
    what = "" if race.alone else " of whole networks"
    return "undecided", "", f"times{what} are not decided in the form {claim.form}", race.attempts


def _label(race: Race, subject: Subject | None) -> str | None:
    scope = "attention" if race.alone else "network"
    return next((label for label, told in race.subjects.items() if subject and fits(subject, told, scope)), None)


def _exponent(claim: Claim, race: Race, label: str) -> Told:
    """By the fit over what ran between the claimed sizes, if the session's controls came out there as they must."""
    ends = sorted(claim.sizes, key=positions)[:: len(claim.sizes) - 1]
    lacking = [shown(size) for size in ends if (label, size) not in race.samples]
    if lacking:
        return "undecided", "", f"not timed at {', '.join(lacking)}", race.attempts
    grown = growths(race.cost.between(*map(positions, ends)))
    found = next((each for each in grown if (each.label, each.quantity) == (label, TIME)), None)
    if found is None or found.interval is None:
        return "undecided", "", "too few sizes were timed", race.attempts
    told = f"n^{fixed(found.exponent, 2)} ({fixed(found.interval.low, 2)} to {fixed(found.interval.high, 2)})"
    void = " ".join(doubts(grown, CONTROL_LABEL, race.reference))
    if void or found.caution:
        return "undecided", told, void or found.caution, race.attempts
    return _judged(claim, [found.interval], told, race)


def _ratio(claim: Claim, race: Race, own: str, other: str) -> Told | None:
    """By ratios of samples of the same round at every size, widened by the noise between passes."""
    samples = race.inside if claim.quantity == "attention_time" else race.samples
    pairs = [_pairs(claim, samples.get((own, size)), samples.get((other, size))) for size in claim.sizes]
    lacking = [shown(size) for size, each in zip(claim.sizes, pairs, strict=True) if each is None]
    if lacking:
        return "undecided", "", f"not timed side by side at {', '.join(lacking)}", race.attempts
    noise = floor(medians_of(each) for each in pairs if each is not None)
    if noise is None:
        return "undecided", "", "a single pass has no noise floor", race.attempts
    intervals = list(_widened(pairs, noise))
    low, high = min(each.low for each in intervals), max(each.high for each in intervals)
    return _judged(claim, intervals, f"{significant(low)} to {significant(high)}{TIMES}", race)


def _pairs(claim: Claim, own: pd.Series[float] | None, other: pd.Series[float] | None) -> pd.Series[float] | None:
    if own is None or other is None or claim.against is None:
        return None
    pairs = (own * claim.subject.times / (other * claim.against.times)).dropna()
    return pairs if len(pairs) else None


def _widened(pairs: list[pd.Series[float] | None], noise: float) -> Iterator[Interval]:
    for each in pairs:
        values: Floats = np.asarray(each, dtype=float)
        within = median_interval(values) or Interval(low=float(np.median(values)), high=float(np.median(values)))
        yield Interval(low=within.low / (1.0 + noise), high=within.high * (1.0 + noise))


def _judged(claim: Claim, intervals: list[Interval], told: str, race: Race) -> Told:
    if all(claim.holds(each.low) and claim.holds(each.high) for each in intervals):
        return "supported", told, "", race.attempts
    if any(claim.excludes(each.low, each.high) for each in intervals):
        return "contradicted", told, "", race.attempts
    return "undecided", told, "the interval lies across a bound", race.attempts
