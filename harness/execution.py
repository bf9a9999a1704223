"""How a network is executed: as it is written, compiled, or replayed as a CUDA graph; and in which memory layout.

None of it changes which function is computed: results agree to rounding, so weights are shared. What cannot be had on a
machine, or of a network, raises `UnavailableError`, whose task is skipped with that reason: nothing is ever run in
another way than its record says.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from harness.records import EXECUTIONS
from methods.interface import UnavailableError

COMPILER: Mapping[str, Any] = {"backend": "inductor", "options": {"fallback_random": True}}
"""For `torch.compile`. Random numbers are PyTorch's own, so that a seed draws the same hashes as uncompiled."""
RECOMPILATIONS = 10_000
"""Networks of one process share the code of their layers, and PyTorch stops compiling it after its eighth use."""
WARM_CALLS = 3
"""Before a capture: what is allocated or chosen once, is so by then."""

Forward = Callable[[Tensor], Tensor]
Call = Callable[[], None]
T = TypeVar("T", Tensor, nn.Module)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution:
    """One way to execute; the fields are called as in a grid and as in the specification of a task."""

    compile: bool = False
    channels_last: bool = False
    cuda_graphs: bool = False

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Execution:
        """The way that a task's specification names."""
        return cls(**{name: spec[name] for name in NAMES})

    @property
    def named(self) -> dict[str, bool]:
        """For a protocol."""
        return dataclasses.asdict(self)

    @property
    def opaque(self) -> bool:
        """Whether nothing inside a call can be timed or watched: hooks are not called in there."""
        return self.compile or self.cuda_graphs

    def require(self, device: str) -> None:
        """Find out at once what would fail later.

        Raises:
            UnavailableError: `device` or this machine cannot execute in this way.
        """
        kind = torch.device(device).type
        if self.cuda_graphs and kind != "cuda":
            raise UnavailableError(f"cuda_graphs needs an NVIDIA GPU, this is {kind}")
        if self.compile and (reason := compiler_missing(kind)):
            raise UnavailableError(reason)

    def laid_out(self, what: T) -> T:
        """A network, or images or features `[b c h w]`, in the memory layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        if isinstance(what, Tensor):
            return what.contiguous(memory_format=layout)
        return what.to(memory_format=layout)  # type: ignore[call-overload,no-any-return]

    def forward_of(self, module: nn.Module) -> Forward:
        """What stands for calling `module`."""
        return compiled(module) if self.compile else module

    def call_of(self, call: Call, device: str) -> Call:
        """What stands for `call`."""
        return Captured(call, device) if self.cuda_graphs else call


NAMES = tuple(EXECUTIONS)
"""The axes: the fields of `Execution`."""


def compiled(module: nn.Module) -> Forward:
    """`module`'s forward, compiled at its first call and again for each other shape, in training and inference.

    The module stays what it was, and so do the keys of its state dict. Parts that `torch.compile` leaves to Python are
    told by `graph_breaks`; all else that it cannot do raises.

    Raises:
        UnavailableError: from the call, not from here: `torch.compile` failed.
    """
    from torch._dynamo import config  # noqa: PLC0415 - takes a second, and most never compile
    from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415

    config.fail_on_recompile_limit_hit = True
    config.recompile_limit = config.accumulated_recompile_limit = RECOMPILATIONS
    whole = torch.compile(module, dynamic=False, **COMPILER)

    def forward(x: Tensor) -> Tensor:
        try:
            y: Tensor = whole(x)
        except TorchDynamoException as error:
            raise UnavailableError(f"torch.compile cannot take this network: {_beginning(error)}") from error
        return y

    return forward


def forget_compiled() -> None:
    """Drop what was compiled before: else each call looks through all of it."""
    torch.compiler.reset()


def graph_breaks() -> int:
    """How often, in this process, a compiled graph ended because the rest was left to Python."""
    from torch._dynamo.utils import counters  # noqa: PLC0415 - as above

    return sum(counters["graph_break"].values())


@functools.cache
def compiler_missing(kind: str) -> str | None:
    """Why `torch.compile` cannot work here for a device of this kind; None where it should. Asked once a process."""
    if kind == "cuda":
        from torch.utils._triton import has_triton  # noqa: PLC0415 - as above

        return None if has_triton() else "compile needs Triton for this GPU, and it is not installed"
    from torch._inductor.cpp_builder import get_cpp_compiler  # noqa: PLC0415 - as above
    from torch._inductor.exc import InvalidCxxCompiler  # noqa: PLC0415

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return "compile needs a C++ compiler, and there is none: install g++, or name one in the variable CXX"
    return None


class Captured:
    """A call that is captured as a CUDA graph when first made, after three calls as written, and replayed from then on.

    All that it reads and writes stays where it was: what is called must take its input from one place. A replay costs
    one launch, where the call costs one for each operation; that is what small inputs wait for.
    """

    def __init__(self, call: Call, device: str) -> None:
        self._call, self._device = call, device
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Replay the graph.

        Raises:
            UnavailableError: the first time: the call does what no graph can hold, such as waiting for a number.
        """
        if self._graph is None:
            self._graph = self._captured()
        self._graph.replay()

    def _captured(self) -> torch.cuda.CUDAGraph:
        """On a stream of its own, as PyTorch wants it."""
        main, side = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)
        side.wait_stream(main)
        with torch.cuda.stream(side):
            for _ in range(WARM_CALLS):
                self._call()
        main.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._call()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise UnavailableError(f"no CUDA graph can hold this network: {_beginning(error)}") from error
        return graph


def _beginning(error: Exception) -> str:
    """The first two lines as one: the first alone often only names the part that failed."""
    return " ".join(line.strip() for line in str(error).splitlines()[:2] if line.strip()) or type(error).__name__
