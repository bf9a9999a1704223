"""The report: one run as one self-contained HTML page that asks nothing of the network."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from harness.store import Store
from reports.ablation import ablation_tables, compared_with_full
from reports.amdahl import amdahl_tables
from reports.attempts import KINDS, evidence, groups, led, linked, shown_of
from reports.attention import attention_maps, attention_tables
from reports.benchmarks import benchmark_tables
from reports.controls import controls
from reports.cost import Cost, cost_tables, costs
from reports.crossover_table import crossings, crossover_table, references
from reports.failures import failure_lines, failures, not_run
from reports.figures import quality_figures, training_figures
from reports.files import write_whole
from reports.frames import NOT_RUN, Frames, load
from reports.gallery import Beside, Embedded, pictured
from reports.growth_figures import growth_figures
from reports.harm import Harm, harm_maps, harm_tables, harms
from reports.headlines import Measured, headlines
from reports.long_tables import MOST_ROWS, shown_groups, shown_rows
from reports.machines import claims_tables, machine_names, on_machine
from reports.merged import measured_on
from reports.overview import overviews
from reports.pair_tables import pairs_table
from reports.pairs import Pairs, compared
from reports.palette import DARK, LIGHT, looks
from reports.provenance import provenance
from reports.published import published_table
from reports.quality import Quality, qualities
from reports.race import CONTROL_LABEL, Race, races
from reports.race_tables import further_tables, race_tables
from reports.regimes import local_table
from reports.roofline import ceilings, roofline_tables
from reports.roofline_figure import roofline_figure
from reports.scaling import Growth, growths, scaling_table
from reports.scores import quality_table
from reports.spread_figures import spread_figures
from reports.tables import TIMES
from reports.twins import compared_with_twins, twins_table
from reports.ways import ways_tables

TEMPLATES = Path(__file__).with_name("templates")
SCRIPTS = ("tables.js", "gallery.js")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """What a command line tells of a report: where it is, the headline sentences, what failed."""

    path: Path
    findings: tuple[str, ...]
    failures: tuple[str, ...]


def write_report(store: Store, run_id: str | None, path: Path) -> Summary:
    """Write the page of run `run_id`, or of the newest, to `path`; a reader never sees half a page there.

    Raises:
        UserError: there is no such run.
        UserError: the page cannot be written.
    """
    return write_page(load(store, run_id), path)


def write_page(frames: Frames, path: Path, *, beside: bool = False) -> Summary:
    """Write the page of `frames`, one run or several merged, to `path`; a reader never sees half a page there.

    Its pictures are in it, as many as have room, or all of them in a folder `beside` it.

    Raises:
        UserError: the page cannot be written.
    """
    content = pictured(frames, page_content(frames), Beside(path.parent, write_whole) if beside else Embedded())
    write_whole(path, rendered("page.html", content))
    said = tuple(finding.text for finding in content["findings"])
    return Summary(path=path, findings=said, failures=failure_lines(frames))


def page_content(frames: Frames) -> dict[str, Any]:
    """All that the templates show."""
    scored, profiled = qualities(frames), costs(frames)
    grown, pairs = [growths(cost) for cost in profiled], compared(scored)
    raced = races(frames)
    grown_raced = [growths(race.cost) for race in raced]
    look = looks(tuple(dict.fromkeys((*frames.labels, *(label for race in raced for label in race.labels)))))
    paired, index, claims = list(zip(scored, pairs, strict=True)), groups(frames), claims_tables(frames)
    with_twins = list(zip(scored, compared_with_twins(frames, scored), strict=True))
    with_full = compared_with_full(frames, scored)
    behind = {key: evidence(on_machine(frames, key)) for key in claims}
    harmed = harms(frames)
    measured = Measured(
        scored=paired,
        beside_twins=with_twins,
        costs=profiled,
        grown=grown,
        raced=raced,
        grown_raced=grown_raced,
        harms=harmed,
        claims=list(claims.values()),
    )
    content = {
        "run": frames.run,
        "findings": headlines(frames, measured),
        "counts": _counts(frames),
        "overview": overviews(frames, paired),
        "quality": [
            _quality_part(frames, q, p, profiled, f"q{i}", look)
            | {"twins": twins_table(q, beside, profiled), "ablations": ablation_tables(frames, q, profiled, varied)}
            for i, ((q, p), (_, beside), varied) in enumerate(zip(paired, with_twins, with_full, strict=True))
        ],
        "ways": ways_tables(frames, scored),
        "cost": [_cost_part(frames, c, g, f"c{i}", look) for i, (c, g) in enumerate(zip(profiled, grown, strict=True))],
        "race": [
            _race_part(frames, race, fits, f"a{i}", look)
            for i, (race, fits) in enumerate(zip(raced, grown_raced, strict=True))
        ],
        "claims": [led(table, behind[key]) for key, table in claims.items()],
        "evidence": [group for key, table in claims.items() for group in shown_of(table, behind[key])],
        "benchmarks": benchmark_tables(frames),
        "training": training_figures(frames, look, "t"),
        "harm": _harm(frames, harmed),
        "attention": {"tables": attention_tables(frames), "maps": attention_maps(frames)},
        "failures": failures(frames).to_dict("records"),
        "not_run": not_run(frames).to_dict("records"),
        "provenance": provenance(frames),
    }
    content |= {name: linked(content[name], kind, index) for name, kind in KINDS.items()}
    listed = shown_groups([content[name] for name in KINDS], index)
    left_out = sum(len(group.attempts) for group in index.values()) - sum(len(group.attempts) for group in listed)
    return content | {"attempts": listed, "attempts_left_out": left_out}


def _quality_part(
    frames: Frames, quality: Quality, pairs: Pairs, profiled: list[Cost], name: str, look: Any
) -> dict[str, Any]:
    return {
        "title": quality.title,
        "anchor": name,
        "table": quality_table(frames, quality, profiled, pairs),
        "pairs": pairs_table(quality.title, pairs),
        "published": published_table(frames, quality),
        "figures": [*quality_figures(quality, profiled, look, name), *spread_figures(frames, quality, look, name)],
    }


def _harm(frames: Frames, harmed: list[Harm]) -> dict[str, Any]:
    parts = [
        {"title": each.title, "anchor": f"h{i}", "tables": harm_tables(frames, each)} for i, each in enumerate(harmed)
    ]
    return {"parts": parts, "maps": harm_maps(frames)}


def _cost_part(frames: Frames, cost: Cost, grown: list[Growth], name: str, look: Any) -> dict[str, Any]:
    title = f"Scale {TIMES}{cost.scale}, precision {cost.precision}, on {_place(frames, cost)}"
    tables = cost_tables(measured_on(frames, cost.machine), cost)
    held = {"title": title, "anchor": name, "tables": tables, "amdahl": amdahl_tables(cost)}
    return held | _grown_part(cost, grown, references(frames, cost), look, name)


def _race_part(frames: Frames, race: Race, grown: list[Growth], name: str, look: Any) -> dict[str, Any]:
    cost = race.cost
    held = {
        "title": f"{race.title}, on {_place(frames, cost)}",
        "anchor": name,
        "tables": race_tables(frames, race),
        "further": further_tables(race),
        "controls": controls(grown, CONTROL_LABEL, race.reference) if race.alone else "",
        "amdahl": amdahl_tables(cost),
        "roofline": _roofline(frames, race, look, f"{name}-roof"),
    }
    return held | _grown_part(cost, grown, race.references, look, name)


def _roofline(frames: Frames, race: Race, look: Any, name: str) -> dict[str, Any]:
    roof = ceilings(frames, race)
    if roof is None:
        return {"tables": [], "figures": []}
    figure = roofline_figure(race, roof, look, name)
    return {"tables": roofline_tables(race, roof), "figures": [figure] if figure else []}


def _place(frames: Frames, cost: Cost) -> str:
    place, session = machine_names(frames)[cost.machine], frames.protocols[cost.comparable].get("session")
    return f"{place} ({session})" if session and not place.endswith(f"({session})") else place


def _grown_part(cost: Cost, grown: list[Growth], dense: Mapping[str, str], look: Any, name: str) -> dict[str, Any]:
    """`dense` is the label of dense attention by its backend."""
    others = [each for each in grown if each.label != CONTROL_LABEL]
    found = {backend: crossings(others, label) for backend, label in dense.items()}
    return {
        "scaling": scaling_table(cost, grown) if grown else None,
        "local": local_table(cost, grown),
        "crossover": crossover_table(cost, grown, found),
        "figures": growth_figures(cost, grown, found, look, name, frozenset(dense.values())),
    }


def _counts(frames: Frames) -> dict[str, int]:
    """Tasks that several cells share count once, as they are done once."""
    statuses: pd.Series[str] = frames.tasks.drop_duplicates("task_key")["status"]
    done, waiting = int((statuses == "done").sum()), int((statuses == NOT_RUN).sum())
    return {
        "cells": frames.tasks["cell_id"].nunique(),
        "tasks": len(statuses),
        "done": done,
        "failed": len(statuses) - done - waiting,
        "not_run": waiting,
    }


def rendered(template: str, content: dict[str, Any]) -> str:
    """A page of `content` in the look of the report: `template` gets its style, its script and its colours as well."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"powers": _powers, "shown": shown_rows}
    environment.globals["most_rows"] = MOST_ROWS
    script = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    series = {"light": LIGHT, "dark": DARK}
    return environment.get_template(template).render(script=script, digest=digest, series=series, **content)


def _powers(text: str) -> Markup:
    """Plain text with `n^2.00` as a power."""
    return Markup(re.sub(r"\bn\^([\d.]*\d)", r"n<sup>\1</sup>", str(escape(text))))  # noqa: S704 - escaped right here
