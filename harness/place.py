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
            UserError: the device does not exist.
        """
        try:
            picked = machine.pick_device(device)
        except ValueError as error:
            raise UserError(str(error)) from error
        threads = threads or len(os.sched_getaffinity(0))
        return cls(out=out, store=store or str(out / STORE_FILE), device=picked, threads=threads)

    def make(self) -> None:
        """Make the output folder.

        Raises:
            UserError: it cannot be made.
        """
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {self.out}: {error.strerror}") from error

    @property
    def has_store(self) -> bool:
        """Whether there may be something in the store: a file that exists, or a database elsewhere."""
        return "://" in self.store or Path(self.store).is_file()

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
