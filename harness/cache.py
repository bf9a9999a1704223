"""What is kept between runs beside the store: decoded images, trained weights, checkpoints. All found by key."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Cache:
    """A folder; deleting it loses time and nothing else."""

    folder: Path

    @property
    def images(self) -> Path:
        """Where decoded image sets lie."""
        return self.folder / "images"

    def weights(self, key: str) -> Path:
        """The weights that the training `key` ended with."""
        return self.folder / "weights" / f"{key}.safetensors"

    def last_good(self, key: str) -> Path:
        """The last good weights of a training that diverged."""
        return self.folder / "weights" / f"{key}.last-good.safetensors"

    def checkpoint(self, key: str) -> Path:
        """The state of an unfinished training."""
        return self.folder / "checkpoints" / f"{key}.pt"


def save_weights(state: Mapping[str, Tensor], file: Path) -> None:
    """Write weights so that the file is whole whenever it exists."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.part")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, partial)
    partial.replace(file)
