"""Long tables: a page shows the first rows of each and its best ones, and says how many; files hold them all.

Nobody reads five thousand rows, and a browser takes long over a page of a hundred thousand. Nothing is lost: the verb
`table` writes every row, `export` every record.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from reports.attempts import JOINT, Group
from reports.tables import Row, Table

MOST_ROWS = 1000
"""Of one table, of one group of attempts, of the cells: so many are shown."""
MOST_BEST = 100
"""Of a table so many more that are marked best or second: of thousands that print alike, all may be."""
MOST_ATTEMPTS = 5000
"""With more, a page lists those alone that rows which it shows rest on."""


def shown_rows(table: Table) -> tuple[Row, ...]:
    """The rows of `table` that a page shows, in their order: the first, and of the others some that are marked best."""
    marked = filter(_marked, table.rows[MOST_ROWS:])
    return (*table.rows[:MOST_ROWS], *itertools.islice(marked, MOST_BEST))


def shown_groups(content: Any, found: Mapping[tuple[str, str], Group]) -> list[Group]:
    """The attempts that a page of `content` lists: all, or of very many those that its rows lead to.

    With a label that a row leads to come its trainings, which no row leads to; what measures many at once stays.
    """
    if sum(len(group.attempts) for group in found.values()) <= MOST_ATTEMPTS:
        return list(found.values())
    anchors = {row.records for table in _tables(content) for row in shown_rows(table)}
    owners = {owner for (_, owner), group in found.items() if group.anchor in anchors}
    return [group for (kind, owner), group in found.items() if kind in JOINT or owner in owners]


def _marked(row: Row) -> bool:
    return any(entry.rank for entry in row.entries.values())


def _tables(content: Any) -> Iterator[Table]:
    """All tables in `content`, any nesting of it."""
    if isinstance(content, Table):
        yield content
    elif isinstance(content, Mapping | list | tuple):
        for part in content.values() if isinstance(content, Mapping) else content:
            yield from _tables(part)
