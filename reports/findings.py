"""The headline sentences, each with the place of its evidence on the page. Nothing that the data does not carry."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from reports.cost import Cost, common_size
from reports.crossover_table import plain_and_fused
from reports.frames import Frames
from reports.pair_tables import probability
from reports.pairs import Comparison, Pairs
from reports.quality import Quality
from reports.scaling import Growth, attending
from reports.stats import Interval, ratio_interval
from reports.tables import PERCENT, TIMES, fixed, shown, significant

MOST_NAMED = 4
MOST_LISTED = 12
"""More methods that have something in common would fill a paragraph: the first `MOST_NAMED` stand for them."""

Scored = tuple[Quality, Pairs]
"""What one table holds, and the comparisons of its networks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """A sentence, and the anchor of what it rests on; empty where nothing was measured."""

    text: str
    anchor: str = ""


def findings(
    frames: Frames, scored: Sequence[Scored], costs: Sequence[Cost], grown: Sequence[Sequence[Growth]]
) -> tuple[Finding, ...]:
    """On quality, on what attention costs, on how that grows: the `grown` are the fits of each of `costs`."""
    return (_quality(scored), _attention(frames, costs), _growth(grown, costs))


def _quality(scored: Sequence[Scored]) -> Finding:
    """Of the first table that has a best network."""
    number = next((i for i, (_, pairs) in enumerate(scored) if pairs.best is not None), None)
    if number is None:
        return Finding(text="No network has been scored yet, so nothing can be said about quality.")
    return Finding(text=_best(*scored[number], scored), anchor=f"q{number}")


def _best(quality: Quality, pairs: Pairs, scored: Sequence[Scored]) -> str:
    best = pairs.best
    assert best is not None
    against = [pair for pair in pairs.comparisons if pair.first == best]
    alike = {best, *(pair.second for pair in against if pair.verdict == "alike")}
    equal = [label for label in quality.labels if label in alike]
    psnr, verb = fixed(quality.score(best, "psnr_y"), 2), "reaches" if len(equal) == 1 else "reach"
    sentence = f"On {quality.title}, {_few(equal)} {verb} the highest mean PSNR-Y of all networks: {psnr} dB"
    rivals = [label for label in quality.ranking if label not in alike]
    next_best = next((pair for pair in against if pair.second in rivals[:1]), None)
    return sentence + _over_baseline(quality, best) + _lead(next_best) + _elsewhere(best, scored)


def _over_baseline(quality: Quality, best: str) -> str:
    if quality.baseline is None or not quality.complete(quality.baseline):
        return ""
    gain, _ = quality.difference(best, quality.baseline)
    if gain != gain:  # noqa: PLR0124 - NaN: both are infinite
        return ""
    return f", {fixed(abs(gain), 2)} dB {'above' if gain >= 0 else 'below'} bicubic"


def _lead(pair: Comparison | None) -> str:
    """Whether the best can be told from the next, as the table of pairs says."""
    if pair is None:
        return "."
    if pair.interval is None:
        return f". Whether that is better than {pair.second} is undecided: {pair.reason}."
    over = "images and training seeds" if max(pair.seeds) > 1 else "images"
    told = f"; that is {fixed(pair.difference, 2)} dB ahead of {pair.second} "
    told += f"(95{PERCENT} interval over {over} {_range(pair.interval)}"
    told += ")" if pair.holm is None else f", Holm p {probability(pair.holm)})"
    if pair.verdict == "undecided":
        return f"{told}: undecided which is better, as {pair.reason}."
    if pair.verdict == "noise":
        return f"{told}: not told from zero, so undecided which is better."
    return f"{told}, but with {pair.caution} this says little about the methods." if pair.caution else f"{told}."


def _elsewhere(best: str, scored: Sequence[Scored]) -> str:
    contests = [pairs.best for _, pairs in scored if pairs.best is not None]
    if len(contests) == 1:
        return ""
    return f" {best} is best in {contests.count(best)} of {len(contests)} tables."


def _attention(frames: Frames, costs: Sequence[Cost]) -> Finding:
    """Of the first scale and machine whose attention was timed."""
    timed = ((i, c) for i, c in enumerate(costs) if "attention_s" in c.figures and attending(c))
    number, cost = next(timed, (0, None))
    size = common_size(cost, "attention_s") if cost else None
    if cost is None or size is None:
        nothing = "No attention has been timed at a common size, so nothing can be said about what it costs."
        return Finding(text=nothing)
    return Finding(text=_share(frames, cost, size), anchor=f"c{number}")


def _share(frames: Frames, cost: Cost, size: str) -> str:
    shares = {label: share for label in attending(cost) if (share := cost.share(label, size)) is not None}
    told = [f"{shares[label] * 100.0:.0f}{PERCENT} of {label}'s" for label in _extremes(shares)]
    sentence = f"At {shown(size)} ({TIMES}{cost.scale}{_on(cost)}) attention takes {listed(told)} forward time"
    doubt = [label for label in _extremes(shares) if cost.value(label, size, "converged") == 0.0]
    caution = f" (timing of {_few(doubt)} has not converged)" if doubt else ""
    return sentence + caution + _fusion(frames, cost)


