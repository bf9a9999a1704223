"""The audit against operations whose elements and bytes are known, and matrix products that nobody counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from harness.profile.audit import Uncounted, is_product
from harness.profile.cost import Counted, counted
from methods import build_network, method
from methods.catalogue import NETWORKS

C, H, W = 3, 4, 5
N = C * H * W
TINY = {"n_feats": 16, "n_resblocks": 1, "n_resgroups": 2, "attention_every": 1, "chunk_size": 4}


class Applied(nn.Module):
    """A network that applies one function."""

    def __init__(self, f: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)


def audited(f: Callable[[Tensor], Tensor]) -> Counted:
    return counted(lambda: Applied(f), C, H, W)


def row(operation: str, calls: int, elements: int, moved: int, *, product: bool = False) -> Uncounted:
    return Uncounted(operation=operation, calls=calls, elements=elements, moved_bytes=moved, product=product)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: x.relu().relu(), [row("aten.relu", 2, 2 * N, 2 * 2 * 4 * N)]),
        (lambda x: x + x.flatten(2).transpose(1, 2).mT.view(x.shape), [row("aten.add", 1, N, 3 * 4 * N)]),
        (lambda x: torch.cat([x, x]), [row("aten.cat", 1, 2 * N, 4 * 4 * N)]),
        (lambda x: x.double(), [row("aten._to_copy", 1, N, 12 * N)]),
        (lambda x: x.add_(1), [row("aten.add_", 1, N, 2 * 4 * N)]),
        (lambda x: torch.empty_like(x).flatten().detach(), []),
    ],
)
def test_elements_and_bytes_of_known_operations(f: Callable[[Tensor], Tensor], expected: list[Uncounted]) -> None:
    assert list(audited(f).uncounted) == expected


def test_an_expanded_axis_is_read_once() -> None:
    found = audited(lambda x: x.gather(2, torch.zeros(1, C, 1, 1, dtype=torch.long).expand(1, C, 7, W)))
    gathered = next(row for row in found.uncounted if row.operation == "aten.gather")
    assert gathered.elements == 7 * C * W
    assert gathered.moved_bytes == 4 * N + 8 * C + 4 * 7 * C * W


def test_most_bytes_come_first_and_figures_are_the_sums() -> None:
    found = audited(lambda x: torch.cat(3 * [x.exp()]).sum())
    assert list(found.uncounted) == [
        row("aten.cat", 1, 3 * N, 4 * (3 + 3) * N),
        row("aten.sum", 1, 1, 4 * (3 * N + 1)),
        row("aten.exp", 1, N, 4 * (1 + 1) * N),
    ]
    assert found.figures["uncounted_elements"] == 4 * N + 1
    assert found.figures["uncounted_bytes"] == 4 * (11 * N + 1)
    assert found.figures["uncounted_products"] == 0


@pytest.mark.parametrize(
    "f",
    [
        lambda x: torch.mv(x.flatten(2)[0].T, torch.ones(C)),
        lambda x: torch.dot(x.flatten(), x.flatten()),
        lambda x: torch.addmv(torch.ones(C), x.flatten(2)[0], torch.ones(H * W)),
    ],
)
def test_a_product_that_nobody_counts_is_told(f: Callable[[Tensor], Tensor]) -> None:
    found = audited(f)
    assert (found.macs, found.uncounted_products) == (0, 1)
    assert sum(row.product for row in found.uncounted) == 1


def test_a_product_inside_inference_mode_is_counted() -> None:
    """There a layer arrives whole, and has to be taken apart before it is called not counted."""

    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(W, 7)

        def forward(self, x: Tensor) -> Tensor:
            with torch.inference_mode():
                out: Tensor = self.layer(x)
                return out

    found = counted(Inside, C, H, W)
    assert (found.macs, found.uncounted_products) == (C * H * W * 7, 0)


PRODUCTS = """
    mv dot vdot addmv addr bmm _int_mm _weight_int4pack_mm addbmm linear mkldnn_linear conv_tbc mkldnn_convolution
    _cdist_forward bilinear _trilinear mkldnn_rnn_layer _thnn_fused_lstm_cell lstm _scaled_dot_product_attention_math
    _native_multi_head_attention _slow_conv2d_forward
"""
NONE = """
    add upsample_bilinear2d upsample_linear1d linspace lgamma mvlgamma sort gather softmax cumsum im2col logaddexp
    _convert_indices_from_csr_to_coo grid_sampler_2d addcmul linalg_qr linalg_vector_norm
"""


@pytest.mark.parametrize("name", PRODUCTS.split())
def test_products_are_known_by_name(name: str) -> None:
    assert is_product(f"aten.{name}")


@pytest.mark.parametrize("name", NONE.split())
def test_other_operations_are_no_products(name: str) -> None:
    assert not is_product(f"aten.{name}")


def test_operations_from_elsewhere_are_suspect() -> None:
    assert is_product("torchvision.nms")
    assert is_product("mamba.selective_scan")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_network_has_a_product_that_nobody_counts(name: str, precision: str) -> None:
    settings = {key: value for key, value in TINY.items() if key in method(name).settings()}
    found = counted(partial(build_network, name, 2, **settings), 3, 12, 13, precision)
    assert found.uncounted_products == 0
    assert found.figures["macs"] == counted(partial(build_network, name, 2, **settings), 3, 12, 13).macs
