"""The reference of grids: every table and key with its values, its default and its meaning, made from the schema.

`python -m harness.grid_reference` writes it to `docs/grids.md`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.grid import MAX_CELLS, MAX_TASKS, Grid
from harness.grid_tables import TABLES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "grids.md"
COMMAND = "python -m harness.grid_reference"
Schema = Mapping[str, Any]

BEGINNING = f"""\
# Grids

*This page is made by `{COMMAND}` from the code that reads grids; do not edit it.*

A grid is a TOML file. A key that is not here, or a value out of range, ends the command before anything runs, with the
file, the key and the nearest match. Where a list may stand, each of its values is tried: lists multiply, up to
{MAX_CELLS:,} cells and {MAX_TASKS:,} tasks. Text is of printable signs, numbers are finite. Paths are relative to the
folder in which the command runs. The README has an example, `harness/grids/` has more. `python run_all.py plan GRID`
prints what a grid comes to. The [cards](methods/README.md) of the methods list their settings with the released values.
"""
HEADS = "| key | value | default | meaning |\n|---|---|---|---|"
KINDS = {"string": "text", "boolean": "`true` or `false`", "integer": "whole number", "number": "number"}
"""What a reader calls the types of the schema."""


def page() -> str:
    """The whole page."""
    own = Grid.model_json_schema()
    tables = [_section(name, own["properties"][name]) for name in own["properties"] if name in TABLES]
    return "\n".join([BEGINNING, "## Keys of the grid itself\n", *_rows(_flat(own)), "", *tables])


def _flat(schema: Schema) -> Iterator[tuple[str, Schema, bool]]:
    """The keys of a grid that are no tables with a section of their own."""
    yield from (
        (name, each, name in schema["required"]) for name, each in schema["properties"].items() if name not in TABLES
    )


def _section(name: str, place: Schema) -> str:
    """One table: its idea, and its keys."""
    table = TABLES[name]
    schema = table.model_json_schema()
    head = f"`[[{name}]]`" if place.get("type") == "array" else f"`[{name}]`"
    required = schema.get("required", ())
    keys = [(key, _sweeping(name, each), key in required) for key, each in schema["properties"].items()]
    return "\n".join([f"## {head}\n", f"{inspect.getdoc(table)}\n", *_rows(iter(keys)), ""])


def _sweeping(table: str, key: Schema) -> Schema:
    """Every key of `train` that is no list by nature may be one of alternatives."""
    return {**key, "swept": True} if table == "train" and key.get("type") != "array" else key


def _rows(keys: Iterator[tuple[str, Schema, bool]]) -> Iterator[str]:
    yield HEADS
    for name, key, required in keys:
        default = "required" if required else _default(key)
        cells = (f"`{name}`", _value(key), default, key.get("description", ""))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(key: Schema) -> str:
    """As TOML has it; a list of one value as that value."""
    value = key.get("default")
    if value in (None, [], {}):
        return "none"
    single = value[0] if key.get("sweeps") and len(value) == 1 else value
    return f"`{json.dumps(single)}`"


def _value(key: Schema) -> str:
    """What may stand there, in words."""
    if "anyOf" in key:
        return _any_of([each for each in key["anyOf"] if each.get("type") != "null"])
    if "enum" in key:
        told = ", ".join(f"`{json.dumps(each)}`" for each in key["enum"])
    elif key["type"] == "array":
        return _list(key)
    elif key["type"] == "object":
        return f"table of: {_value(key['additionalProperties'])}"
    else:
        told = KINDS[key["type"]] + _range(key)
    return f"{told}, or a list" if key.get("swept") else told


def _any_of(kinds: list[Schema]) -> str:
    """Alternatives; whole numbers are numbers too."""
    told = [_value(each) for each in kinds]
    return ", ".join(each for each in told if each != KINDS["integer"] or KINDS["number"] not in told)


def _list(key: Schema) -> str:
    if "prefixItems" in key:
        return f"list of {len(key['prefixItems'])}: {_value(key['prefixItems'][0])}"
    told = _value(key["items"])
    return f"{told}, or a list" if key.get("sweeps") else f"list of: {told}"


def _range(key: Schema) -> str:
    """The bounds of a number: `above` and `below` leave out the bound itself."""
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    told = [f"{word} {key[name]:g}" for name, word in words.items() if name in key]
    return f" {' and '.join(told)}" if told else ""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
