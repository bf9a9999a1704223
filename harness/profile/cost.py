"""Multiply-adds and parameters, counted twice, with an account of what neither count sees.

The first count is PyTorch's flop counter (2 per multiply-add, halved here) under fake tensors: any size, nothing
computed, nothing allocated. The second is fvcore's, from a trace of a real forward. Both are given the formula of
fused attention, which each of them would count as nothing.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from harness.grid_tables import positions
from harness.records import Record, Status
from methods.interface import attention_modules
from methods.parts.deformable import fast_deformable_conv

aten = torch.ops.aten
CPU_SDPA = aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001 - the operation has no public name
FLOPS_PER_MAC = 2
MAX_TRACED_POSITIONS = 96 * 128
FREE = frozenset({aten.empty, aten.detach, aten.alias, aten.lift_fresh})
"""Operations that neither compute nor move anything, besides views."""


def count(build: Callable[[], nn.Module], height: int, width: int) -> dict[str, float]:
    """`macs`, `attention_macs` and `uncounted_elements` of one forward on `[1 3 height width]`.

    What a network does on its first forward only, such as finding k-means, is left out, as it is from times. The last
    is the number of output elements of all operations that have no formula: activations, softmax, sorting,
    gathering, copies. They are no multiply-adds, but they take time.
    """
    audit = Audit()
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        network = build().eval()
        x = torch.empty(1, 3, height, width)
        network(x)
        with counter, audit:
            network(x)
    modules = counter.get_flop_counts()
    attention = sum(sum(modules.get(name, {}).values()) for name in _attention_names(network))
    return {
        "macs": counter.get_total_flops() / FLOPS_PER_MAC,
        "attention_macs": attention / FLOPS_PER_MAC,
        "uncounted_elements": float(audit.elements),
    }


def sizes_of(network: nn.Module) -> dict[str, float]:
    """`parameters` and `weight_bytes` (buffers included) of a network."""
    tensors = [*network.parameters(), *network.buffers()]
    return {
        "parameters": float(sum(p.numel() for p in network.parameters())),
        "weight_bytes": float(sum(t.numel() * t.element_size() for t in tensors)),
    }


def second_count(network: nn.Module, x: Tensor, size: str) -> Record:
    """Count one forward on `x` by fvcore, as a record; its failure is a record too.

    fvcore traces a real forward on the CPU, so large inputs, which would take hours and all memory, are left out.
    """
    if positions(size) > MAX_TRACED_POSITIONS:
        reason = f"fvcore counts by computing: not above {MAX_TRACED_POSITIONS:,} positions"
        return Record(metric="macs_fvcore", status=Status.SKIPPED, reason=reason, size=size)
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            from fvcore.nn import FlopCountAnalysis  # noqa: PLC0415 - slow, and it warns of its own use of torch

            analysis = FlopCountAnalysis(network.to("cpu"), x).unsupported_ops_warnings(False).tracer_warnings("none")
            analysis.set_op_handle("aten::scaled_dot_product_attention", _sdpa_macs)
            analysis.set_op_handle("torchvision::deform_conv2d", _deformable_macs)
            return Record(metric="macs_fvcore", value=float(analysis.total()), size=size)
    except (RuntimeError, AssertionError, IndexError, NotImplementedError) as error:
        reason = (
            f"fvcore cannot count this network: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        )
        return Record(metric="macs_fvcore", status=Status.ERROR, reason=reason, size=size)


class Audit(TorchDispatchMode):
    """Adds up the output elements of operations that the flop counter has no formula for, views left out."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket  # noqa: SLF001 - the registry is keyed by it
        if packet not in FORMULAS and packet not in flop_registry and packet not in FREE and not _is_view(func):
            self.elements += sum(t.numel() for t in tree_leaves(out) if isinstance(t, Tensor))
        return out


def _is_view(func: Any) -> bool:
    returns = func._schema.returns  # noqa: SLF001 - the only description of aliasing there is
    return any(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def _attention_names(network: nn.Module) -> list[str]:
    """Names of the outermost attention modules as the flop counter writes them."""
    root = type(network).__name__
    return [f"{root}.{name}" if name else root for name in attention_modules(network)]


def _sdpa_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """`Q K^T` and `P V` for shapes `[b h l d]`, two operations per multiply-add."""
    batch, heads, rows, depth = query
    return int(FLOPS_PER_MAC * batch * heads * rows * key[2] * (depth + value[-1]))


def _deformable_flops(x: Any, weight: Any, *_: Any, **__: Any) -> int:
    """A convolution's, for shapes `[b c h w]` and `[o c k k]` at the same size; sampling counts no multiply-adds."""
    batch, _, height, width = x
    return int(FLOPS_PER_MAC * batch * height * width * math.prod(weight))


def _sdpa_macs(inputs: list[Any], _: list[Any]) -> int:
    query, key, value = (node.type().sizes() for node in inputs[:3])
    return _sdpa_flops(query, key, value) // FLOPS_PER_MAC


def _deformable_macs(inputs: list[Any], _: list[Any]) -> int:
    x, weight = (node.type().sizes() for node in inputs[:2])
    return _deformable_flops(x, weight) // FLOPS_PER_MAC


FORMULAS: dict[Any, Callable[..., int]] = {CPU_SDPA: _sdpa_flops}
"""What PyTorch's own table lacks."""
if fast_deformable_conv is not None:
    FORMULAS[torch.ops.torchvision.deform_conv2d] = _deformable_flops
