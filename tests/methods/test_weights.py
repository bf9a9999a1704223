"""Weights from files: what fits is loaded, what does not is told, and nothing in a file is ever executed."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from methods import build_network, load_weights
from methods.weights import read_state, state_hash

State = dict[str, Tensor]


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_network("nlsn", 2, n_feats=8, n_resblocks=1, chunk_size=4)


def legacy(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def state() -> State:
    return network(1).state_dict()


@pytest.mark.parametrize(
    ("name", "save"),
    [("w.safetensors", save_file), ("w.pt", torch.save), ("w.pth", torch.save), ("w.tar", legacy)],
    ids=["safetensors", "pt", "pth", "legacy"],
)
def test_every_format_is_read(name: str, save: Callable[[Any, Path], None], state: State, tmp_path: Path) -> None:
    save(state, tmp_path / name)
    target = network(2)
    provenance = load_weights(target, str(tmp_path / name))
    assert same(target.state_dict(), state)
    assert provenance.file == name
    assert provenance.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert provenance.tensors == len(state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"params": s},
        lambda s: {"params_ema": s},
        lambda s: {"params": {key: 0 * t for key, t in s.items()}, "params_ema": s},
        lambda s: {"model": s},
        lambda s: {"model": {"state_dict": s}},
        lambda s: {f"module.{key}": t for key, t in s.items()},
        lambda s: {"state_dict": {f"module.{key}": t for key, t in s.items()}},
    ],
)
def test_wrappers_are_taken_off(wrap: Callable[[State], Any], state: State, tmp_path: Path) -> None:
    torch.save(wrap(state), tmp_path / "w.pt")
    assert same(read_state(tmp_path / "w.pt"), state)


def test_a_tensor_that_is_named_like_a_wrapper_is_a_tensor(tmp_path: Path) -> None:
    torch.save({"params": torch.ones(2)}, tmp_path / "w.pt")
    assert same(read_state(tmp_path / "w.pt"), {"params": torch.ones(2)})


def without(state: State, key: str) -> State:
    return {k: t for k, t in state.items() if k != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "head.0.bias"), "missing head.0.bias (8,)"),
        (lambda s: {**s, "tail.9.bias": torch.ones(3)}, "unexpected tail.9.bias (3,)"),
        (lambda s: {**s, "head.0.bias": torch.ones(7)}, "head.0.bias is (7,) in the file, (8,) here"),
        (lambda s: {**without(s, "head.0.bias"), "z": torch.ones(())}, "missing head.0.bias (8,); unexpected z ()"),
        (lambda _: {}, "missing sub_mean.weight (3, 3, 1, 1); missing sub_mean.bias (3,); missing head.0.weight"),
    ],
)
def test_weights_that_do_not_fit_are_told_and_nothing_is_loaded(
    change: Callable[[State], State], message: str, state: State, tmp_path: Path
) -> None:
    torch.save(change(state), tmp_path / "w.pt")
    target = network(2)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load_weights(target, tmp_path / "w.pt")
    assert str(caught.value).startswith(f"{tmp_path / 'w.pt'} does not fit this network")
    assert same(target.state_dict(), network(2).state_dict())


def test_only_the_first_misfits_are_listed(state: State, tmp_path: Path) -> None:
    torch.save({}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=f"and {len(state) - 3} more. It fits no network of the catalogue$"):
        load_weights(network(), tmp_path / "w.pt")


class Hostile:
    """Unpickled without care, it creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.target), "w")


