"""The pages of the documentation and the fenced blocks in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TUTORIAL, QUICK_START = DOCS / "adding-a-method.md", DOCS / "quick-start.md"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
LINKED = [*PAGES, ROOT / "CONTRIBUTING.md", *sorted((DOCS / "methods").glob("*.md"))]
FENCE = re.compile(
    r"(?P<marks>(?:^<!-- [^\n]* -->\n)*)^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
FILE = re.compile(r"<!-- file: (?P<name>[\w.-]+)(?:, continued)? -->")
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+) -->")
COMMAND = re.compile(r"<!-- command: (?P<name>\w+) -->")
OTHER_SHELLS = {"", "bash", "shell", "console", "zsh"}
"""Languages under which a command would not be found by these tests."""


class Block(NamedTuple):
    """A fenced block of a page, with the HTML comments that stand right above it."""

    page: Path
    marks: str
    language: str
    text: str

    @property
    def runs(self) -> bool:
        """Whether the tests here carry it out; another may be run by continuous integration, or say why it is not."""
        return self.language == "sh" and not (NOT_RUN.search(self.marks) or COMMAND.search(self.marks))

    @property
    def name(self) -> str:
        return f"{self.page.name}: {self.text.splitlines()[0]}"


def blocks_of(page: Path) -> list[Block]:
    return [Block(page, **found.groupdict()) for found in FENCE.finditer(page.read_text(encoding="utf-8"))]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
