r"""Printed tables as LaTeX that needs one package, booktabs, and compiles with pdflatex.

A wide table is not scaled, which would give every table of a paper letters of its own size: heads stand in several
rows, type is one of the three small sizes, what is wider than a column spans both (`table*`, which in one column is
`table`), and words are set in paragraphs. A table larger than a page goes on in another one.
"""

from __future__ import annotations

import dataclasses
import math
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from reports.markup import POWER, Cell, cells, explanations, left, remarks, titles
from reports.names import slug
from reports.tables import Column, Rank, Row, Table

NEEDS = "\\usepackage{booktabs}"
SIGNS: Mapping[str, str] = {
    "\\": "\\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    **{sign: f"${sign}$" for sign in "<>|"},
    **{sign: f"{{{sign}}}" for sign in "[]*"},
    '"': "''",
    "`": "{`}",
    "−": "$-$",  # noqa: RUF001 - the sign that is printed
    "×": "$\\times$",  # noqa: RUF001 - the sign that is printed
    "–": "\\textendash{}",  # noqa: RUF001 - the sign that is printed
    "—": "\\textemdash{}",
    "\u202f": "\\,",
    "\u00a0": "~",
    "\u2019": "'",
    "∞": "$\\infty$",
    "°": "$^{\\circ}$",
    "±": "$\\pm$",
    "·": "$\\cdot$",
    "→": "$\\rightarrow$",
    "↑": "$\\uparrow$",
    "↓": "$\\downarrow$",
    "≈": "$\\approx$",
    "≤": "$\\leq$",
    "≥": "$\\geq$",
    "≠": "$\\neq$",
    "√": "$\\surd$",
    "…": "\\ldots{}",
    "ß": "\\ss{}",
    "ø": "\\o{}",
    "Ø": "\\O{}",
    "æ": "\\ae{}",
    "Æ": "\\AE{}",
    "ł": "\\l{}",
    "Ł": "\\L{}",
}
GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER (\w+)")
CAPITALS = frozenset({"Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"})
"""Greek ones that TeX has; the others look like Latin ones."""
ACCENTS: Mapping[str, str] = {
    "0300": "`",
    "0301": "'",
    "0302": "^",
    "0303": "~",
    "0304": "=",
    "0306": "u",
    "0307": ".",
    "0308": '"',
    "030A": "r",
    "030B": "H",
    "030C": "v",
    "0327": "c",
}
RAISED: Mapping[str, str] = {"<super>": "^", "<sub>": "_"}
RANKED: Mapping[Rank, str] = {"": "{}", "best": "\\textbf{{{}}}", "second": "\\underline{{{}}}"}

LONG = 32
"""An entry of more signs is set as a paragraph."""
BETWEEN = 2
"""Signs that the space between two columns takes."""
NARROW = 52
"""Signs in a column of a paper of two; what is wider spans both."""
SIZES = ((75.0, "small"), (95.0, "footnotesize"), (math.inf, "scriptsize"))
"""Type by the signs of a row that it lets stand side by side."""
PARAGRAPH = 14
"""Signs of a line of a paragraph at the least."""
WIDEST = 130
"""Signs of a row that fit the width of a page; what is wider goes on in another table."""
LEAST_SHARE, MOST_SHARE = 0.15, 0.92
"""Of the line that paragraphs take together; the rest is space between columns."""
MOST_LINES = 40
"""Of a table on one page."""


def latex(table: Table, label: str = "") -> str:
    """A table environment, or several where it is larger than a page; `label` is that of `label_of` unless given."""
    parts = [part for panel in _panels(table) for part in _pages(panel)]
    name = label or label_of(table)
    return "\n".join(_environment(table, part, name, i, len(parts)) for i, part in enumerate(parts))


def label_of(table: Table) -> str:
    """`tab:` and the words of the caption."""
    return f"tab:{slug(table.caption)}"


def escaped(text: str) -> str:
    """Text for LaTeX: special signs and those beyond ASCII as commands, powers of n raised."""
    parts = POWER.split(unicodedata.normalize("NFC", " ".join(re.split(r"[\n\r\t ]+", text))))
    return "".join(f"$n^{{{part}}}$" if i % 2 else _escaped(part) for i, part in enumerate(parts))


