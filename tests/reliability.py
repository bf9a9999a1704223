"""The table of faults in `docs/reliability.md`, from the tests that do them.

    python -m tests.reliability

A test that does a fault says so with a marker, `@pytest.mark.fault(area=…, what=…, how=…, kept=…)`, all in words: what
goes wrong, how the test does it, and what is kept or told. The table is read from the source of the tests, so it
holds nothing that no test does.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault that a test does: its `area`, in words `what` goes wrong, `how`, what is `kept`; and the `test`."""

    area: str
    what: str
    how: str
    kept: str
    test: str

    @property
    def row(self) -> str:
        """Of a Markdown table."""
        return f"| {self.what} | {self.how} | {self.kept} | `{self.test}` |"


def faults(folder: Path = ROOT / "tests") -> list[Fault]:
    """Every fault that tests in `folder` say they do, in the order of files and lines."""
    return [fault for file in sorted(folder.rglob("test_*.py")) for fault in _faults_of(file)]


def table(found: list[Fault]) -> str:
    """All faults as Markdown, a table for each area."""
    areas = dict.fromkeys(fault.area for fault in found)
    return "\n\n".join(_area(area, [fault.row for fault in found if fault.area == area]) for area in areas)


def page(text: str, found: list[Fault]) -> str:
    """The page `text` with the table of `found` in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{after}"


def _area(area: str, rows: list[str]) -> str:
    head = "| what goes wrong | how it is done | what is kept, what is told | test |\n|---|---|---|---|"
    return "\n".join([f"### {area}", "", head, *rows])


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
