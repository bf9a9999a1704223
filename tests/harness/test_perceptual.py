"""LPIPS and DISTS: what the library is given, and every way in which it can be missing.

The library stands behind an optional extra, and its networks behind a download, so that stubs take its place here.
"""

from __future__ import annotations

import http.client
import importlib
import inspect
import pickle
import re
import sys
import urllib.error
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.errors import UserError
from harness.perceptual import LIBRARIES, PERCEPTUAL, available, perceptual

Image = NDArray[np.uint8]
INSTALL = "pip install -c constraints.txt '.[perceptual]'"
each = pytest.mark.parametrize("name", PERCEPTUAL)


class Network(nn.Module):
    """Records how it is made and called, and returns the mean of the first image, on the processor."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options
        self.dropout = nn.Dropout()
        self.weight = nn.Parameter(torch.zeros(()))
        self.calls: list[tuple[Tensor, Tensor]] = []
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        self.calls.append((x, y))
        self.modes.append((self.training or self.dropout.training, torch.is_grad_enabled()))
        return x.mean().cpu() if x.device.type != "meta" else torch.tensor(0.5)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Network]:
    """The stubs of both networks, by name, as soon as they are made."""
    found: dict[str, Network] = {}

    def maker(name: str) -> Callable[..., Network]:
        return lambda **options: found.setdefault(name, Network(**options))

    inject(monkeypatch, maker)
    return found


def inject(monkeypatch: pytest.MonkeyPatch, maker: Callable[[str], Any]) -> None:
    """Put stubs in place of the libraries; what `maker` returns for a name is its factory."""
    for library in LIBRARIES:
        module = ModuleType(library)
        module.__spec__ = ModuleSpec(library, None)
        monkeypatch.setitem(sys.modules, library, module)
    for name, distance in PERCEPTUAL.items():
        module = ModuleType(distance.module)
        setattr(module, distance.factory, maker(name))
        monkeypatch.setitem(sys.modules, distance.module, module)


def noise(*shape: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def as_given(image: Image) -> Tensor:
    return torch.tensor(image / 255, dtype=torch.float32).permute(2, 0, 1)[None]


def test_the_names_asked_for_are_computed_and_no_other(made: dict[str, Network]) -> None:
    sr = np.full((40, 40, 3), 51, dtype=np.uint8)
    assert perceptual(["dists"], "cpu")(sr, sr) == pytest.approx({"dists": 0.2})
    assert made.keys() == {"dists"}
    values = perceptual(["lpips", "dists"], "cpu")(sr, sr)
    assert values == pytest.approx({"lpips": 0.2, "dists": 0.2})
    assert list(map(type, values.values())) == [float, float]


@each
def test_images_are_given_as_one_batch_of_channels_between_0_and_1(name: str, made: dict[str, Network]) -> None:
    sr, hr = noise(40, 50, 3), noise(40, 50, 3, seed=1)
    perceptual([name], "cpu")(sr, hr)
    for given, image in zip(made[name].calls[0], (sr, hr), strict=True):
        assert given.dtype == torch.float32
        torch.testing.assert_close(given, as_given(image))
        assert (given.min(), given.max()) == (0, 1)


@each
def test_the_crop_is_left_out_on_each_side(name: str, made: dict[str, Network]) -> None:
    sr, hr = noise(40, 50, 3), noise(40, 50, 3, seed=1)
    perceptual([name], "cpu", crop=3)(sr, hr)
    for given, image in zip(made[name].calls[0], (sr, hr), strict=True):
        torch.testing.assert_close(given, as_given(image[3:-3, 3:-3]))


def test_images_may_be_read_only_and_views(made: dict[str, Network]) -> None:
    """As decoded files and patches are; torch warns of arrays that it may not write to."""
    sr = noise(40, 50, 3)
    sr.setflags(write=False)
    perceptual(["lpips"], "cpu")(sr, sr[::-1, ::-1])
    torch.testing.assert_close(made["lpips"].calls[0], (as_given(sr), as_given(sr[::-1, ::-1])))


@each
def test_networks_are_only_evaluated_and_made_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    networks: list[Network] = []

    def make(**options: Any) -> Network:
        networks.append(Network(**options))
        return networks[-1]

    inject(monkeypatch, lambda _: make)
    distances = perceptual([name], "cpu")
    for _ in range(3):
        distances(noise(40, 40, 3), noise(40, 40, 3))
    assert [network.modes for network in networks] == [[(False, False)] * 3]


@each
def test_networks_and_images_are_on_the_device(name: str, made: dict[str, Network]) -> None:
    assert perceptual([name], torch.device("meta"))(noise(40, 40, 3), noise(40, 40, 3)) == {name: 0.5}
    assert made[name].weight.is_meta
    assert [image.device.type for image in made[name].calls[0]] == ["meta", "meta"]


def test_lpips_is_that_of_tables_on_alexnet(made: dict[str, Network]) -> None:
    perceptual(PERCEPTUAL, "cpu")
    assert made["lpips"].options == {"net_type": "alex", "normalize": True}
    assert made["dists"].options == {}


@pytest.mark.skipif(available() is not None, reason="the extra `perceptual` is not installed")
@each
def test_the_library_takes_what_it_is_given(name: str) -> None:
    distance = PERCEPTUAL[name]
    try:
        factory = getattr(importlib.import_module(distance.module), distance.factory)
    except RuntimeError as error:
        pytest.skip(f"torchvision does not import beside this torch: {error}")
    inspect.signature(factory).bind(**distance.options)


def test_below_its_least_side_alexnet_has_nothing_to_pool() -> None:
    pool = nn.MaxPool2d(3, 2)
    layers = nn.Sequential(nn.Conv2d(3, 1, 11, 4, 2), pool, nn.Conv2d(1, 1, 5, padding=2), pool)
    least = PERCEPTUAL["lpips"].least
    assert layers(torch.zeros(1, 3, least, least)).shape[2:] == (1, 1)
    with pytest.raises(RuntimeError, match="too small"):
        layers(torch.zeros(1, 3, least - 1, least))


def test_below_its_least_side_dists_has_one_last_feature() -> None:
    pool = nn.Conv2d(1, 1, 3, stride=2, padding=1)
    layers = nn.Sequential(pool, pool, pool, pool)
    least = PERCEPTUAL["dists"].least
    assert [layers(torch.zeros(1, 1, side, side)).shape[-1] for side in (least - 1, least)] == [1, 2]


@pytest.mark.parametrize(
    ("names", "sr", "hr", "crop", "message"),
    [
        (["lpips"], (34, 50, 3), (34, 50, 3), 2, "LPIPS: crop 2 leaves less than 31 pixels of an image of (34, 50)"),
        (["dists"], (50, 16, 3), (50, 16, 3), 0, "DISTS: crop 0 leaves less than 17 pixels of an image of (50, 16)"),
        (["dists", "lpips"], (30, 30, 3), (30, 30, 3), 0, "LPIPS: crop 0 leaves less than 31 pixels"),
        (["lpips"], (40, 40, 3), (40, 41, 3), 0, "images differ in size: (40, 40, 3) against (40, 41, 3)"),
        (["lpips"], (40, 40), (40, 40), 0, "images are uint8 [h w 3], not uint8 of shape (40, 40)"),
        (["lpips"], (40, 40, 3), (40, 40, 3), -1, "crop -1 leaves less than"),
    ],
)
def test_what_cannot_be_compared_is_told(
    names: list[str], sr: tuple[int, ...], hr: tuple[int, ...], crop: int, message: str, made: dict[str, Network]
) -> None:
    distances = perceptual(names, "cpu", crop=crop)
    with pytest.raises(ValueError, match=re.escape(message)):
        distances(noise(*sr), noise(*hr))
    assert not any(network.calls for network in made.values())


def test_an_image_of_the_least_side_is_compared(made: dict[str, Network]) -> None:
    perceptual(["lpips", "dists"], "cpu", crop=2)(noise(35, 35, 3), noise(35, 35, 3))
    assert [network.calls[0][0].shape[-1] for network in made.values()] == [31, 31]


def test_an_unknown_distance_is_told_before_any_network_is_made(made: dict[str, Network]) -> None:
    with pytest.raises(UserError, match=re.escape("unknown perceptual distance 'lpip': did you mean 'lpips'? Allowed")):
        perceptual(["dists", "lpip"], "cpu")
    assert not made


@pytest.mark.parametrize("missing", [LIBRARIES, LIBRARIES[:1], LIBRARIES[1:]], ids=" and ".join)
@pytest.mark.usefixtures("made")
def test_a_missing_library_is_told_with_the_extra(missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for library in missing:
        monkeypatch.setitem(sys.modules, library, None)
    why = f"cannot be had without the extra `perceptual` (not installed: {', '.join(missing)}): {INSTALL}"
    assert available() == f"LPIPS and DISTS {why}"
    with pytest.raises(UserError, match=re.escape(f"LPIPS {why}")):
        perceptual(["lpips"], "cpu")


@pytest.mark.usefixtures("made")
def test_nothing_is_said_when_all_is_there() -> None:
    assert available() is None


@each
def test_a_library_that_does_not_import_is_told_but_not_by_looking_for_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in [module for module in sys.modules if module.split(".")[0] in LIBRARIES]:
        monkeypatch.delitem(sys.modules, module)
    for library in LIBRARIES:
        (tmp_path / library).mkdir()
        (tmp_path / library / "__init__.py").write_text("raise RuntimeError('operator nms does not exist\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    assert available() is None
    why = f"the extra `perceptual` (cannot be imported here: operator nms does not exist): {INSTALL}"
    with pytest.raises(UserError, match=re.escape(why)):
        perceptual([name], "cpu")


@each
def test_a_library_without_the_network_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inject(monkeypatch, lambda _: None)
    monkeypatch.delattr(sys.modules[PERCEPTUAL[name].module], PERCEPTUAL[name].factory)
    with pytest.raises(UserError, match=f"cannot be imported here: .*{PERCEPTUAL[name].factory}"):
        perceptual([name], "cpu")


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("Name or service not known"),
        TimeoutError("timed out\nsecond line"),
        RuntimeError('invalid hash value (expected "7be5be79", got "0")'),
        http.client.IncompleteRead(b"", 9),
        pickle.UnpicklingError("not a pickle"),
        EOFError(),
    ],
    ids=lambda error: type(error).__name__,
)
@each
def test_a_network_that_cannot_be_loaded_is_told_with_address_and_folder(
    name: str, error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(**_: Any) -> None:
        raise error

    inject(monkeypatch, lambda _: fail)
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    reason = str(error).partition("\n")[0] or "EOFError"
    where = f"download {PERCEPTUAL[name].weights} and put it into {tmp_path / 'hub' / 'checkpoints'}"
    message = f"{PERCEPTUAL[name].title} cannot load its network ({reason}): {where}"
    with pytest.raises(UserError, match=re.escape(message)):
        perceptual([name], "cpu")
