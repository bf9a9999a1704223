"""Networks from plug-ins: built from settings, or opened from a file that holds its own architecture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from harness.grid_tables import Scalar
from methods.interface import FromFile, Plugin


def built(plugin: Plugin, scale: int, settings: Mapping[str, Scalar], file: Path | None, seed: int) -> nn.Module:
    """The network with its initial weights from `seed`, or with those of `file` where the file holds the network."""
    torch.manual_seed(seed)
    if isinstance(plugin, FromFile):
        assert file is not None
        return plugin.open(scale, file)
    return plugin.build(scale, settings)
