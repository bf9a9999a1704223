"""Multiply-adds and parameters, counted twice, with an account of what neither count sees.

The first count is PyTorch's flop counter (2 per multiply-add, halved here) under fake tensors: any size, nothing
computed, nothing allocated. The second is fvcore's, from a trace of a real forward. Both are given the formula of
fused attention, which each of them would count as nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from harness.grid_tables import positions
from harness.inference import autocast
from harness.profile.audit import Audit, Uncounted
from harness.profile.memory import LiveBytes
from harness.records import Record, Status
from methods.interface import attention_modules
from methods.parts.deformable import fast_deformable_conv

CPU_SDPA_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward  # noqa: SLF001 - nor has this
CPU_SDPA = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001 - the operation has no public name
FLOPS_PER_MAC = 2
RGB = 3
MAX_TRACED_POSITIONS = 96 * 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counted:
    """One forward on `[1 c h w]`, counted without computing it. The network is fake: it has shapes and no weights.

    `module_macs` holds the multiply-adds of each module by its name, those of its children included; "" is the whole.
    `inputs` is the shape `(c, h, w)` of what goes into each of the attentions, in the order in which they run; `output`
    is what the network returned.
    """

    network: nn.Module
    output: object
    module_macs: Mapping[str, int]
    inputs: Mapping[str, tuple[int, int, int]]
    uncounted: tuple[Uncounted, ...]
    peak_bytes: int

    @property
    def macs(self) -> int:
        """Multiply-adds of the whole."""
        return self.module_macs[""]

    @property
    def attention_macs(self) -> int:
        """Multiply-adds inside attention."""
        return sum(self.module_macs.get(name, 0) for name in attention_modules(self.network))

    @property
    def uncounted_products(self) -> int:
        """Calls of matrix products without a formula: anything but 0 says that `macs` is too few."""
        return sum(row.calls for row in self.uncounted if row.product)

    @property
    def figures(self) -> dict[str, float]:
        """By metric, as a profile records them."""
        return {
            "macs": float(self.macs),
            "attention_macs": float(self.attention_macs),
            "uncounted_elements": float(sum(row.elements for row in self.uncounted)),
            "uncounted_bytes": float(sum(row.moved_bytes for row in self.uncounted)),
            "uncounted_products": float(self.uncounted_products),
            "peak_bytes_fake": float(self.peak_bytes),
        }


def count(build: Callable[[], nn.Module], height: int, width: int, precision: str = "fp32") -> dict[str, float]:
    """What `counted` finds of a network for images, by metric."""
    return counted(build, RGB, height, width, precision).figures


def counted(build: Callable[[], nn.Module], channels: int, height: int, width: int, precision: str = "fp32") -> Counted:
    """Count one forward on `[1 channels height width]`.

    What a network does on its first forward only, such as finding k-means, is left out, as it is from times. Where
    work depends on data, as sparsemax's search for the support does, what is done for any data is counted. What tensor
    cores round they multiply as often: tf32 is counted as fp32.
    """
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    audit = Audit({**flop_registry, **FORMULAS})
    computed = "fp32" if precision == "tf32" else precision
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        network = build().eval().requires_grad_(requires_grad=False)
        x = torch.empty(1, channels, height, width)
        with autocast("cpu", computed):
            output = network(x)
        live = LiveBytes(network)
        with _inputs(network) as inputs, live, audit, counter, autocast("cpu", computed):
            network(x)
    return Counted(
        network=network,
        output=output,
        module_macs=module_macs(counter, network),
        inputs=inputs,
        uncounted=audit.uncounted,
        peak_bytes=live.peak,
    )


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


@contextlib.contextmanager
def _inputs(network: nn.Module) -> Iterator[dict[str, tuple[int, int, int]]]:
    """Notes the shape of what goes into each attention of `network` while it runs."""
    seen: dict[str, tuple[int, int, int]] = {}
    handles = []
    for name, module in attention_modules(network).items():

        def note(_: nn.Module, args: tuple[Any, ...], name: str = name) -> None:
            seen[name] = tuple(args[0].shape[1:])

        handles.append(module.register_forward_pre_hook(note))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def module_macs(counter: FlopCounterMode, network: nn.Module) -> dict[str, int]:
    """Multiply-adds by names as in `named_modules`; the counter puts the class of the network in front of them."""
    root = type(network).__name__
    flops = {name: sum(by_operation.values()) for name, by_operation in counter.get_flop_counts().items()}
    inside = {name.removeprefix(f"{root}."): each for name, each in flops.items() if name.startswith(f"{root}.")}
    return {name: each // FLOPS_PER_MAC for name, each in (inside | {"": counter.get_total_flops()}).items()}


def _sdpa_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """`Q K^T` and `P V` for shapes `[b h l d]`, two operations per multiply-add."""
    batch, heads, rows, depth = query
    return int(FLOPS_PER_MAC * batch * heads * rows * key[2] * (depth + value[-1]))


def _sdpa_backward_flops(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> int:
    """Five products: the scores again, and the gradients of weights, values, queries and keys."""
    batch, heads, rows, depth = query
    return int(FLOPS_PER_MAC * batch * heads * rows * key[2] * (3 * depth + 2 * value[-1]))


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


FORMULAS: dict[Any, Callable[..., int]] = {CPU_SDPA: _sdpa_flops, CPU_SDPA_BACKWARD: _sdpa_backward_flops}
"""What PyTorch's own table lacks."""
if fast_deformable_conv is not None:
    FORMULAS[torch.ops.torchvision.deform_conv2d] = _deformable_flops
