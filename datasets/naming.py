"""The error for a name that does not exist, as every torch-free module tells it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(asked: str, known: Iterable[str]) -> str:
    """What exists and which of it comes nearest to `asked`, in whatever case, as the end of an error message."""
    names = sorted(known)
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(asked.casefold(), folded, n=1)
    hint = f"did you mean {folded[near[0]]!r}? " if near else ""
    return f"{hint}Allowed: {', '.join(names) or 'nothing'}."
