"""Verdicts on quality: by means over whole test sets, scored as papers score, of networks that were trained as theirs.

A weights file is one network, so its mean over a set is what it is. What is trained here is one draw of many: only
several trainings say what the method comes to.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import special

from datasets.manifest import entry
from harness.records import METRICS
from reports.claims import Claim, Scoring, Subject, Word
from reports.evidence import Evidence, Scores, fits
from reports.pairs import Network, compare
from reports.significance import UPPER
from reports.stats import Interval
from reports.tables import TIMES, bounds, fixed, signed
from reports.time_verdicts import Told

TRAINING_SET, BATCH, PATCH = "DIV2K-train", 16, 48
"""What all papers here train on, and the least batch and patch (in low-resolution pixels) that they use."""
SINGLE = "what another seed would give is not known"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _OnSet:
    """What was found on one test set: the interval and how it is told; or, without an interval, why there is none."""

    name: str
    told: str = ""
    interval: Interval | None = None
    reason: str = ""
    used: tuple[Scores, ...] = ()

    def word(self, claim: Claim) -> Word:
        """What it says of `claim`."""
        if self.interval is None:
            return "undecided"
        if claim.excludes(self.interval.low, self.interval.high):
            return "contradicted"
        within = claim.holds(self.interval.low) and claim.holds(self.interval.high)
        return "supported" if within else "undecided"


def scored(claim: Claim, evidence: Evidence) -> Told:
    """The verdict on a claim about quality: one set outside contradicts it, only all of them support it."""
    assert claim.scoring is not None
    sets = [_on_set(claim, claim.scoring, evidence, name) for name in claim.scoring.data]
    words = [each.word(claim) for each in sets]
    attempts = tuple(dict.fromkeys(attempt for each in sets for scores in each.used for attempt in scores.attempts))
    word: Word = next((w for w in ("contradicted", "undecided") if w in words), "supported")
    return word, _found(claim, sets), _reason(word, words, sets), attempts


def _found(claim: Claim, sets: list[_OnSet]) -> str:
    told = ", ".join(f"{each.name} {each.told}" for each in sets if each.told)
    if not told:
        return ""
    of = dict.fromkeys(_network(scores) for each in sets for scores in each.used)
    unit = " dB" if claim.quantity == "psnr_y" else ""
    return f"{told}{unit}; {', '.join(of)}"


def _network(scores: Scores) -> str:
    seeds = round(scores.quality.score(scores.label, "seeds"))
    trained = f"{scores.label}, {seeds} training{'s' if seeds > 1 else ''}"
    return scores.weights or (trained if scores.train else scores.label)


def _reason(word: Word, words: list[Word], sets: list[_OnSet]) -> str:
    """Where a claim that fails on some sets only fails; or what keeps each set from deciding."""
    here = [each for each, own in zip(sets, words, strict=True) if own == word]
    if word == "contradicted" and len(here) < len(sets):
        return f"not on {', '.join(each.name for each in here)}"
    if word != "undecided":
        return ""
    why: dict[str, list[str]] = {}
    for each in here:
        why.setdefault(each.reason or "the interval lies across a bound", []).append(each.name)
    return "; ".join(f"{reason} ({', '.join(names)})" for reason, names in why.items())


def _on_set(claim: Claim, scoring: Scoring, evidence: Evidence, name: str) -> _OnSet:
    """By the first scores that may decide: of weights files before trainings, of the newest run first."""
    subjects = [claim.subject, *([claim.against] if claim.against else [])]
    found = [list(_fitting(claim, scoring, evidence, subject, name)) for subject in subjects]
    for subject, scores in zip(subjects, found, strict=True):
        if not scores:
            return _OnSet(name=name, reason=_lacking(claim, scoring, subject))
    if claim.form == "value":
        return _value(claim, name, found[0][0])
    pairs = ((a, b) for a in found[0] for b in found[1] if a.quality.comparable == b.quality.comparable)
    pair = next(pairs, None)
    return _gain(name, *pair) if pair else _OnSet(name=name, reason="not scored under the same protocol")


def _lacking(claim: Claim, scoring: Scoring, subject: Subject) -> str:
    how = f"{TIMES}{claim.way.scale}" + (f" by {scoring.tiling}" if scoring.tiling != "whole" else "")
    return f"no scores of {subject} at {how} with a weights file or {fixed(scoring.least_steps, 0)} steps here"


def _fitting(claim: Claim, scoring: Scoring, evidence: Evidence, subject: Subject, name: str) -> Iterator[Scores]:
    held = sorted(evidence.scored, key=lambda scores: scores.train is not None)
    for scores in held:
        quality = scores.quality
        placed = (quality.dataset, quality.scale) == (name, claim.way.scale) and _whole(scores)
        if placed and fits(subject, scores.told, "network") and _as_papers(claim, scoring, scores):
            yield scores


def _whole(scores: Scores) -> bool:
    """Whether every image of the set was scored: a mean over fewer is another mean."""
    asked = entry(scores.quality.dataset)
    return scores.quality.complete(scores.label) and len(scores.quality.images) == (asked.count or len(asked.images))


def _as_papers(claim: Claim, scoring: Scoring, scores: Scores) -> bool:
    """Whether it is the protocol of papers' tables, and a network from a file or trained as long as theirs."""
    quality, protocol = scores.quality, scores.protocol
    plain = protocol.get("degradation", "bicubic") == "bicubic" and not protocol.get("self_ensemble")
    asked = (quality.tiling, quality.precision) == (scoring.tiling, claim.way.precision)
    return plain and asked and (scores.train is None or _long(scoring, scores))


