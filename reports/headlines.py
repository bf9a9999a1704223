"""All headline sentences of a page: those of every run, then of what only some runs have: races, twins, claims."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

from reports.cost import Cost
from reports.findings import Finding, Scored, findings, listed
from reports.frames import Frames
from reports.harm import Harm
from reports.pairs import Pairs
from reports.race import CONTROL_LABEL, Race
from reports.scaling import Growth
from reports.stats import Interval
from reports.tables import PERCENT, Table, fixed, shown, signed, significant

Grown = Sequence[Sequence[Growth]]
MOST_NAMED = 6
"""Claims that a sentence names."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What the sections of a page show: scores with their pairs, costs and races with their fits, twins, claims."""

    scored: Sequence[Scored]
    beside_twins: Sequence[Scored]
    costs: Sequence[Cost]
    grown: Grown
    raced: Sequence[Race]
    grown_raced: Grown
    harms: Sequence[Harm]
    claims: Sequence[Table]


def headlines(frames: Frames, found: Measured) -> tuple[Finding, ...]:
    """Sentences that a reader takes away; where no network was profiled, growth is that of what ran in turn."""
    quality, attention, growth = findings(frames, found.scored, found.costs, found.grown)
    if not growth.anchor:
        growth = _in_turn(findings(frames, (), (), found.grown_raced)[-1])
    further = (*_twins(found.beside_twins), *_races(found.raced), *_harms(found.harms), *_claims(found.claims))
    return (quality, attention, growth, *further)


def _in_turn(finding: Finding) -> Finding:
    """Its number counts races, not costs."""
    return dataclasses.replace(finding, anchor=finding.anchor.replace("c", "a"))


def _twins(beside_twins: Sequence[Scored]) -> Iterator[Finding]:
    """Of the first of the tables with most images: how many networks are better or worse than without attention."""
    told = [(i, quality, pairs) for i, (quality, pairs) in enumerate(beside_twins) if pairs.comparisons]
    if told:
        i, quality, pairs = max(told, key=lambda each: each[2].images)
        yield Finding(text=f"On {quality.title}, {_beside_none(pairs)}.", anchor=f"q{i}")


def _beside_none(pairs: Pairs) -> str:
    reason = next((pair.reason for pair in pairs.comparisons if pair.reason), "")
    if not pairs.own:
        return f"whether attention helps is undecided: {reason}"
    by_verdict = {word: [p.first for p in pairs.comparisons if p.verdict == word] for word in ("better", "worse")}
    counts = [f"{_named(labels)} {word}" for word, labels in by_verdict.items()]
    rest = len(pairs.comparisons) - sum(map(len, by_verdict.values()))
    known = [pair.difference for pair in pairs.comparisons if math.isfinite(pair.difference)]
    low, high = signed(min(known)), signed(max(known))
    return (
        f"of {len(pairs.comparisons)} networks with attention {listed(counts)} than the twin without, {rest} not told "
        f"from it or undecided; differences lie between {low} and {high} dB"
    )


def _named(labels: Sequence[str]) -> str:
    """Whose they are, or how many where they are many."""
    if not labels:
        return "none is"
    return (
        f"{listed(labels)} {'is' if len(labels) == 1 else 'are'}" if len(labels) <= MOST_NAMED else f"{len(labels)} are"
    )


def _races(raced: Sequence[Race]) -> Iterator[Finding]:
    """Of the first race of attentions that has dense attention to compare with."""
    told = ((i, _beside_dense(race)) for i, race in enumerate(raced) if race.alone)
    number, text = next(((i, text) for i, text in told if text), (0, ""))
    if text:
        yield Finding(text=text, anchor=f"a{number}")


def _beside_dense(race: Race) -> str:
    """Who is fastest and who is slowest at the largest size that dense attention ran at."""
    others = [label for label in race.labels if label not in {race.reference, CONTROL_LABEL}]
    for size in reversed(race.sizes):
        ratios = {label: found for label in others if (found := race.ratio(label, size))}
        if ratios:
            ordered = sorted(ratios, key=lambda label: ratios[label][0])
            told = [_ratio(label, *ratios[label]) for label in dict.fromkeys((ordered[0], ordered[-1]))]
            return f"In turn at {shown(size)} ({race.way}), {listed(told)} as long as {race.reference}."
    return ""


def _ratio(label: str, ratio: float, interval: Interval | None) -> str:
    told = f"{label} takes {significant(ratio)} times"
    if interval is None:
        return f"{told} (too few samples for an interval)"
    within = f"95{PERCENT} interval {significant(interval.low)} to {significant(interval.high)}"
    return f"{told} ({within}{', so undecided which is faster' if interval.holds(1.0) else ''})"


def _harms(harms: Sequence[Harm]) -> Iterator[Finding]:
    """Of the first set: the network whose attention helps most sub-pixels, with what it harms."""
    for i, harm in enumerate(harms[:1]):
        shares = {
            label: (helped, harmed)
            for label in harm.labels
            if harm.twins.get(label) != label
            and (helped := harm.figure(label, "helped_share")) is not None
            and (harmed := harm.figure(label, "harmed_share")) is not None
        }
        if shares:
            label = max(shares, key=lambda each: shares[each][0])
            nearer, further = (fixed(100.0 * share, 1) + PERCENT for share in shares[label])
            told = f"On {harm.title}, attention of {label} brings {nearer} of all sub-pixels nearer to the original "
            yield Finding(text=f"{told}and moves {further} further away, beside {harm.twins[label]}.", anchor=f"h{i}")


def _claims(claims: Sequence[Table]) -> Iterator[Finding]:
    """How many claims there are and which are contradicted; of further machines only what came out otherwise."""
    for i, table in enumerate(claims):
        wrong = [row.head for row in table.rows if row.entries["word"].text == "contradicted"]
        named = [*wrong[:MOST_NAMED], *([f"{len(wrong) - MOST_NAMED} more"] if len(wrong) > MOST_NAMED else [])]
        what = "Contradicted there, by figures of its own" if i else "Contradicted on this machine"
        told = f". {what}: {listed(named)}." if wrong else "."
        yield Finding(text=f"Of {table.caption}{told}", anchor="claims")
