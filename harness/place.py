"""Where a run happens: its folder, its store, its device."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from harness import machine
from harness.cache import Cache
from harness.errors import UserError

STORE_FILE = "store.sqlite"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Output folder, store (a path or an SQLAlchemy URL), device and CPU threads."""

    out: Path
    store: str
    device: str
    threads: int

    @classmethod
    def of(cls, out: Path, store: str | None = None, device: str = "auto", threads: int | None = None) -> Place:
        """The place that command-line options name; the store is a file in the output folder unless named.

        Raises:
            UserError: the device does not exist, or the folder cannot be written.
        """
        try:
            out.mkdir(parents=True, exist_ok=True)
            picked = machine.pick_device(device)
        except (OSError, ValueError) as error:
            raise UserError(str(error)) from error
        threads = threads or len(os.sched_getaffinity(0))
        return cls(out=out, store=store or str(out / STORE_FILE), device=picked, threads=threads)

    @property
    def cache(self) -> Cache:
        """What is kept beside the store."""
        return Cache(self.out / "cache")

    @property
    def logs(self) -> Path:
        """Where the output of methods goes."""
        return self.out / "logs"

    @property
    def machine(self) -> dict[str, Any]:
        """The machine as times depend on it."""
        return machine.describe(self.device, self.threads)
