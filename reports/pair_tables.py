"""What tables say of comparisons: the distance to the best network, and all pairs with what the test can tell."""

from __future__ import annotations

import math
from typing import get_args

from reports.pairs import ALIKE_DB, Comparison, Pairs, Verdict
from reports.significance import least_p
from reports.tables import (
    DASH,
    PERCENT,
    Column,
    Entry,
    Row,
    Table,
    bounds,
    fixed,
    make_table,
    missing,
    number,
    signed,
    significant,
)

WORDS: dict[Verdict, str] = {
    "better": "first is better",
    "worse": "first is worse",
    "noise": "not told from zero",
    "alike": "alike on every image",
    "undecided": "undecided",
}
MARKS: dict[Verdict, str] = {"noise": "≈", "alike": "≈", "undecided": "?"}
"""After a difference on which nothing can be built."""

COLUMNS = (
    Column(key="difference", title="Difference", unit="dB"),
    Column(key="interval", title=f"95{PERCENT} interval", unit="dB"),
    Column(key="holm", title="p (Holm)"),
    Column(key="record", title="Wins/losses/ties"),
    Column(key="detectable", title="Minimum detectable effect", unit="dB"),
    Column(key="verdict", title="Verdict"),
)
LEAST_PRINTED = 0.001
ONE_SEED = "One training seed tells of a trained network, not of its method: another seed may turn it round."


def against_best(label: str, pairs: Pairs) -> Entry:
    """PSNR-Y of `label` minus that of the best network, marked where it is not told from zero."""
    pair = pairs.against_best(label)
    if pair is None:
        return missing("the best itself" if label == pairs.best else "not a network to compare")
    if math.isnan(pair.difference):
        return missing("both are infinite" if pair.reason == "infinite values" else pair.reason)
    return judged(-pair.difference, pair, pairs.family)


def judged(difference: float, pair: Comparison, family: int) -> Entry:
    """The `difference` of a pair, either way round, marked where nothing can be built on it."""
    doubt = WORDS[pair.verdict] if pair.verdict in MARKS else ""
    return Entry(
        text=_signed(difference),
        value=difference,
        note=explained(pair, family),
        mark=MARKS.get(pair.verdict, ""),
        doubt=doubt,
    )


def explained(pair: Comparison, family: int) -> str:
    """Why the verdict is what it is, in one line."""
    if pair.verdict == "alike":
        return WORDS["alike"]
    if pair.holm is None:
        return f"{WORDS['undecided']}: {pair.reason}"
    held = ", the interval holds 0" if pair.interval and pair.interval.holds(0.0) else ""
    test = f"Holm p {probability(pair.holm)} over {family} comparisons{held}"
    told = f"{WORDS['noise']} ({test})" if pair.verdict == "noise" else test
    return "; ".join(filter(None, (told, pair.caution)))


def probability(p: float) -> str:
    """A p-value to two digits."""
    return f"<{LEAST_PRINTED}" if p < LEAST_PRINTED else significant(p, 2)


def pairs_table(title: str, pairs: Pairs) -> Table | None:
    """All comparisons of one table, or None where there are none."""
    if not pairs.comparisons:
        return None
    rows = [_row(pair, pairs.family) for pair in pairs.comparisons]
    caption = f"{title}: networks in pairs, PSNR-Y of the first minus that of the second"
    notes = comparison_notes(pairs, "all pairs of networks on this page that could be tested, shown here or not")
    return make_table(caption, COLUMNS, rows, notes=notes, head="Pair")


def _row(pair: Comparison, family: int) -> Row:
    return Row(head=f"{pair.first} {DASH} {pair.second}", note=pair.caution, entries=comparison_entries(pair, family))


def comparison_entries(pair: Comparison, family: int) -> dict[str, Entry]:
    """The cells of `COLUMNS` for one comparison."""
    record = Entry(text=f"{pair.wins}/{pair.losses}/{pair.ties}", value=pair.wins - pair.losses)
    place = get_args(Verdict).index(pair.verdict)
    entries = {
        "difference": missing(pair.reason) if math.isnan(pair.difference) else _difference(pair),
        "record": record if pair.wins + pair.losses + pair.ties else missing(pair.reason),
        "verdict": Entry(text=WORDS[pair.verdict], value=place, note=explained(pair, family)),
    }
    return entries | _tested(pair)


def _tested(pair: Comparison) -> dict[str, Entry]:
    """What the test gives; seeds of networks that answer alike are not independent, so of those nothing."""
    if pair.verdict == "alike" or pair.interval is None:
        return dict.fromkeys(
            ("interval", "holm", "detectable"), missing(WORDS["alike"] if pair.verdict == "alike" else pair.reason)
        )
    interval = Entry(text=bounds(pair.interval, digits=2), value=pair.interval.low)
    return {"interval": interval, "holm": _holm(pair), "detectable": number(pair.detectable)}


def _difference(pair: Comparison) -> Entry:
    return Entry(text=_signed(pair.difference), value=pair.difference)


def _holm(pair: Comparison) -> Entry:
    if pair.holm is None or pair.wilcoxon is None:
        return missing(pair.reason)
    note = f"Wilcoxon over images, before Holm: {probability(pair.wilcoxon)}"
    return Entry(text=probability(pair.holm), value=pair.holm, note=note)


def _signed(difference: float) -> str:
    """With its sign, zero without that of a rounded negative number."""
    return signed(round(difference, 2) + 0.0)


def comparison_notes(pairs: Pairs, family: str) -> list[str]:
    """How the comparisons were tested, `family` being in words over which Holm's correction goes; what is undecided."""
    reasons = dict.fromkeys(c.reason for c in pairs.comparisons if c.reason and c.verdict == "undecided")
    undecided = [f"Undecided: {reason}." for reason in reasons]
    single = any(pair.caution for pair in pairs.comparisons)
    tests = [_tests(pairs, family)] if pairs.own else []
    return [_intervals(pairs), *tests, *undecided, *([ONE_SEED] if single else [])]


def _intervals(pairs: Pairs) -> str:
    several = any(max(pair.seeds) > 1 for pair in pairs.comparisons)
    drawn = "images and, where there are several, training seeds" if several else "images"
    return (
        f"Differences are paired by image; the interval resamples {drawn}; a tie is less than {fixed(ALIKE_DB, 3)} dB "
        f"apart. The minimum detectable effect is what one test at 5{PERCENT} finds in 80{PERCENT} of cases."
    )


def _tests(pairs: Pairs, family: str) -> str:
    several = any(max(pair.seeds) > 1 for pair in pairs.comparisons)
    seeds = ", with several seeds the greater of that and of Student's t over images and seeds," if several else ""
    least = probability(least_p(pairs.images))
    return (
        f"p is Wilcoxon's over {pairs.images} images ({least} at the least){seeds} after Holm over {pairs.family} "
        f"comparisons: {family}."
    )
