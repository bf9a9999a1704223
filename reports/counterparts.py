"""Which network of one run is which of another: the same one, whatever it is called, or else what is called the same.

Labels tell the networks of one grid apart and grow with it, so that of a single NLSN is another beside a second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from harness.records import canonical

Spec = Mapping[str, Any]
Old = TypeVar("Old")
New = TypeVar("New")

OWN = ("method", "scale", "settings", "train")
FILES = ("weights", "start")
"""Known by their content."""
MOST_TOLD = 3


class Network(NamedTuple):
    """What a network is called, and what it is: method, scale, settings, training and files."""

    label: str
    known: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """Equal of two that are the same network, but for seeds."""
        return canonical(self.known)

    @property
    def called(self) -> tuple[str, Any]:
        """Its label, and the scale, which has no part in labels."""
        return self.label, self.known["scale"]


def network(label: str, spec: Spec) -> Network:
    """That of a cell or a contender which the store describes by `spec`."""
    known = {name: spec.get(name) for name in OWN}
    return Network(label, known | {name: (spec.get(name) or {}).get("sha256") for name in FILES})


def counterparts(before: Mapping[Old, Network], after: Mapping[New, Network]) -> dict[Old, New]:
    """For each of `before` which of `after` it is; of several that are the same network, the one of the same label."""
    same: dict[str, list[New]] = {}
    for key, each in after.items():
        same.setdefault(each.identity, []).append(key)
    found = {
        key: next((k for k in same[each.identity] if after[k].label == each.label), same[each.identity][0])
        for key, each in before.items()
        if each.identity in same
    }
    taken = set(found.values())
    called = {each.called: key for key, each in after.items() if key not in taken}
    return found | {k: called[each.called] for k, each in before.items() if k not in found and each.called in called}


def became(before: Network, after: Network) -> str:
    """In what `after` is another network, in words; empty if it is the same one."""
    was, now = _flat(before), _flat(after)
    changed = [name for name in dict.fromkeys([*was, *now]) if was.get(name) != now.get(name)]
    told = [f"other {name}" if name in FILES else f"{name} {was.get(name)} → {now.get(name)}" for name in changed]
    return ", ".join([*told[:MOST_TOLD], *(["…"] if len(told) > MOST_TOLD else [])])


def _flat(each: Network) -> dict[str, Any]:
    own = {name: each.known[name] for name in ("method", *FILES)}
    return own | dict(each.known["settings"] or {}) | {f"train.{k}": v for k, v in (each.known["train"] or {}).items()}
