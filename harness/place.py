"""Where a run happens: its folder, its store, its device."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import machine
from harness.cache import Cache
from harness.errors import UserError

STORE_FILE = "store.sqlite"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Output folder, store (a path or an SQLAlchemy URL), device and CPU threads of a cell.

    `node` describes a machine of a cluster where cells run, as `harness.machine.describe` does; None: they run here.
    """

    out: Path
    store: str
    device: str
    threads: int
    node: Mapping[str, Any] | None = None

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

    @classmethod
    def elsewhere(cls, out: Path, store: str | None, device: str, threads: int, node: Mapping[str, Any]) -> Place:
        """The place of a run whose cells run on machines like `node`, which have the device under that name."""
        return cls(out=out, store=store or str(out / STORE_FILE), device=device, threads=threads, node=node)

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

    @functools.cached_property
    def devices(self) -> tuple[str, ...]:
        """Where cells run at the same time: all GPUs like the first where any will do, else the device alone."""
        names = self._gpus
        alike = [f"cuda:{index}" for index, name in enumerate(names) if name == names[0]]
        return tuple(alike) if len(alike) > 1 else (self.device,)

    @property
    def left_out(self) -> dict[str, str]:
        """GPUs that any would have done, but are not like the first, with their names: times of both would mix."""
        names = self._gpus
        return {f"cuda:{index}": name for index, name in enumerate(names) if name != names[0]}

    @functools.cached_property
    def _gpus(self) -> list[str]:
        """The names of this machine's GPUs where any of them will do, by number."""
        return _gpu_names() if self.device == "cuda" and self.node is None else []

    @property
    def machine(self) -> dict[str, Any]:
        """The machine as times depend on it."""
        return dict(self.node) if self.node is not None else machine.describe(self.device, self.threads)


def _gpu_names() -> list[str]:
    import torch  # noqa: PLC0415 - plans and reports need no torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
