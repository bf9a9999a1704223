"""The tables of faults in `docs/reliability.md`, from the tests that do them.

    python -m tests.reliability

A test that does a fault says so with a marker, `@pytest.mark.fault(area=…, what=…, how=…, kept=…)`, all in words: what
goes wrong, how the test does it, and what is kept or told. The tables are read from the source of the tests, so they
hold nothing that no test does.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
AREAS = (
    "Processes",
    "Training",
    "Training on several processes",
    "Cluster",
    "Disk",
    "Memory",
    "Store",
    "Files that are damaged",
    "Methods that misbehave",
    "Hostile input",
    "Reproducibility",
)
"""In the order of the page."""
HEAD = "| what goes wrong | how it is done | what is kept, what is told | test |\n|---|---|---|---|"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault that a test does: its `area`, in words `what` goes wrong, `how`, what is `kept`; and the `test`.

    Raises:
        ValueError: there is no such area, or a text is empty.
    """

    area: str
    what: str
    how: str
    kept: str
    test: str

    def __post_init__(self) -> None:
        if self.area not in AREAS:
            raise ValueError(f"{self.test}: no area {self.area!r}; there are {', '.join(AREAS)}")
        if empty := [name for name, text in dataclasses.asdict(self).items() if not text.strip()]:
            raise ValueError(f"{self.test}: nothing said of {', '.join(empty)}")

    @property
    def row(self) -> str:
        """Of a Markdown table."""
        file, _, name = self.test.partition("::")
        what = self.what[:1].upper() + self.what[1:]
        cells = [*(text.replace("|", "\\|") for text in (what, self.how, self.kept)), f"[{name}](../{file})"]
        return f"| {' | '.join(cells)} |"


def faults(folder: Path = ROOT / "tests") -> list[Fault]:
    """Every fault that tests in `folder` say they do, in the order of files and lines."""
    return [fault for file in sorted(folder.rglob("test_*.py")) for fault in _faults_of(file)]


def tables(found: Sequence[Fault]) -> str:
    """All faults as Markdown, a table for each area."""
    rows = {area: [fault.row for fault in found if fault.area == area] for area in AREAS}
    return "\n\n".join("\n".join([f"### {area}", "", HEAD, *own]) for area, own in rows.items() if own)


def page(text: str, found: Sequence[Fault]) -> str:
    """The page `text` with the tables of `found` in their place.

    Raises:
        ValueError: the page does not say where that is.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} lacks {BEGIN} or {END}")
    return f"{before}{begin}\n\n{tables(found)}\n\n{end}{after}"


def _faults_of(file: Path) -> Iterator[Fault]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            for told in filter(None, map(_told, node.decorator_list)):
                yield Fault(**told, test=f"{file.relative_to(ROOT).as_posix()}::{node.name}")


def _told(decorator: ast.expr) -> dict[str, str] | None:
    if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func) != "pytest.mark.fault":
        return None
    return {str(word.arg): str(ast.literal_eval(word.value)) for word in decorator.keywords}


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), faults()), encoding="utf-8")
