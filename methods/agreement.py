"""Gate before clock: fused attention runs only where it gives what the same attention gives when it is written out."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from methods.interface import NonLocal, attention_modules
from methods.settings import settings_of, with_settings

TOLERANCE = 1e-4
"""Of the largest entry, in float32: a hundred times what rounding does, far less than any mistake."""
WIDTH, CHUNKS, POSITIONS = 12, 5.5, 200
"""A probe is so wide, and so long that it has so many chunks, or positions where nothing is cut into chunks."""


class DisagreementError(ArithmeticError):
    """Fused attention gives something else than the same attention written out."""


def check_agreement(network: nn.Module) -> None:
    """Compare the first attention of each recipe in `network` with its plain twin, where it is the device.

    Raises:
        DisagreementError: result or gradient differ.
    """
    fused = {module.recipe: module for module in attention_modules(network).values() if plain_recipe(module)}
    for module in fused.values():
        found = disagreement(module)
        if not found <= TOLERANCE:
            raise DisagreementError(
                f"fused attention differs from the same written out by {found:.1e} of the largest entry, "
                f'more than {TOLERANCE:.0e}: choose backend = "plain"'
            )


def disagreement(module: NonLocal) -> float:
    """Largest difference between a fused attention and its plain twin, as a part of the largest entry of the twin's.

    Of what it adds to a random probe, and of the gradient of that; in evaluation, on a copy that may learn from it.
    """
    fused = copy.deepcopy(module).eval().requires_grad_(requires_grad=False)
    twin = copy.copy(fused)
    twin.recipe = plain_recipe(module)
    probe = _probe(module)
    with torch.random.fork_rng([probe.device] if probe.is_cuda else []), torch.no_grad():
        fused(probe)
    pairs = zip(_answer(fused, probe), _answer(twin, probe), strict=True)
    return max(_apart(ours, theirs) for ours, theirs in pairs)


def _apart(ours: Tensor, theirs: Tensor) -> float:
    """As a part of the largest entry; where that is 0, as with `res_scale = 0`, nothing but 0 agrees."""
    apart, largest = float((ours - theirs).abs().max()), float(theirs.abs().max())
    return apart / largest if largest else apart


def plain_recipe(module: NonLocal) -> Any:
    """The recipe of `module` with the plain backend; None if it has that, or no choice."""
    recipe = getattr(module, "recipe", None)
    if recipe is None or settings_of(recipe).get("backend") != "fused":
        return None
    return with_settings(recipe, {"backend": "plain"})


def _probe(module: NonLocal) -> Tensor:
    """Random features `[1 c h w]`, the same every time."""
    weight = next(part.weight for part in module.modules() if isinstance(part, nn.Conv2d))
    positions = CHUNKS * getattr(module.recipe, "chunk_size", POSITIONS / CHUNKS)
    shape = (1, weight.shape[1], math.ceil(positions / WIDTH), WIDTH)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(weight)


def _answer(module: NonLocal, probe: Tensor) -> tuple[Tensor, Tensor]:
    """What it adds to the probe, and the gradient of the sum of its squares."""
    x = probe.clone().requires_grad_()
    with torch.random.fork_rng([x.device] if x.is_cuda else []), torch.enable_grad():
        torch.manual_seed(0)
        added = module(x) - x
        (gradient,) = torch.autograd.grad(added.square().sum(), x)
    return added.detach(), gradient
