"""Weights from files: safetensors, or released `.pt` files read without executing anything; strict, key by key."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

WRAPPERS = ("params_ema", "params", "state_dict", "model")
SHOWN_KEYS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where weights came from: file name, SHA-256 of the file, number of tensors."""

    file: str
    sha256: str
    tensors: int


def load_weights(network: nn.Module, path: str | Path) -> Provenance:
    """Load `path` into `network`, every key and shape matched, or nothing at all.

    Raises:
        ValueError: no such file, an unreadable or unsafe file, or keys and shapes that do not fit.
    """
    path = Path(path)
    state = read_state(path)
    _check_fit(network, state, path)
    network.load_state_dict(dict(state))
    return Provenance(file=path.name, sha256=file_hash(path), tensors=len(state))


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by state-dict key, wrappers and `module.` prefixes removed.

    Raises:
        ValueError: no such file, or one that cannot be read without executing code.
    """
    if not path.is_file():
        raise ValueError(f"no weights file at {path}")
    try:
        content: Any = load_file(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except (safetensors.SafetensorError, RuntimeError, OSError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"cannot read weights from {path}: {reason}") from error
    return _unwrap(content, path)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def state_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over keys, types, shapes and values of a state dict, whatever file it came from."""
    digest = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read_pickle(path: Path) -> Any:
    """A `.pt` file under `weights_only`; whatever the unpickler raises on a bad file is told as a `ValueError`."""
    import pickle  # noqa: PLC0415 - for the name of the error; nothing is unpickled by it

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError("it is damaged, or holds more than plain tensors and loading it would run code") from error
    except (LookupError, AssertionError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f"it is damaged ({type(error).__name__})") from error


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    for _ in WRAPPERS:
        if isinstance(content, Mapping):
            content = next((content[w] for w in WRAPPERS if isinstance(content.get(w), Mapping)), content)
    if not isinstance(content, Mapping) or not all(isinstance(t, Tensor) for t in content.values()):
        raise ValueError(f"{path} holds no state dict: a table of tensors by name was expected")
    return {str(key).removeprefix("module."): tensor for key, tensor in content.items()}


def _check_fit(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    own = network.state_dict()
    shapes = {key: (tuple(own[key].shape), tuple(state[key].shape)) for key in own if key in state}
    problems = [f"missing {key} {tuple(own[key].shape)}" for key in own if key not in state]
    problems += [f"unexpected {key} {tuple(state[key].shape)}" for key in state if key not in own]
    problems += [
        f"{key} is {theirs} in the file, {ours} here" for key, (ours, theirs) in shapes.items() if ours != theirs
    ]
    if problems:
        more = f"; and {len(problems) - SHOWN_KEYS} more" if len(problems) > SHOWN_KEYS else ""
        raise ValueError(f"{path} does not fit this network: {'; '.join(problems[:SHOWN_KEYS])}{more}")
