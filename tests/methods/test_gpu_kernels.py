"""The kernels for GPUs, as far as they can be judged without one: what they compute, and that they compile.

Triton interprets its kernels only in a process that says so before Triton is imported, hence the worker.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from methods.bucketed import aggregate, attend, logits
from methods.fused import Tokens, windowed_attention
from methods.kernels import WIDEST, supported, windowed_attention_on_gpu
from methods.kernels.sizes import Sizes
from methods.parts.routing import Routing, route, seated
from methods.parts.score import keys

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed: the extra 'test' brings it"
)
ROOM = {80: 163 * 1024, 90: 227 * 1024}
"""Shared memory of a program, at most, in bytes, by compute capability."""
SMALL_CHIP = 99 * 1024
RELEASED = {
    "nlsa": Sizes(chunk=144, d=64, e=256, learned=False, half=True),
    "learned": Sizes(chunk=128, d=64, e=256, learned=True, half=True),
    "long": Sizes(chunk=384, d=128, e=128, learned=False, half=True),
}


class Case(NamedTuple):
    """Sizes of an attention; `kinds` are the precisions of match, value and bias, which is about `level`."""

    batch: int
    rounds: int
    length: int
    chunk: int
    channels: tuple[int, int]
    learned: bool
    kinds: tuple[torch.dtype, ...] = (torch.float32,) * 3
    level: float = 0.0


SHAPES = {
    "one chunk": (1, 2, 4, 4, (4, 6)),
    "one chunk, its tail repeated": (2, 2, 11, 15, (4, 6)),
    "fewer tokens than half a chunk": (2, 2, 3, 8, (5, 6)),
    "two chunks": (1, 1, 12, 6, (17, 3)),
    "two chunks, the tail repeated": (2, 3, 9, 6, (3, 17)),
    "chunks of one": (1, 2, 5, 1, (4, 4)),
    "many chunks, the tail repeated": (2, 3, 21, 5, (6, 5)),
    "several blocks of a chunk": (1, 2, 70, 36, (8, 20)),
}
ROUNDING = 32 * torch.finfo(torch.float32).eps
"""What a sum in float32 may be off in any form: logits are eight times as large as what is made of them."""
AUTOCAST = (torch.bfloat16, torch.bfloat16, torch.float32)


@pytest.fixture(scope="module")
def interpreted() -> Iterator[Callable[[Case], None]]:
    """Calls `check_agreement` in the process in which kernels are interpreted."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=interpret) as worker:
        yield lambda case: worker.submit(check_agreement, case).result()


def interpret() -> None:
    """Let Triton interpret, and fresh memory hold NaN."""
    assert "triton" not in sys.modules
    os.environ["TRITON_INTERPRET"] = "1"
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    _teach_bfloat16()


def _teach_bfloat16() -> None:
    """The interpreter keeps bfloat16 as integers, and would multiply these."""
    from triton import language as tl
    from triton.runtime.interpreter import InterpreterBuilder

    untaught = InterpreterBuilder.create_dot

    def create_dot(self: Any, left: Any, right: Any, *others: Any) -> Any:
        wide = (self.create_fp_ext(x, tl.float32) if x.dtype == tl.bfloat16 else x for x in (left, right))
        return untaught(self, *wide, *others)

    InterpreterBuilder.create_dot = create_dot


def drawn(case: Case) -> tuple[Tokens, Routing, Tensor]:
    """Random tokens, seats by random codes, and a gradient of the output."""
    generator = torch.Generator().manual_seed(0)
    widths = (*case.channels, case.chunk)
    match, value, bias = (torch.randn(case.batch, case.length, n, generator=generator) for n in widths)
    whole = (3 * match, value, bias + case.level if case.learned else None)
    tokens = Tokens(*(x if x is None else x.to(kind) for x, kind in zip(whole, case.kinds, strict=True)))
    codes = torch.randint(0, 3, (case.batch, case.rounds, case.length), generator=generator)
    return tokens, route(codes, case.chunk), torch.randn(value.shape, generator=generator).to(tokens.value.dtype)