@pytest.mark.fault(
    area="Hostile input",
    what="a weights file that runs code when it is read",
    how="pickles that open a file for writing, as `torch.save` writes them, in its old format, and plain",
    kept="refused with the name of the file; the file that it would open is not there",
)
@pytest.mark.parametrize("save", [torch.save, legacy, lambda c, path: path.write_bytes(pickle.dumps(c, protocol=2))])
def test_a_hostile_file_is_refused_and_not_executed(save: Callable[[Any, Path], None], tmp_path: Path) -> None:
    target = tmp_path / "executed"
    save({"head.0.bias": torch.ones(1), "x": Hostile(target)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="holds more than plain tensors and loading it would run code"):
        load_weights(network(), tmp_path / "w.pt")
    assert not target.exists()


@pytest.mark.fault(
    area="Hostile input",
    what="a weights file that is cut short",
    how="safetensors, zip and old format, cut at 0, 10, 50 and 99 percent",
    kept="refused with the name of the file; the network keeps its weights",
)
@pytest.mark.parametrize(
    ("name", "save"),
    [("w.safetensors", save_file), ("w.pt", torch.save), ("w.tar", legacy)],
    ids=["safetensors", "pt", "legacy"],
)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_told_by_name(
    name: str, save: Callable[[Any, Path], None], share: float, state: State, tmp_path: Path
) -> None:
    path = tmp_path / name
    save(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    target = network(2)
    with pytest.raises(ValueError, match=re.escape(f"cannot read weights from {path}: ") + r"\S"):
        load_weights(target, path)
    assert same(target.state_dict(), network(2).state_dict())


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=64))
@example(content=b"<html>404</html>")
@example(content=b"\x80\x02}.")
@example(content=b"\x80\x02(l.")
@example(content=b"\x80\x020.")
@example(content=b"\x80\x02h\x05.")
def test_bytes_that_are_no_weights_are_a_users_mistake(content: bytes, tmp_path: Path) -> None:
    for name in ("w.pt", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            load_weights(network(), tmp_path / name)


def cyclic() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["model"] = content
    return content


@pytest.mark.parametrize("content", [3, [torch.ones(1)], {"model": 3}, {"a": {"b": torch.ones(1)}}, cyclic()], ids=str)
def test_a_file_without_a_state_dict_is_told(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="holds no state dict: a table of tensors by name was expected"):
        read_state(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["missing.pt", "."])
def test_what_is_not_a_file_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"no weights file at {tmp_path / name}")):
        load_weights(network(), tmp_path / name)


def test_hash_of_a_state_does_not_depend_on_its_file(state: State, tmp_path: Path) -> None:
    save_file(state, tmp_path / "w.safetensors")
    torch.save({"params": dict(reversed(state.items()))}, tmp_path / "w.pt")
    hashes = {state_hash(read_state(tmp_path / name)) for name in ("w.safetensors", "w.pt")} | {state_hash(state)}
    assert len(hashes) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.tensor([1.0, 3.0])},
        {"b": torch.tensor([1.0, 2.0])},
        {"a": torch.tensor([[1.0, 2.0]])},
        {"a": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        {"a": torch.tensor([1.0, 2.0]).view(torch.int32)},
        {"a": torch.tensor([1.0, 2.0]), "b": torch.ones(())},
    ],
    ids=str,
)
def test_hash_of_a_state_depends_on_keys_types_shapes_and_values(other: State) -> None:
    assert state_hash(other) != state_hash({"a": torch.tensor([1.0, 2.0])})


def test_hash_of_a_state_sees_values_not_layout() -> None:
    x = torch.randn(4, 3, 2, 2)
    assert state_hash({"a": x}) == state_hash({"a": x.to(memory_format=torch.channels_last)})


def test_weights_trained_on_values_up_to_255_are_rescaled(tmp_path: Path) -> None:
    """EDSR's own checkpoints: the mean colour in them tells their range."""
    source = network(1).double()
    for shift in (source.sub_mean, source.add_mean):
        shift.bias.data *= 255
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    target = network(2).double()
    assert load_weights(target, tmp_path / "w.safetensors").rgb_range == 255
    x = torch.rand(1, 3, 5, 6, dtype=torch.float64)
    outputs = []
    for run in (lambda: target(x), lambda: source(255 * x) / 255):
        torch.manual_seed(0)
        outputs.append(run())
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_halves_are_rescaled_without_rounding_them_again(tmp_path: Path, kind: torch.dtype) -> None:
    source = network(1)
    for shift in (source.sub_mean, source.add_mean):
        shift.bias.data *= 255
    halves = {key: tensor.to(kind) for key, tensor in source.state_dict().items()}
    save_file(halves, tmp_path / "w.safetensors")
    target = network(2)
    load_weights(target, tmp_path / "w.safetensors")
    assert torch.equal(target.state_dict()["head.0.weight"], 255 * halves["head.0.weight"].float())
    assert torch.equal(target.state_dict()["tail.1.weight"], halves["tail.1.weight"].float() * (1 / 255))


def test_other_weights_are_left_as_they_are(state: State, tmp_path: Path) -> None:
    state["sub_mean.bias"] = torch.tensor([-114.0, 0.0, 3.0])
    save_file(state, tmp_path / "w.safetensors")
    target = network(2)
    assert load_weights(target, tmp_path / "w.safetensors").rgb_range == 1
    assert same(target.state_dict(), state)
