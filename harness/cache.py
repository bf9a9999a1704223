"""What is kept between runs beside the store: decoded images, trained weights, checkpoints. All found by key.

A file is written beside its place and put there when all of it is on disk, so what is in place is whole unless the
disk has damaged it. Then it is set aside, which the log tells, and made again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import pickle
import platform
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from methods.weights import state_hash

HASH = "state_hash"
"""In the metadata of a file with weights: `methods.weights.state_hash` of them."""


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

    def sound_weights(self, key: str) -> Path:
        """The weights of the training `key`, after a look at every value.

        Raises:
            ValueError: they are damaged, and set aside now, so that the next run trains them again.
        """
        file = self.weights(key)
        if file.is_file() and (damage := _damage(file)):
            set_aside(file, damage)
            raise ValueError(f"its weights were damaged ({damage}) and are set aside: the next run trains them again")
        return file


def save_weights(state: Mapping[str, Tensor], file: Path) -> None:
    """Write weights so that the file is whole whenever it exists, and damage to it is seen."""
    with whole(file) as partial:
        save_file({name: t.contiguous() for name, t in state.items()}, partial, metadata={HASH: state_hash(state)})


def checkpoint_bytes(file: Path) -> bytes:
    """A checkpoint as it was written, every part of it checked; nothing if there is none.

    One that is damaged is set aside: a training that cannot go on begins anew.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return b""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            damage = (bad := parts.testzip()) and f"its part {bad} is not what was written"
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        damage = f"{type(error).__name__}: {error}"
    if damage:
        set_aside(file, damage)
    return b"" if damage else content


def state_of(checkpoint: bytes) -> dict[str, Any]:
    """The state in the bytes of a checkpoint, nothing in it run; nothing if they hold something else."""
    try:
        state = torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, ValueError, LookupError, TypeError, AttributeError, EOFError):
        return {}
    return state if isinstance(state, dict) else {}


def set_aside(file: Path, damage: str) -> None:
    """Rename a file that cannot be used, and say so in the log."""
    aside = file.with_name(f"{file.name}.damaged")
    with contextlib.suppress(FileNotFoundError):
        file.replace(aside)
    print(f"{file} cannot be used ({damage}); it is now {aside.name}", flush=True)  # noqa: T201 - this is a worker's log


@contextlib.contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A file to write that takes the place of `file` when all of it is on disk; after a failure nothing is left of it.

    What a process that was killed has left is removed by the next that writes the same file on the same machine.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    beginning = f"{file.stem}.{platform.node()}."
    for left in file.parent.glob(f"{beginning}*.part"):
        if not _runs(left.name.removeprefix(beginning).removesuffix(".part")):
            left.unlink(missing_ok=True)
    partial = file.with_name(f"{beginning}{os.getpid()}.part")
    try:
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _runs(process: str) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:
        return True
    return True


def _damage(file: Path) -> str | None:
    """What is wrong with a file of weights; files of earlier versions do not tell their hash."""
    try:
        with safe_open(file, framework="pt") as opened:
            told = (opened.metadata() or {}).get(HASH)
        found = state_hash(load_file(file))
    except SafetensorError as error:
        return str(error)
    return None if told in {None, found} else "their values are not those that were written"