def plainly(tokens: Tokens, routing: Routing) -> Tensor:
    """The plain judge, in the precision of the values."""
    match, value, bias = (None if x is None else x.to(tokens.value.dtype) for x in tokens)
    assert match is not None
    assert value is not None
    learned = None if bias is None else seated(bias, routing)
    return aggregate(attend(logits(seated(match, routing), seated(keys(match), routing), learned), routing), value)


def results(
    attention: Callable[[Tokens, Routing], Tensor], case: Case, device: str, kind: torch.dtype | None = None
) -> list[tuple[str, Tensor]]:
    """Output and gradients of `attention` on `device`, by name; with inputs in `kind`, if there is one."""
    tokens, routing, gradient = drawn(case)
    inputs = Tokens(*(x if x is None else x.to(device, kind or x.dtype).requires_grad_() for x in tokens))
    out = attention(inputs, Routing(*(x.to(device) for x in routing)))
    named = {name: x for name, x in inputs._asdict().items() if x is not None}
    gradients = torch.autograd.grad(out, list(named.values()), gradient.to(out))
    assert [x.dtype for x in gradients] == [x.dtype for x in named.values()]
    return [("output", out.detach()), *zip(named, gradients, strict=True)]


def check_agreement(case: Case, device: str = "cpu") -> None:
    """No further from judge and twin in float64 than twice what the plain form is in the precision of the values.

    Weights are made again from the log mass, whose rounding is in them: it is as large as the level of the logits.
    """
    kind, rounding = case.kinds[1], ROUNDING + torch.finfo(torch.float32).eps * abs(case.level)
    ours, plain = results(windowed_attention_on_gpu, case, device), results(plainly, case, device)
    assert ours[0][1].dtype == kind
    for exactly in (plainly, windowed_attention):
        for (name, found), (_, coarse), (_, exact) in zip(
            ours, plain, results(exactly, case, device, torch.float64), strict=True
        ):
            allowed = 2 * (coarse.double() - exact).abs().max() + rounding * exact.abs().max()
            error = (found.double() - exact).abs().max()
            assert error <= allowed, f"{name}: {error:.2e} from {exactly.__name__}, {allowed:.2e} allowed"


@needs_triton
@pytest.mark.parametrize("learned", [False, True], ids=["dot", "learned"])
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_gradients_are_those_of_judge_and_twin(
    interpreted: Callable[[Case], None], shape: str, learned: bool
) -> None:
    interpreted(Case(*SHAPES[shape], learned))


@needs_triton
@pytest.mark.parametrize("learned", [False, True], ids=["dot", "learned"])
@pytest.mark.parametrize(
    "kinds", [(torch.bfloat16,) * 3, (torch.float16,) * 3, AUTOCAST], ids=["bf16", "fp16", "mixed"]
)
def test_halves_are_as_good_as_the_plain_form(
    interpreted: Callable[[Case], None], kinds: tuple[torch.dtype, ...], learned: bool
) -> None:
    interpreted(Case(2, 2, 21, 5, (6, 5), learned, kinds))


@needs_triton
@pytest.mark.parametrize("level", [-200.0, 200.0])
def test_nothing_overflows_where_all_logits_are_small_or_large(
    interpreted: Callable[[Case], None], level: float
) -> None:
    """Seats that only fill a block have the logit zero, which must not count beside such."""
    interpreted(Case(1, 2, 21, 5, (6, 5), learned=True, level=level))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kinds", [(torch.float32,) * 3, (torch.bfloat16,) * 3, (torch.float16,) * 3, AUTOCAST])
@pytest.mark.parametrize("learned", [False, True], ids=["dot", "learned"])
@pytest.mark.parametrize("shape", [*SHAPES.values(), (2, 4, 2000, 144, (64, 256)), (1, 1, 3000, 384, (128, 128))])
def test_a_gpu_computes_the_same(shape: Any, learned: bool, kinds: tuple[torch.dtype, ...]) -> None:
    """As the interpreter, and at released sizes."""
    check_agreement(Case(*shape, learned, kinds), "cuda")


