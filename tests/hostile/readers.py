"""Everything that reads files from elsewhere, as fuzzing calls it: bytes in, a valid result or the documented error.

`tests/hostile` calls these with what hypothesis makes, `tests/fuzz` with what a coverage-guided fuzzer makes.
"""

from __future__ import annotations

import io
import itertools
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch._dynamo  # building a network imports it, which makes PyTorch's cache folder: no doing of a reader
from PIL import Image
from safetensors.torch import save
from torch import Tensor

import methods
from datasets.manifest import Entry, read_manifest
from datasets.sets import image_size, read_image
from datasets.unpack import unpack
from harness.errors import UserError
from harness.grid import Grid, read_grid
from methods.weights import read_state

GRID = b"""name = "mutated"
tasks = ["train", "evaluate"]
scale = [2, 3]
seeds = [0, 1]
[trunk]
n_feats = [8, 16]
[train]
steps = 3e1
milestones = [0.5, 0.75]
learning_rate = 1e-4
[evaluate]
data = "builtin-test"
tiling = ["whole", "tile:96+8"]
at = { chelsea = [3, 4] }
[profile]
sizes = ["24x24", "8x200"]
[[methods]]
name = "nlsn"
label = "one"
settings = { chunk_size = [8, 16], n_hashes = 4 }
[[exclude]]
method = "nlsn"
scale = 3
"""
MANIFEST = b"""[Own]
count = 3
numbers = [1, 3]
folders = ["Own/HR", "Own"]
page = "https://example.org/own"
into = "Own"
fetch = ["https://example.org/own{01..03}.png"]
[Both]
count = 3
union = ["Own"]
[inner]
source = "skimage"
window = 64
images = ["chelsea.png"]
"""
SIZES = {"n_feats": 4, "n_resblocks": 1}


def grid(content: bytes, folder: Path) -> Grid | str:
    """The grid that `content` is, or why it is none."""
    file = folder / "grid.toml"
    file.write_bytes(content)
    try:
        found = read_grid(file)
    except UserError as error:
        return told(error, file)
    assert found.size() <= 100_000
    assert all(cell.method for cell in itertools.islice(found.cells(), 20))
    return found


def manifest(content: bytes, folder: Path) -> dict[str, Entry] | str:
    """The manifest that `content` is, or why it is none."""
    file = folder / "manifest.toml"
    file.write_bytes(content)
    try:
        found = read_manifest(file)
    except ValueError as error:
        return told(error, file)
    for entry in found.values():
        assert all(address.startswith("http") for address in entry.addresses)
        assert all(".." not in Path(place).parts for place in (*entry.folders, entry.into, *entry.images))
    return found


def weights(content: bytes, folder: Path, name: str = "weights.pt") -> dict[str, Tensor] | str:
    """The tensors that `content` holds, after an attempt to load them into a network; or why it holds none."""
    file = folder / name
    file.write_bytes(content)
    try:
        found = read_state(file)
    except ValueError as error:
        return told(error, file)
    network = methods.build_network("edsr", 2, **SIZES)
    try:
        methods.load_weights(network, file)
    except ValueError as error:
        told(error, file)
    return found


def image(content: bytes, folder: Path, name: str = "image.png") -> np.ndarray | str:
    """The image that `content` is, or why it is none."""
    file = folder / name
    file.write_bytes(content)
    try:
        pixels = read_image(file)
    except ValueError as error:
        return told(error, file)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (*image_size(file), 3)
    return pixels


def archive(content: bytes, folder: Path) -> dict[str, str] | str:
    """The images that an archive holds, by name; or why it holds none."""
    file = folder / "archive"
    file.write_bytes(content)
    try:
        found = unpack(file, folder / "unpacked")
    except ValueError as error:
        return told(error, file)
    assert all((folder / "unpacked" / name).is_file() for name in found)
    return found


READERS: Mapping[str, Callable[[bytes, Path], object]] = {
    "grid": grid,
    "manifest": manifest,
    "weights": weights,
    "image": image,
    "archive": archive,
}


def told(error: ValueError, file: Path) -> str:
    """The message, after a look at it: it names the file, and can be shown on a terminal."""
    message = str(error)
    assert file.name in message
    assert message.replace("\n", "").isprintable(), repr(message)
    assert len(message) < 5000
    return message


def sound() -> dict[str, list[bytes]]:
    """Files that each reader takes."""
    state = dict(methods.build_network("edsr", 2, **SIZES).state_dict())
    saved, legacy, packed = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(state, saved)
    torch.save({"a": torch.ones(3)}, legacy, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("set/a.png", png())
        written.writestr("set/b.png", png()[:-1])
    return {
        "grid": [GRID],
        "manifest": [MANIFEST],
        "weights": [saved.getvalue(), legacy.getvalue(), save({"a": torch.ones(3)})],
        "image": [png(), png("P"), png(form="JPEG"), png(form="BMP"), png(form="TIFF")],
        "archive": [packed.getvalue()],
    }


def png(mode: str = "RGB", form: str = "PNG") -> bytes:
    """A small image."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, form)
    return stream.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, and which holds nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    chunks = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
