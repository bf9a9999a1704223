"""What a Ray task does on a node. Nothing heavy is imported before it is known that there is work."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.isolate import start_server

if TYPE_CHECKING:
    from harness.engines.baggage import Brought
    from harness.worker import Event

WORD = "seen-by-nodes"
"""A file in the cache with a word of this run: a node that reads it there sees the driver's folders."""


@dataclasses.dataclass(frozen=True)
class Arrived:
    """The cell has begun on the node of that id, in a process of that number there."""

    node: str
    process: int


@dataclasses.dataclass(frozen=True)
class Unseen:
    """The node does not see the driver's files, and nothing was packed for it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Luggage:
    """How a node knows whether it sees the driver's `cache` and files, and what it unpacks if not: parcels by name."""

    cache: Path
    word: str
    needed: Mapping[str, list[Path]]
    parcels: Mapping[str, Any] | None


if TYPE_CHECKING:
    Told = Brought | Event | Arrived | Unseen


def on_node(pickled: bytes, luggage: Luggage) -> Generator[Told]:
    """In the Ray task: carry out an errand where its files are seen, or where they are unpacked."""
    ray: Any = importlib.import_module("ray")
    # multiprocessing would run Ray's own main module in each process it starts, which imports all of Ray for nothing.
    vars(sys.modules["__main__"]).pop("__file__", None)
    start_server()
    yield Arrived(ray.get_runtime_context().get_node_id(), os.getpid())
    if _sees(luggage):
        yield from _carried_out(pickled)
    elif luggage.parcels is None:
        yield Unseen()
    else:
        yield from _from_luggage(pickled, luggage)


def _sees(luggage: Luggage) -> bool:
    try:
        word = (luggage.cache / WORD).read_text(encoding="ascii")
    except OSError:
        return False
    return word == luggage.word and all(file.is_file() for parcel in luggage.needed.values() for file in parcel)


def _carried_out(pickled: bytes) -> Generator[Told]:
    from harness.engines.node import carried_out  # noqa: PLC0415 - torch is imported while the fork server does, too

    yield from carried_out(pickle.loads(pickled))  # noqa: S301 - by our own driver


def _from_luggage(pickled: bytes, luggage: Luggage) -> Generator[Told]:
    from harness.engines import baggage  # noqa: PLC0415 - as above
    from harness.engines.node import Errand, carried_out  # noqa: PLC0415
    from harness.records import Outcome  # noqa: PLC0415

    ray: Any = importlib.import_module("ray")
    root, errand = folder(luggage.word), pickle.loads(pickled)  # noqa: S301 - by our own driver
    assert isinstance(errand, Errand)
    for name, parcel in (luggage.parcels or {}).items():
        if not baggage.seen({name: [baggage.moved(file, root) for file in luggage.needed[name]]}):
            baggage.unpack(ray.get(parcel), root)
    here = baggage.unpacked(errand, root)
    with contextlib.closing(carried_out(here)) as events:
        for event in events:
            if isinstance(event, Outcome):
                yield from baggage.returned(errand, here, event)
            yield event
    yield from baggage.log_of(errand, here)


def folder(word: str) -> Path:
    """Where a node unpacks files for the run of that word."""
    return Path(tempfile.gettempdir()) / f"nlbench-{word}"


def here() -> bool:
    """On a node: say that it is there."""
    return True


def remove(word: str) -> None:
    """On a node: remove what was unpacked there."""
    shutil.rmtree(folder(word), ignore_errors=True)
