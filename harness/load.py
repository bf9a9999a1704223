"""A weights file on its own: which network it holds, and how a grid names it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import torch

from harness.errors import UserError
from harness.grid_tables import Scalar
from methods import Fit, Provenance, load_weights, method
from methods.fit import first_of, nearest_fit
from methods.weights import read_state

PROBE = 24
"""Side of the input that shows whether the network computes, in pixels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loaded:
    """A weights file with the network it fits, loaded key by key and run once."""

    path: Path
    fit: Fit
    provenance: Provenance
    parameters: int

    @property
    def settings(self) -> Mapping[str, Scalar]:
        """Every setting of the network: read from the file, or released where the file does not tell."""
        return method(self.fit.name).settings(self.fit.settings)

    @property
    def entry(self) -> str:
        """The network as a row of a grid."""
        lines = ["[[methods]]", f'name = "{self.fit.name}"', f"weights = {json.dumps(str(self.path))}"]
        settings = ", ".join(f"{name} = {json.dumps(value)}" for name, value in self.fit.settings.items())
        return "\n".join([*lines, f"settings = {{ {settings} }}"] if settings else lines)


def load(path: Path) -> Loaded:
    """Find the network that the weights in `path` fit, load them, and run it on noise.

    Raises:
        UserError: no such file, one that cannot be read safely, one that fits no network, or weights that do not
            compute a finite image.
    """
    try:
        found = _fitting(path)
        network = found.build().eval()
        provenance = load_weights(network, path)
    except ValueError as error:
        raise UserError(str(error)) from error
    with torch.inference_mode():
        image = network(torch.rand(1, 3, PROBE, PROBE, generator=torch.Generator().manual_seed(0)))
    if not image.isfinite().all():
        raise UserError(f"{path} fits {found}, but what it computes is not finite")
    parameters = sum(p.numel() for p in network.parameters())
    return Loaded(path=path, fit=found, provenance=provenance, parameters=parameters)


def _fitting(path: Path) -> Fit:
    nearest = nearest_fit(read_state(path))
    if nearest is None:
        raise UserError(f"{path} holds no network of this family: no head and upsampler were found in its keys")
    found, problems = nearest
    if problems:
        raise UserError(f"{path} fits no network of the catalogue. Nearest is {found}: {first_of(problems)}")
    return found
