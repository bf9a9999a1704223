"""The error for a name that does not exist, as every torch-free module tells it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(asked: str, known: Iterable[str]) -> str:
    """What exists and which of it comes nearest to `asked`, as the end of an error message."""
    names = sorted(known)
    near = difflib.get_close_matches(asked, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}Allowed: {', '.join(names) or 'nothing'}."
