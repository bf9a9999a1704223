"""Method cards: one page for each network of the catalogue, made from its recipe and its `published.toml`.

`python -m methods.cards` writes them to `docs/methods/`.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jinja2
import torch

from methods.catalogue import NETWORKS, method
from methods.papers import file_of, paper
from methods.published import Method
from methods.trunks import TRUNKS

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "methods"
COMMAND = "python -m methods.cards"
INDEX = """\
# Methods

*This page and those it leads to are made by `{command}`; do not edit them.*

| method | attention | order | parameters at scale 2 | page |
|---|---|---|---:|---|
{rows}
"""


def pages() -> dict[str, str]:
    """Every page by its file name: a card for each network, and the index."""
    return {f"{name}.md": card(name) for name in NETWORKS} | {"README.md": index()}


def card(name: str) -> str:
    """The page of the network called `name`.

    Raises:
        ValueError: no such method, or nothing is known to be published about it.
    """
    published, source = published_method(name), file_of(name)
    return _template().render(
        name=name,
        title=published.title,
        command=COMMAND,
        source=source.relative_to(ROOT).as_posix() if source.is_relative_to(ROOT) else source.name,
        paper=paper(name),
        order=published.order,
        min_positions=published.min_positions,
        parameters=parameters(published),
        choices={"trunk": list(TRUNKS)} | choices_of(published.recipe),
    )


def index() -> str:
    """The table of all cards."""
    return INDEX.format(command=COMMAND, rows="\n".join(_row(name) for name in NETWORKS))


def published_method(name: str) -> Method:
    """The method called `name`.

    Raises:
        ValueError: no such method, or it is a plug-in without trunk and recipe.
    """
    found = method(name)
    if not isinstance(found, Method):
        raise ValueError(f"method {name!r} is a {type(found).__name__}: only a methods.published.Method has a card")  # noqa: TRY004 - the user's mistake
    return found


def parameters(published: Method) -> int:
    """Parameters of the network at scale 2 and released settings, frozen ones included; nothing is allocated."""
    with torch.device("meta"):
        return sum(p.numel() for p in published.build(2, {}).parameters())


def choices_of(spec: Any) -> dict[str, list[str]]:
    """What each choice in `spec` and in the specs nested in it can be, by the choice's name."""
    found: dict[str, list[str]] = {}
    for field in dataclasses.fields(spec) if dataclasses.is_dataclass(spec) else ():
        if "table" in field.metadata:
            found[field.name] = list(field.metadata["table"])
        found |= choices_of(getattr(spec, field.name))
    return found


def _row(name: str) -> str:
    published, attention = published_method(name), paper(name).attention or "none"
    return f"| {published.title} | {attention} | {published.order} | {parameters(published):,} | [{name}]({name}.md) |"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(  # noqa: S701 - Markdown, not HTML
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": lambda text: text.replace("|", "\\|"), "toml": json.dumps}
    return environment.get_template("card.md.jinja")


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
