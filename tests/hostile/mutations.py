"""Bytes that were sound before something happened to them."""

from __future__ import annotations

from hypothesis import strategies as st

Change = tuple[str, int, bytes]


def mutated(sound: bytes) -> st.SearchStrategy[bytes]:
    """`sound` with some of its bytes flipped, replaced, removed, repeated or cut off."""
    kinds = st.sampled_from(["flip", "replace", "insert", "remove", "repeat", "cut"])
    change = st.tuples(kinds, st.integers(min_value=0, max_value=len(sound)), st.binary(min_size=1, max_size=8))
    return st.lists(change, min_size=1, max_size=4).map(lambda changes: changed(sound, changes))


def changed(content: bytes, changes: list[Change]) -> bytes:
    for kind, where, new in changes:
        at = min(where, len(content))
        before, after = content[:at], content[at:]
        if kind == "flip":
            content = before + bytes([after[0] ^ (new[0] or 1)]) + after[1:] if after else content
        elif kind == "replace":
            content = before + new + after[len(new) :]
        elif kind == "insert":
            content = before + new + after
        elif kind == "remove":
            content = before + after[new[0] :]
        elif kind == "repeat":
            content = before + before[-new[0] :] + after
        else:
            content = before
    return content