def comment(text: str) -> str:
    """A line that TeX skips: whatever would end a line is a space."""
    return f"% {' '.join(text.split())}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Columns:
    """How the columns of a table are set: which stand on the left, and how many signs each needs."""

    words: tuple[bool, ...]
    widths: tuple[int, ...]

    @classmethod
    def of(cls, table: Table) -> _Columns:
        """Those of `table`; a head needs its longest word only, as it stands in several rows."""
        columns = zip(titles(table), *cells(table), strict=True)
        widths = [
            max(*map(len, title.split()), *(len(cell.text) + len(cell.sign) for cell in own)) for title, *own in columns
        ]
        return cls(words=tuple(left(table)), widths=tuple(widths))

    @property
    def short(self) -> int:
        """Signs of a row in columns that are no paragraphs."""
        return sum(width + BETWEEN for width in self.widths if width <= LONG)

    @property
    def signs(self) -> int:
        """Signs of a row that stand side by side."""
        return self.short + sum(PARAGRAPH + BETWEEN for width in self.widths if width > LONG)

    @property
    def shares(self) -> list[float]:
        """Of the line that each paragraph takes, long ones more; 0 for what is none."""
        roots = [math.sqrt(width) if width > LONG else 0.0 for width in self.widths]
        together = max(LEAST_SHARE, MOST_SHARE - self.short / WIDEST)
        return [together * root / (sum(roots) or 1.0) for root in roots]

    @property
    def form(self) -> str:
        """The argument of `tabular`."""
        plain = ["l" if words else "r" for words in self.words]
        told = [f"p{{{share:.3f}\\linewidth}}" if share else own for share, own in zip(self.shares, plain, strict=True)]
        return "@{}" + "".join(told) + "@{}"

    @property
    def size(self) -> str:
        """The size of the type; paragraphs fill a page's width in the smallest."""
        if any(self.shares):
            return SIZES[-1][1]
        return next(size for most, size in SIZES if self.signs <= most)

    def lines(self, row: Sequence[Cell]) -> int:
        """Lines that a row takes."""
        return max(math.ceil(len(c.text) / (WIDEST * s)) if s else 1 for c, s in zip(row, self.shares, strict=True))


def _panels(table: Table) -> Iterator[Table]:
    """The table, or as many of about one width as it takes to show all columns, each with the heads of rows."""
    head, *widths = ((width if width <= LONG else PARAGRAPH) + BETWEEN for width in _Columns.of(table).widths)
    count = math.ceil(sum(widths) / (WIDEST - head))
    most = sum(widths) / (count or 1) + max(widths, default=0) / 2
    panel: list[Column] = []
    taken = 0
    for column, width in zip(table.columns, widths, strict=True):
        if panel and taken + width > min(most, WIDEST - head):
            yield dataclasses.replace(table, columns=tuple(panel))
            panel, taken = [], 0
        panel.append(column)
        taken += width
    yield dataclasses.replace(table, columns=tuple(panel))


def _pages(table: Table) -> Iterator[Table]:
    """The table, or as many as it takes to show all rows."""
    columns = _Columns.of(table)
    page: list[Row] = []
    taken = 0
    for row, own in zip(table.rows, cells(table), strict=True):
        if page and taken + columns.lines(own) > MOST_LINES:
            yield dataclasses.replace(table, rows=tuple(page))
            page, taken = [], 0
        page.append(row)
        taken += columns.lines(own)
    yield dataclasses.replace(table, rows=tuple(page))


def _environment(table: Table, part: Table, label: str, index: int, count: int) -> str:
    """One part of a table with its signs; what is to be said of all of it stands under the last."""
    columns = _Columns.of(part)
    name = "table*" if columns.signs > NARROW or any(columns.shares) else "table"
    caption = escaped(table.caption) + (f" ({index + 1} of {count})" if count > 1 else "")
    lines = [
        *([comment(f"protocol {table.protocol}")] if table.protocol else []),
        f"\\begin{{{name}}}[htbp]",
        "\\centering",
        f"\\caption{{{caption}}}",
        f"\\label{{{label}{f'-{index + 1}' if index else ''}}}",
        f"\\{columns.size}",
        "\\setlength{\\tabcolsep}{4pt}",
        "\\renewcommand{\\arraystretch}{1.1}",
        *_tabular(part, columns),
        *_under(remarks(table) if index + 1 == count else [], explanations(part)),
        f"\\end{{{name}}}",
    ]
    return "\n".join(lines) + "\n"