@needs_triton
@pytest.mark.parametrize("architecture", ROOM)
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("released", RELEASED)
@pytest.mark.parametrize("kernel", ["attend_round", "query_gradient", "key_gradient"])
def test_compiles_and_fits_the_shared_memory(
    kernel: str, released: str, half: bool, architecture: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    compiled = compile_ahead(kernel, RELEASED[released]._replace(half=half), architecture)
    assert 0 < compiled.metadata.shared <= min(ROOM[architecture], SMALL_CHIP)
    assert compiled.asm["cubin"]


@needs_triton
@pytest.mark.parametrize(
    ("kernel", "half", "architecture"),
    [("key_gradient", False, 80), ("attend_round", True, 80), ("attend_round", True, 90)],
)
def test_the_widest_channels_fit_where_they_are_supported(
    kernel: str, half: bool, architecture: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    compiled = compile_ahead(kernel, Sizes(chunk=128, d=WIDEST, e=WIDEST, learned=True, half=half), architecture)
    assert SMALL_CHIP < compiled.metadata.shared <= ROOM[architecture]


def compile_ahead(kernel: str, sizes: Sizes, architecture: int) -> Any:
    """`kernel` as a GPU of this compute capability would get it; no GPU is asked."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from methods.kernels import backward, forward

    function = getattr(forward if kernel == "attend_round" else backward, kernel)
    constants = sizes.constants(kernel) | ({"first": False} if kernel == "attend_round" else {})
    options = {name: constants.pop(name) for name in ("num_warps", "num_stages", "enable_fp_fusion")}
    signature = {name: argument_type(name, sizes, constants) for name in function.arg_names}
    known = {name: constants.get(name) for name, kind in signature.items() if kind == "constexpr"}
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(signature.values()) if kind.startswith("*")}
    source = ASTSource(function, signature, known, aligned)
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)


def argument_type(name: str, sizes: Sizes, constants: dict[str, Any]) -> str:
    """In the words of Triton; a bias that is not learned is passed as None, which is a constant."""
    if name in constants or (name.endswith("bias") and not sizes.learned):
        return "constexpr"
    if name in {"length", "chunks", "stride"}:
        return "i32"
    if name == "seats":
        return "*i64"
    tokens = name in {"query", "key", "value", "bias", "gradient"}
    return "*bf16" if tokens and sizes.half else "*fp32"


@pytest.mark.parametrize(
    ("kind", "channels", "expected"),
    [
        (torch.float32, (64, 256), True),
        (torch.bfloat16, (WIDEST, WIDEST), True),
        (torch.float16, (5, 6), True),
        (torch.float64, (64, 256), False),
        (torch.float32, (WIDEST + 1, 4), False),
        (torch.float32, (4, WIDEST + 1), False),
    ],
)
def test_what_the_kernels_are_not_made_for_is_said(
    kind: torch.dtype, channels: tuple[int, int], expected: bool
) -> None:
    match, value = (torch.zeros(1, 3, width, dtype=kind) for width in channels)
    assert supported(Tokens(match, value)) is expected


@pytest.mark.parametrize(
    ("capability", "channels", "expected"),
    [((7, 5), 64, False), ((8, 0), 256, True), ((8, 6), 128, True), ((8, 9), 129, False), ((9, 0), 256, True)],
)
def test_the_gpu_is_asked(
    capability: tuple[int, int], channels: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(Tensor, "is_cuda", True)
    tokens = torch.zeros(1, 3, channels)
    assert supported(Tokens(tokens, tokens)) is expected


def test_nothing_needs_triton_to_be_imported() -> None:
    program = (
        "import sys; sys.modules['triton'] = None; from methods import kernels; import methods.fused; "
        "assert not kernels.available()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
