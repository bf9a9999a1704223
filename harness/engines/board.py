"""What ranks tell each other between trainings, in the store of keys that they share."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from torch import distributed

from harness.errors import UserError
from harness.ranks import Rank, store_at

POLL_S = 0.2
"""How often a rank looks what others have told."""


class Board:
    """Words under keys; what was told first under a key stays.

    Raises:
        UserError: when made, and from every method: nobody keeps the keys, or no longer.
    """

    def __init__(self, rank: Rank) -> None:
        self._where = f"{rank.host}:{rank.port}"
        with self._reached():
            self._keys = store_at(rank.host, rank.port, "board", hosting=rank.hosting)

    def tell(self, key: str, **words: str | int) -> None:
        """For all ranks to read."""
        with self._reached():
            self._keys.compare_set(key, "", json.dumps(words))

    def told(self, key: str) -> dict[str, Any] | None:
        """What was told under `key`, if anything."""
        with self._reached():
            found: dict[str, Any] | None = json.loads(self._keys.get(key)) if self._keys.check([key]) else None
        return found

    def awaited(self, key: str, seconds: float) -> dict[str, Any] | None:
        """What is told under `key` before so many seconds have passed."""
        end = time.monotonic() + seconds
        while (found := self.told(key)) is None and time.monotonic() < end:
            time.sleep(POLL_S)
        return found

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except distributed.DistError as error:
            raise UserError(f"rank 0 or torchrun has ended: nothing answers at {self._where}") from error
