"""Architectures that the library spandrel recognises by their weights file: SwinIR, HAT, DAT, SPAN, OmniSR and more.

spandrel is an optional extra and needs torchvision, which does not import beside every build of torch; where either is
missing, the cell is skipped and says so. The file is read by `methods.weights`, which never runs code from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from methods.interface import RELEASED, UnavailableError
from methods.settings import Scalar, require_known
from methods.weights import read_state

RGB = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpandrelMethod:
    """A plug-in whose network is whatever its weights file holds; it has no settings and is not trained."""

    name: str = "spandrel"
    title: str = "Spandrel"
    trainable: bool = False
    execution: frozenset[str] = frozenset()

    def settings(self, chosen: Mapping[str, Scalar] = RELEASED) -> dict[str, Scalar]:
        """None at all.

        Raises:
            ValueError: a setting was chosen.
        """
        require_known("setting of spandrel", chosen, ())
        return {}

    def build(self, scale: int, settings: Mapping[str, Scalar]) -> nn.Module:  # noqa: ARG002 - there is no network yet
        """Always an error: there is no network without a file.

        Raises:
            ValueError: always.
        """
        raise ValueError("its network is read from a file: give one as weights")

    def open(self, scale: int, file: Path) -> nn.Module:
        """The network in `file`.

        Raises:
            ValueError: spandrel does not know it or cannot build it, it does not super-resolve RGB, or its scale is
                another.
            UnavailableError: spandrel or torchvision cannot be imported.
        """
        spandrel = _library()
        state = read_state(file)
        try:
            found = spandrel.ModelLoader(device="cpu").load_from_state_dict(state)
        except spandrel.UnsupportedModelError as error:
            raise ValueError(f"spandrel knows no architecture with the keys of {file.name}") from error
        except Exception as error:  # architectures read their sizes from shapes, which may be any
            reason = next(iter(str(error).splitlines()), "")
            raise ValueError(f"spandrel cannot build {file.name}: {type(error).__name__}: {reason}") from error
        _check(found, scale, file)
        return SpandrelNetwork(found)


class SpandrelNetwork(nn.Module):
    """A network as spandrel runs it: any size, padded where the architecture wants a multiple of its window."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.network, self.found = found.model, found

    def forward(self, x: Tensor) -> Tensor:
        """`[b 3 h w] -> [b 3 scale*h scale*w]`, clamped to [0, 1]."""
        out: Tensor = self.found(x)
        return out


def _library() -> Any:
    try:
        import spandrel  # noqa: PLC0415 - an optional extra
    except (ImportError, RuntimeError, AttributeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UnavailableError(f"spandrel cannot be imported here: {reason}") from error
    return spandrel


def _check(found: Any, scale: int, file: Path) -> None:
    """Raise `ValueError` unless what was found super-resolves RGB at `scale`."""
    channels = (found.input_channels, found.output_channels)
    if found.purpose != "SR" or channels != (RGB, RGB):
        raise ValueError(f"{file.name} holds a {found.architecture.name} for {found.purpose}, {channels} channels")
    if found.scale != scale:
        raise ValueError(f"{file.name} holds a {found.architecture.name} of scale {found.scale}, not {scale}")


METHOD = SpandrelMethod()