def _fusion(frames: Frames, cost: Cost) -> str:
    pair = plain_and_fused(frames, cost)
    sizes = [s for s in cost.sizes if pair and all(("attention_s", label, s) in cost.samples for label in pair)]
    if pair is None or not sizes:
        return "."
    plain, fused = (cost.samples["attention_s", label, sizes[-1]] for label in pair)
    ratio, interval = _median_ratio(cost, pair, sizes[-1]), ratio_interval(plain, fused)
    told = f"; at {shown(sizes[-1])} plain attention ({pair[0]}) takes {significant(ratio)} times "
    told += f"as long as fused ({pair[1]}"
    if interval is None:
        return f"{told}): undecided, too few samples."
    told += f"; 95{PERCENT} interval {significant(interval.low)} to {significant(interval.high)})"
    return f"{told}: undecided which is faster." if interval.holds(1.0) else f"{told}."


def _median_ratio(cost: Cost, pair: tuple[str, str], size: str) -> float:
    plain, fused = (cost.value(label, size, "attention_s") for label in pair)
    assert plain is not None
    assert fused is not None
    return plain / fused


def _on(cost: Cost) -> str:
    """The machine, where there are several."""
    return f" on {cost.machine_name}" if cost.machine_name else ""


def _growth(grown: Sequence[Sequence[Growth]], costs: Sequence[Cost]) -> Finding:
    """Of the first scale and machine with fits."""
    fitted = ((i, list(each)) for i, each in enumerate(grown) if any(g.quantity == "attention_macs" for g in each))
    number, fits = next(fitted, (0, []))
    if not fits:
        nothing = "Attention has not been measured at two sizes, so nothing can be said about how its cost grows."
        return Finding(text=nothing)
    return Finding(text=_grows(fits, _on(costs[number]) if costs else ""), anchor=f"c{number}")


def _grows(fits: Sequence[Growth], where: str) -> str:
    low, high = min(g.n[0] for g in fits), max(g.n[-1] for g in fits)
    sentence = f"With n = h·w from {fixed(low, 0)} to {fixed(high, 0)}, attention's MACs grow as {_by_exponent(fits)}"
    times = [g for g in fits if g.quantity == "attention_s"]
    return f"{sentence}; its time{where} {_times(times)}." if times else f"{sentence}; its time was not measured."


def _times(times: Sequence[Growth]) -> str:
    """Exponents of those that carry one, and why the others do not."""
    decided = {g.label: g.exponent for g in times if not g.caution}
    chosen = _extremes(decided)
    told = [f"n^{g.exponent:.2f}{_within(g.interval)} in {g.label}" for g in times if g.label in chosen]
    doubts: dict[str, list[str]] = {}
    for g in times:
        if g.caution:
            doubts.setdefault(g.caution, []).append(g.label)
    open_questions = [f"undecided in {_few(labels)}: {reason}" for reason, labels in doubts.items()]
    return "; ".join(([f"as {listed(told)}"] if told else []) + open_questions)


def _by_exponent(fits: Sequence[Growth]) -> str:
    """Methods whose MACs grow alike, named together."""
    alike: dict[str, list[str]] = {}
    for g in fits:
        if g.quantity == "attention_macs":
            alike.setdefault(f"n^{g.exponent:.2f}", []).append(g.label)
    together = sum(map(len, alike.values()))
    return listed([f"{power} in {_few(labels, together)}" for power, labels in alike.items()])


def _extremes(values: Mapping[str, float]) -> list[str]:
    """All labels, or, where they are too many for a sentence, those of the least and the greatest value."""
    ordered = sorted(values, key=lambda label: values[label])
    return list(values) if len(values) <= MOST_NAMED else [ordered[0], ordered[-1]]


def _few(labels: Sequence[str], together: int = 0) -> str:
    """All labels, or the first and how many more where they, or all `together`, would fill a paragraph."""
    if max(len(labels), together) <= MOST_LISTED or len(labels) <= MOST_NAMED + 1:
        return listed(labels)
    return listed([*labels[:MOST_NAMED], f"{len(labels) - MOST_NAMED} others"])


def _within(interval: Interval | None) -> str:
    return f" ({_range(interval)})" if interval else ""


def _range(interval: Interval) -> str:
    return f"{fixed(interval.low, 2)} to {fixed(interval.high, 2)}"


def listed(parts: Sequence[str]) -> str:
    """With "and" before the last; with commas, or where a part has commas of its own, with semicolons."""
    if len(parts) == 1:
        return parts[0]
    between, last = ("; ", "; and ") if any("," in part for part in parts) else (", ", " and ")
    return between.join(parts[:-1]) + last + parts[-1]
