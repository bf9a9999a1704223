"""Weights from files: safetensors, or released `.pt` files read without executing anything; strict, key by key."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from methods.fit import first_of, fit, misfits, shapes_of
from methods.trunks import RGB_MEAN

WRAPPERS = ("params_ema", "params", "state_dict", "model")
UPSAMPLER = "tail.0."
EXPANSION = 8
"""How many times its own size a file may be once it is read. PyTorch and safetensors store numbers as they are."""
NUMBERS = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
)
"""What the tensors of networks consist of."""
SHOWN = 60
"""Signs of a name that a message shows."""

State = Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where weights came from: file name, SHA-256 of the file, number of tensors; `fresh` keys it did not bring.

    `rgb_range` is the largest value of the images it was trained on: 255 for EDSR's own checkpoints, whose first and
    last convolutions are rescaled, so that the network computes the same on values from 0 to 1.
    """

    file: str
    sha256: str
    tensors: int
    fresh: tuple[str, ...] = ()
    rgb_range: int = 1


def load_weights(network: nn.Module, path: str | Path, *, new_upsampler: bool = False) -> Provenance:
    """Load `path` into `network`, every key and shape matched, or nothing at all.

    With `new_upsampler` the file may be of another scale, as the authors start x3 and x4 from x2: convolutions of the
    upsampler that the file does not have in this shape keep their initial values, everything else must match.

    Raises:
        ValueError: no such file, an unreadable or unsafe file, or keys and shapes that do not fit; the message names
            the network and settings that the file does fit.
    """
    path, own = Path(path), network.state_dict()
    found = _fitting(own, path, new_upsampler=new_upsampler)
    network.load_state_dict({**found.kept, **{key: own[key] for key in found.fresh}})
    known = Provenance(file=path.name, sha256=file_hash(path), tensors=len(found.kept))
    return dataclasses.replace(known, fresh=found.fresh, rgb_range=found.rgb_range)


def check_weights(network: nn.Module, path: str | Path, *, new_upsampler: bool = False) -> None:
    """Whether `load_weights` would load `path` into `network`, which may be without memory (device meta).

    Raises:
        ValueError: as `load_weights` does.
    """
    _fitting(network.state_dict(), Path(path), new_upsampler=new_upsampler)


class _Fitting(NamedTuple):
    """What a file brings a network, the keys that keep their initial values, and the range of its images."""

    kept: State
    fresh: tuple[str, ...]
    rgb_range: int


def _fitting(own: State, path: Path, *, new_upsampler: bool) -> _Fitting:
    state, rgb_range = _in_unit_range(read_state(path))
    fresh = _unfit_upsampler(own, state) if new_upsampler else ()
    kept = {key: tensor for key, tensor in state.items() if not (new_upsampler and _is_stale(key, own, fresh))}
    _check_fit({key: t for key, t in own.items() if key not in fresh}, kept, state, path)
    return _Fitting(kept, fresh, rgb_range)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by state-dict key, wrappers and `module.` prefixes removed.

    Nothing is made that is much larger than the file: a packed file that expands, and a tensor that claims more
    numbers than the file can hold, are refused.

    Raises:
        ValueError: no such file, one that cannot be read without executing code, or one that holds anything but dense
            tensors of plain numbers under printable names.
    """
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where a name is too long
        raise ValueError(f"no weights file at {path}")
    try:
        content: Any = load_file(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"cannot read weights from {path}: {reason}") from error
    state = _unwrap(content, path)
    _check_plain(state, path)
    return state


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

    _check_packing(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # of old formats, which concern who wrote the file
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError("it is damaged, or holds more than plain tensors and loading it would run code") from error
    except OSError:
        raise
    except Exception as error:  # a damaged file brings the unpickler to raise almost anything
        reason = str(error).partition("\n")[0] if isinstance(error, RuntimeError | ValueError) else ""
        raise ValueError(reason or f"it is damaged ({type(error).__name__})") from error


def _check_packing(path: Path) -> None:
    """Raise `ValueError` if a zip file, as `torch.save` writes them, would expand in memory."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ValueError(f"it is damaged ({error})") from error
    if unpacked > EXPANSION * (packed := path.stat().st_size):
        raise ValueError(f"its {packed:,} bytes would expand to {unpacked:,}; weights are stored as they are")


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    for _ in WRAPPERS:
        if isinstance(content, Mapping):
            content = next((content[w] for w in WRAPPERS if isinstance(content.get(w), Mapping)), content)
    if not isinstance(content, Mapping) or not all(isinstance(t, Tensor) for t in content.values()):
        raise ValueError(f"{path} holds no state dict: a table of tensors by name was expected")
    return {str(key).removeprefix("module."): tensor for key, tensor in content.items()}


def _check_plain(state: State, path: Path) -> None:
    """Raise `ValueError` unless each tensor is dense, of plain numbers, in the file, and has a printable name."""
    room = EXPANSION * path.stat().st_size
    for key, tensor in state.items():
        if not key.isprintable():
            raise ValueError(f"{path} holds a tensor called {key[:SHOWN]!r}: names are of printable signs")
        if fault := _fault(tensor, room):
            raise ValueError(f"cannot read weights from {path}: {key[:SHOWN]} {fault}")


def _fault(tensor: Tensor, room: int) -> str:
    """What makes a tensor unfit to be read as weights, if anything; `room` is how many bytes it may have at most."""
    if tensor.device.type != "cpu" or tensor.layout is not torch.strided or tensor.is_nested:
        return "is no dense tensor with values"
    if tensor.dtype not in NUMBERS:
        return f"is of {tensor.dtype}; weights are of {', '.join(str(each) for each in NUMBERS)}"
    claimed = tensor.numel() * tensor.element_size()
    return f"claims {claimed:,} bytes, more than the file can hold" if claimed > room else ""


def _in_unit_range(state: State) -> tuple[State, int]:
    """`state` as a network of images in [0, 1], and the range it was trained on.

    `f(x) = g(255 x) / 255` for a network `g` of images from 0 to 255: its head sees values 255 times as large, its
    last convolution gives them, and the mean colour between is the same colour in other units. In float32 at least:
    halves would be rounded once more.
    """
    mean = 255 * torch.tensor(RGB_MEAN)
    shift = state.get("sub_mean.bias")
    if shift is None or shift.shape != mean.shape or not torch.allclose(shift.float(), -mean, atol=0.1):
        return state, 1
    factors = {"head.0.weight": 255, "tail.1.weight": 1 / 255, "tail.1.bias": 1 / 255}
    factors |= {"sub_mean.bias": 1 / 255, "add_mean.bias": 1 / 255}
    return {key: _times(tensor, factors[key]) if key in factors else tensor for key, tensor in state.items()}, 255


def _times(tensor: Tensor, factor: float) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32)) * factor


def _unfit_upsampler(own: State, state: State) -> tuple[str, ...]:
    """Keys of the upsampler that `state` does not bring in the shape they have here."""
    return tuple(k for k in own if k.startswith(UPSAMPLER) and (k not in state or own[k].shape != state[k].shape))


def _is_stale(key: str, own: State, fresh: tuple[str, ...]) -> bool:
    """Whether `key` is of the file's own upsampler, without a place in this one."""
    return key.startswith(UPSAMPLER) and (key in fresh or key not in own)


def _check_fit(own: State, brought: State, state: State, path: Path) -> None:
    problems = misfits(shapes_of(own), shapes_of(brought))
    if problems:
        found = fit(state)
        advice = f"The file fits {found}" if found else "It fits no network of the catalogue"
        raise ValueError(f"{path} does not fit this network: {first_of(problems)}. {advice}")
