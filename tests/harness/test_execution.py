"""Compiled, laid out, captured: the same function, or refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness import execution
from harness.execution import Captured, Execution, compiled, compiler_missing, graph_breaks
from methods import build_network
from methods.interface import UnavailableError, attention_loss

COMPILE = Execution(compile=True)


def network(name: str, **settings: Any) -> nn.Module:
    torch.manual_seed(5)
    sizes = {"n_feats": 8, "n_resblocks": 1, **settings}
    return build_network(name, 2, **sizes)


NETWORKS = {"edsr": {}, "nlsn": {"chunk_size": 8}, "enlcn": {}, "lcoan": {"chunk_size": 8, "n_resgroups": 1}}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.usefixtures("traced")
def test_a_compiled_network_is_the_same_function_and_the_same_state(name: str) -> None:
    """Random hashes, the loss that attention adds, buffers that training moves and gradients included."""
    plain, other = (network(name, **NETWORKS[name]).train() for _ in range(2))
    keys = list(other.state_dict())
    x = torch.rand(2, 3, 9, 10)
    answers = []
    for module, forward in ((plain, plain), (other, compiled(other))):
        torch.manual_seed(1)
        y = forward(x)
        (y.mean() + attention_loss(module)).backward()
        answers.append(y)
    assert list(other.state_dict()) == keys
    torch.testing.assert_close(answers[1], answers[0])
    for (key, one), two in zip(plain.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(two, one, msg=key)
    for one, two in zip(plain.parameters(), other.parameters(), strict=True):
        assert (one.grad is None) == (two.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(two.grad, one.grad)


@pytest.mark.skipif(compiler_missing("cpu") is not None, reason="there is no C++ compiler here")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")  # by PyTorch itself
def test_code_that_was_really_compiled_draws_the_same_hashes() -> None:
    class Hashes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x @ torch.randn(8, 4)).relu() + torch.rand(4)

    x = torch.rand(6, 8)
    answers = []
    for forward in (Hashes(), compiled(Hashes())):
        torch.manual_seed(7)
        answers.append(forward(x))
    torch.testing.assert_close(answers[1], answers[0])


@pytest.mark.usefixtures("traced")
def test_many_networks_of_one_process_are_all_compiled() -> None:
    """PyTorch by itself goes on uncompiled after the eighth."""
    from torch._dynamo.utils import counters

    before = counters["stats"]["unique_graphs"]
    for width in range(1, 13):
        compiled(nn.Sequential(nn.Conv2d(3, width, 1)))(torch.rand(1, 3, 4, 4))
    assert counters["stats"]["unique_graphs"] - before == 12


def test_what_cannot_be_compiled_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise RuntimeError("as it was told to")

    monkeypatch.setattr(execution, "COMPILER", {"backend": refuses})
    forward = compiled(network("edsr"))
    with pytest.raises(UnavailableError, match=r"^torch\.compile cannot take this network: .*as it was told to"):
        forward(torch.rand(1, 3, 4, 4))


@pytest.mark.usefixtures("traced")
def test_what_is_left_to_python_is_counted() -> None:
    class Waits(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 1 if torch.equal(x, x.clone()) else x

    before = graph_breaks()
    compiled(network("edsr"))(torch.rand(1, 3, 4, 4))
    assert graph_breaks() == before
    compiled(Waits())(torch.rand(4))
    assert graph_breaks() > before


def test_a_missing_compiler_is_found_once_and_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler
    from torch.utils import _triton

    asked = []

    def none() -> str:
        asked.append("c++")
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    monkeypatch.setattr(_triton, "has_triton", lambda: False)
    compiler_missing.cache_clear()
    try:
        for _ in range(3):
            with pytest.raises(UnavailableError, match=r"^compile needs a C\+\+ compiler, and there is none"):
                COMPILE.require("cpu")
        assert asked == ["c++"]
        with pytest.raises(UnavailableError, match="compile needs Triton for this GPU"):
            COMPILE.require("cuda:1")
    finally:
        compiler_missing.cache_clear()


def test_a_cpu_has_no_cuda_graphs() -> None:
    with pytest.raises(UnavailableError, match=r"^cuda_graphs needs an NVIDIA GPU, this is cpu$"):
        Execution(cuda_graphs=True).require("cpu")
    Execution(channels_last=True).require("cpu")
    Execution(cuda_graphs=True).require("cuda:1")


@pytest.mark.parametrize("last", [False, True])
def test_weights_and_input_have_the_layout_that_is_named(last: bool) -> None:
    way = Execution(channels_last=last)
    layout = torch.channels_last if last else torch.contiguous_format
    for x in (torch.rand(2, 3, 4, 5), torch.rand(2, 4, 5, 3).permute(0, 3, 1, 2)):
        assert way.laid_out(x).is_contiguous(memory_format=layout)
        torch.testing.assert_close(way.laid_out(x), x, rtol=0, atol=0)
    convolutions = [m for m in way.laid_out(network("edsr")).modules() if isinstance(m, nn.Conv2d)]
    assert all(m.weight.is_contiguous(memory_format=layout) for m in convolutions)


class Graphs:
    """A stand-in for torch.cuda's graphs: what runs in a capture is kept, not done, and a replay does it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fails: Exception | None = None) -> None:
        self.events: list[str] = []
        self.capturing = False
        graphs, events = self, self.events

        class Stream:
            def __init__(self, _: str) -> None:
                pass

            def wait_stream(self, _: Stream) -> None:
                events.append("wait")

        class Graph:
            def replay(self) -> None:
                events.append("replay")

        class Capture:
            def __init__(self, graph: Graph) -> None:
                assert isinstance(graph, Graph)

            def __enter__(self) -> None:
                graphs.capturing = True
                events.append("capture")

            def __exit__(self, *_: object) -> None:
                graphs.capturing = False
                if fails is not None:
                    raise fails

        class Within:
            def __init__(self, _: Stream) -> None:
                pass

            __enter__ = __exit__ = lambda *_: None

        stand_ins = {"Stream": Stream, "current_stream": Stream, "CUDAGraph": Graph, "graph": Capture, "stream": Within}
        for name, stand_in in stand_ins.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)

    def call(self) -> None:
        self.events.append("kept" if self.capturing else "done")


def test_a_call_is_captured_once_after_three_and_replayed_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = Graphs(monkeypatch)
    captured = Captured(graphs.call, "cuda")
    assert graphs.events == [], "nothing before the first call, which is kept apart"
    captured()
    first = ["wait", "done", "done", "done", "wait", "capture", "kept", "replay"]
    assert graphs.events == first
    captured()
    assert graphs.events == [*first, "replay"]


def test_what_no_graph_can_hold_says_so_and_a_lack_of_memory_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    told = RuntimeError("operation not permitted when stream is capturing\nmore")
    with pytest.raises(
        UnavailableError, match=r"^no CUDA graph can hold this network: operation not permitted .* more$"
    ):
        Captured(Graphs(monkeypatch, fails=told).call, "cuda")()
    with pytest.raises(torch.OutOfMemoryError):
        Captured(Graphs(monkeypatch, fails=torch.OutOfMemoryError()).call, "cuda")()