def _long(scoring: Scoring, scores: Scores) -> bool:
    train = scores.train or {}
    same = (train["data"], train.get("degradation", "bicubic")) == (TRAINING_SET, "bicubic")
    return same and train["steps"] >= scoring.least_steps and train["batch"] >= BATCH and train["patch"] >= PATCH


def _value(claim: Claim, name: str, scores: Scores) -> _OnSet:
    """The mean; of several trainings with Student's interval over them, `mean ± t s / sqrt(k)`."""
    mean, seeds = (scores.quality.score(scores.label, column) for column in (claim.quantity, "seeds"))
    digits = METRICS[claim.quantity].digits + 1
    if scores.train is None:
        interval = Interval(low=mean, high=mean)
        return _OnSet(name=name, told=fixed(mean, digits), interval=interval, used=(scores,))
    if seeds == 1:
        return _OnSet(name=name, told=fixed(mean, digits), reason=f"one training: {SINGLE}", used=(scores,))
    spread = scores.quality.score(scores.label, f"{claim.quantity}_seeds")
    half = float(special.stdtrit(seeds - 1, UPPER)) * spread / math.sqrt(seeds)
    interval = Interval(low=mean - half, high=mean + half)
    told = f"{fixed(mean, digits)} ({bounds(interval, digits=digits)})"
    return _OnSet(name=name, told=told, interval=interval, used=(scores,))


def _gain(name: str, own: Scores, other: Scores) -> _OnSet:
    """The mean of differences by image with the interval of the page's pairs: over images, and seeds if trained."""
    first = own.quality.by_seed.loc[:, [own.label]]
    second = other.quality.by_seed.loc[:, [other.label]].reindex(first.index)
    found = compare(_as_network(own.label, first), _as_network(other.label, second))
    single = [s.label for s in (own, other) if s.train is not None and s.quality.score(s.label, "seeds") == 1]
    digits = METRICS["psnr_y"].digits + 1
    told = signed(found.difference, digits) + (f" ({bounds(found.interval, digits=digits)})" if found.interval else "")
    reason = f"one training of {' and of '.join(single)}: {SINGLE}" if single else found.reason
    kept = found.interval if not reason else None
    return _OnSet(
        name=name, told="" if math.isnan(found.difference) else told, interval=kept, reason=reason, used=(own, other)
    )


def _as_network(label: str, by_seed: pd.DataFrame) -> Network:
    scores = by_seed.to_numpy(float)
    return Network(label=label, scores=scores, complete=not bool(np.isnan(scores).any()))
