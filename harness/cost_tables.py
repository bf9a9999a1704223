"""The tables of a cost report on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.cost_report import CostReport
from harness.grid_tables import height_width
from harness.profile.cost import sizes_of

PREFIXES = ("", "k", "M", "G", "T", "P", "E")
STEP = 1000


def tables(report: CostReport) -> Group:
    """Headline, figures, modules, audit, and why the result should not be believed."""
    marks = [Text(f"MARKED: {mark}", style="bold red") for mark in report.marks]
    parts: list[RenderableType] = [Text(_headline(report), style="bold"), _figures(report), _modules(report)]
    return Group(*parts, _audit(report), *([_frontier(report)] if report.frontier else []), *marks)


def _frontier(report: CostReport) -> Table:
    table = Table("memory", "largest square", title="Weights and activations of one image, one forward")
    for memory, side in report.frontier.items():
        table.add_row(f"{memory:g} GB", f"{side} x {side}" if side else "none")
    return table


def short(value: float, unit: str = "") -> str:
    """Four digits and a decimal prefix: `"1.234 T"`."""
    amount, place = float(value), 0
    while abs(amount) >= STEP and place < len(PREFIXES) - 1:
        amount, place = amount / STEP, place + 1
    number = f"{amount:.0f}" if not place else f"{amount:.4g}"
    return f"{number} {PREFIXES[place]}{unit}".strip()


def _headline(report: CostReport) -> str:
    asked = report.asked
    height, width = height_width(asked.size)
    if asked.alone:
        return f"{asked.method}: one attention, features {height} x {width} (height x width), {asked.precision}"
    out = f"{asked.scale * height} x {asked.scale * width}"
    return f"{asked.method} x{asked.scale}: {height} x {width} to {out} (height x width), {asked.precision}"


def _figures(report: CostReport) -> Table:
    table = Table("figure", "value", "exactly")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, value, unit in _numbers(report):
        table.add_row(name, *((short(value, unit), f"{value:,.0f}") if isinstance(value, int | float) else (value, "")))
    return table


def _numbers(report: CostReport) -> Iterator[tuple[str, float | str, str]]:
    found, sizes = report.counted, sizes_of(report.counted.network)
    yield "parameters", sizes["parameters"], ""
    yield "weights", sizes["weight_bytes"], "B"
    yield "MACs", found.macs, ""
    yield "MACs by fvcore", report.second.value if report.second.value is not None else str(report.second.reason), ""
    yield "MACs in attention", found.attention_macs, ""
    if report.formula_macs is None:
        yield "its closed formula", "nobody has written it", ""
    else:
        yield "its closed formula", report.formula_macs, ""
        yield "counted minus formula", found.attention_macs - report.formula_macs, ""
    yield "peak of activations", found.peak_bytes, "B"
    yield "matrix products not counted", found.uncounted_products, ""


def _modules(report: CostReport) -> Table:
    table = Table("module", "MACs", "share", "parameters", title="By module")
    for column in table.columns[1:]:
        column.justify = "right"
    whole = report.counted.macs or 1
    for line in report.lines:
        name = f"  {line.name}" if line.inside else line.name
        table.add_row(name, short(line.macs), f"{line.macs / whole:.1%}", f"{line.parameters:,}")
    return table


def _audit(report: CostReport) -> Table:
    title = "Operations without multiply-adds, most bytes first (each distinct element read or written once a call)"
    table = Table("operation", "calls", "elements written", "bytes", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in report.counted.uncounted:
        name = f"{row.operation} NOT COUNTED" if row.product else row.operation
        table.add_row(name, f"{row.calls:,}", short(row.elements), short(row.moved_bytes, "B"))
    return table