def _tabular(table: Table, columns: _Columns) -> list[str]:
    heads = _heads(table, columns)
    rows = [[_cell(*each) for each in zip(row, columns.shares, strict=True)] for row in cells(table)]
    lines = _aligned([*heads, *rows], "\\tabularnewline" if any(columns.shares) else "\\\\")
    begin = f"\\begin{{tabular}}{{{columns.form}}}"
    body = ["\\midrule", *lines[len(heads) :], "\\bottomrule"]
    return [begin, "\\toprule", *lines[: len(heads)], *body, "\\end{tabular}"]


def _aligned(rows: Sequence[Sequence[str]], end: str) -> list[str]:
    """Rows whose columns stand below each other in the file, so that one can be cut out of it by hand."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [" & ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + f" {end}" for row in rows]


def _heads(table: Table, columns: _Columns) -> list[tuple[str, ...]]:
    """The head in as many rows as keep titles from widening their columns, units in the last."""
    stacks = [_stacked(title, width) for title, width in zip(titles(table), columns.widths, strict=True)]
    most = max(map(len, stacks))
    return list(zip(*([""] * (most - len(stack)) + stack for stack in stacks), strict=True))


def _stacked(title: str, width: int) -> list[str]:
    name, bracket, unit = title.partition(" [")
    parts = [name, *([f"[{unit}"] if bracket else [])]
    return [escaped(line) for part in parts for line in textwrap.wrap(part, width, break_on_hyphens=False)]


def _cell(cell: Cell, share: float) -> str:
    sign = f"\\textsuperscript{{{cell.sign}}}" if cell.sign else ""
    return ("\\raggedright " if share else "") + RANKED[cell.rank].format(escaped(cell.text)) + sign


def _under(told: Sequence[str], signs: Sequence[tuple[str, str]]) -> list[str]:
    lines = [*map(escaped, told), *(f"\\textsuperscript{{{sign}}} {escaped(reason)}" for sign, reason in signs)]
    box = ["\\par\\smallskip", "\\begin{minipage}{\\linewidth}", "\\footnotesize\\raggedright"]
    return [*box, *(f"{line}\\par" for line in lines), "\\end{minipage}"] if lines else []


def _escaped(text: str) -> str:
    """Sign by sign; hyphens in a row would join to a dash."""
    return re.sub("-(?=-)", "-{}", "".join(map(_command, text)))


def _command(sign: str) -> str:
    """One sign; what TeX cannot print is told by its code point."""
    if sign in SIGNS or sign.isascii():
        return SIGNS.get(sign, sign if sign.isprintable() else "")
    kind, *parts = (unicodedata.decomposition(sign) or "none").split()
    told = "".join(_command(chr(int(part, 16))) for part in parts)
    if kind in RAISED:
        return f"${RAISED[kind]}{{{told.replace('$', '')}}}$"
    if parts and parts[-1] in ACCENTS:
        return f"\\{ACCENTS[parts[-1]]}{{{_command(chr(int(kind, 16)))}}}"
    if kind.startswith("<"):
        return told
    return _greek(sign) or ("" if unicodedata.category(sign).startswith("C") else f"{{[}}U+{ord(sign):04X}{{]}}")


def _greek(sign: str) -> str:
    """A Greek letter that TeX has, or nothing."""
    found = GREEK.fullmatch(unicodedata.name(sign, ""))
    if found is None:
        return ""
    name = found[2].lower().replace("lamda", "lambda")
    if found[1] == "CAPITAL":
        return f"$\\{name.capitalize()}$" if name.capitalize() in CAPITALS else ""
    return "" if name == "omicron" else f"$\\{name}$"
