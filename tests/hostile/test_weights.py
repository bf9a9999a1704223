"""Weights files that lie about their size, expand, or hold what no network has. Those that run code: tests/methods."""

from __future__ import annotations

import collections
import contextlib
import io
import json
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from harness.errors import UserError
from harness.grid_tables import TrainBudget
from harness.load import load
from harness.train import Training
from methods import build_network, load_weights
from methods.weights import read_state
from tests.hostile.watch import nothing_outside
from tests.methods.test_weights import Hostile


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A file of safetensors with any header, and any claim of how long that is."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def bomb(file: Path) -> None:
    """A file as `torch.save` writes it, deflated: 64 MB of zeros in some ten kilobytes."""
    content = io.BytesIO()
    torch.save({"a": torch.zeros(1 << 24)}, content)
    with zipfile.ZipFile(content) as plain, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))


def of_several_disks(file: Path) -> None:
    """A file as `torch.save` writes it, which says that its directory lies on another disk."""
    content = io.BytesIO()
    torch.save({"a": torch.ones(3)}, content)
    parts = bytearray(content.getvalue())
    parts[parts.rindex(b"PK\x06\x07") + 16] = 9
    file.write_bytes(parts)


class Huge:
    """Unpickled, it asks for 100 TB."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (10**14,)


@pytest.mark.fault(
    area="Hostile input",
    what="a safetensors file whose header lies",
    how="a header of 2^60 and of 2^64 - 1 bytes, a tensor of 10^12 elements and of 2^62 x 4, offsets that overlap, "
    "leave a gap, run backwards or out of the file, JSON 100,000 deep, unknown types",
    kept="refused with the name of the file; nothing is loaded",
)
@pytest.mark.parametrize(
    "content",
    [
        safetensors(b"{}", length=2**60),
        safetensors(b"{}", length=2**64 - 1),
        safetensors({"a": tensor([10**12], 0, 4)}, b"1234"),
        safetensors({"a": tensor([2**62, 4], 0, 4)}, b"1234"),
        safetensors({"a": tensor([1], 0, 4), "b": tensor([1], 0, 4)}, b"1234"),
        safetensors({"a": tensor([1], 4, 8)}, b"12345678"),
        safetensors({"a": tensor([1], 4, 0)}, b"12345678"),
        safetensors({"a": tensor([1], 0, 4)}, b"12"),
        safetensors({"a": tensor([-1], 0, 4)}, b"1234"),
        safetensors({"a": tensor([1], 0, 4, "F1024")}, b"1234"),
        safetensors({"a": tensor([8], 0, 6, "F6_E2M3")}, b"123456"),
        safetensors({"a": tensor([1], 0, 8, "C64")}, b"12345678"),
        safetensors({"a\x1b[31m": tensor([1], 0, 4)}, b"1234"),
        safetensors(b'{"a":' * 100_000),
        safetensors(b"\xff\xfe"),
    ],
)
def test_a_lying_header_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(content)
    with nothing_outside(tmp_path), pytest.raises(ValueError, match=re.escape(str(file))) as mistake:
        read_state(file)
    assert str(mistake.value).isprintable()


@pytest.mark.fault(
    area="Hostile input",
    what="a `.pt` file that is a bomb, or holds what is no plain tensor",
    how="64 MB of zeros in a zip of kilobytes, one number seen as 10^12, a pickle that asks for 100 TB, tensors that "
    "are sparse, complex, quantized or without values, names of control signs",
    kept="refused with the name of the file, before memory is taken",
)
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (bomb, r"its [\d,]+ bytes would expand to 67,1\d\d,\d\d\d"),
        (lambda f: torch.save({"a": torch.ones(1).expand(10**12)}, f), "a claims 4,000,000,000,000 bytes, more than"),
        (lambda f: torch.save({"a": Huge()}, f), r"it is damaged \(MemoryError\)"),
        (lambda f: torch.save({"a": torch.eye(3).to_sparse()}, f), "a is no dense tensor with values"),
        (lambda f: torch.save({"a": torch.ones(3, device="meta")}, f), "a is no dense tensor with values"),
        (lambda f: torch.save({"a": torch.ones(3, dtype=torch.complex64)}, f), "a is of torch.complex64"),
        (lambda f: torch.save({"a": torch.ones(3).to(torch.float8_e5m2)}, f), "a is of torch.float8_e5m2"),
        (lambda f: torch.save({"a\x1b[2J\n": torch.ones(3)}, f), r"a tensor called 'a\\x1b\[2J\\n'"),
        (of_several_disks, r"it is damaged \(zipfiles that span multiple disks"),
        (lambda f: f.write_bytes(pickle.dumps({"a": 1}, protocol=4)), "it is damaged"),
        (lambda f: f.write_bytes(b"\x80\x02" + b"(" * 200_000 + b"."), "it is damaged"),
        (lambda f: torch.jit.ScriptModule().save(str(f)), "TorchScript archives"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_bombs_and_what_is_no_plain_tensor_are_refused(tmp_path: Path, make: Callable[[Path], None], told: str) -> None:
    file = tmp_path / "weights.pt"
    make(file)
    with nothing_outside(tmp_path), pytest.raises(ValueError, match=told) as mistake:
        read_state(file)
    assert str(file) in str(mistake.value)
    assert str(mistake.value).isprintable()


@pytest.mark.parametrize("shape", [(), (4,), (0, 3, 3, 3), (4, 3, 0, 3)])
@pytest.mark.parametrize("key", ["head.0.weight", "tail.0.0.weight"])
def test_shapes_that_no_network_has_fit_none(tmp_path: Path, key: str, shape: tuple[int, ...]) -> None:
    network = build_network("edsr", 2, n_feats=4, n_resblocks=1)
    file = tmp_path / "weights.safetensors"
    save_file({**network.state_dict(), key: torch.zeros(shape)}, file)
    with pytest.raises(ValueError, match="does not fit this network"):
        load_weights(network, file)
    with pytest.raises(UserError, match=r"fits no network|holds no network of this family"):
        load(file)


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "x" * 300 + ".pt", "a\0b", "loop"])
def test_what_is_no_weights_file_is_told(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ValueError, match=re.escape(f"no weights file at {tmp_path / name}")):
        load_weights(torch.nn.Identity(), tmp_path / name)


@pytest.mark.fault(
    area="Hostile input",
    what="a checkpoint of a training that would run code",
    how="a pickle that opens a file for writing, in the place of an unfinished training's state",
    kept="nothing is run, no step of it is taken up",
)
def test_a_hostile_checkpoint_is_not_executed(tmp_path: Path) -> None:
    training = Training(build_network("edsr", 2, n_feats=4, n_resblocks=1), TrainBudget(steps=2), "cpu")
    state = collections.OrderedDict({**training._state(), "step": Hostile(tmp_path / "executed")})
    torch.save(state, tmp_path / "state.pt")
    with nothing_outside(tmp_path), contextlib.suppress(pickle.UnpicklingError, ValueError):
        training.resume(tmp_path / "state.pt")
    assert not (tmp_path / "executed").exists()
    assert training.step == 0
