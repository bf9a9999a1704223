"""`load` and `verify` on the command line and below it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.errors import UserError
from harness.grid import read_grid
from harness.load import load
from harness.plan import plan
from methods import build_network
from tests.commands import here


def state(**settings: int) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(
        build_network("dlsn", 3, n_feats=8, n_resgroups=1, n_resblocks=1, chunk_size=9, **settings).state_dict()
    )


def saved(content: dict[str, Tensor], folder: Path) -> Path:
    save_file(content, folder / "w.safetensors")
    return folder / "w.safetensors"


def test_a_file_needs_no_settings(tmp_path: Path) -> None:
    loaded = load(saved(state(), tmp_path))
    assert (loaded.fit.name, loaded.fit.scale) == ("dlsn", 3)
    assert loaded.settings["chunk_size"] == 9
    assert loaded.parameters == sum(t.numel() for t in state().values())
    assert loaded.provenance.tensors == len(state())


def test_its_row_makes_a_cell_of_a_grid(tmp_path: Path) -> None:
    loaded = load(saved(state(), tmp_path))
    text = f'name = "row"\nscale = 3\n{loaded.entry}\n'
    assert tomllib.loads(text)["methods"][0]["weights"] == str(loaded.path)
    (tmp_path / "grid.toml").write_text(text)
    (cell,) = plan(read_grid(tmp_path / "grid.toml"), "grid.toml", {})
    assert cell.weights == loaded.path
    assert cell.settings == dict(loaded.settings)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"a": torch.ones(2)}, "holds no network of this family: no head and upsampler were found in its keys"),
        (
            state() | {"z": torch.ones(2)},
            "Nearest is dlsn at scale 3, n_feats = 8, n_resgroups = 1, n_resblocks = 1, chunk_size = 9: unexpected z",
        ),
        (state() | {"tail.1.bias": torch.full((3,), torch.nan)}, "but what it computes is not finite"),
    ],
)
def test_what_cannot_be_loaded_is_told(content: dict[str, Tensor], told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as mistake:
        load(saved(content, tmp_path))
    assert told in str(mistake.value)


def test_the_command_prints_network_and_row(tmp_path: Path) -> None:
    done = here("load", saved(state(), tmp_path))
    assert done.returncode == 0, done.stderr
    assert "dlsn at scale 3, n_feats = 8" in done.stdout
    assert 'name = "dlsn"' in done.stdout


@pytest.mark.parametrize("file", ["absent.pt", "README.md"])
def test_the_command_ends_with_2_for_what_is_no_weights_file(file: str) -> None:
    done = here("load", file)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_parity_table_is_printed_and_agrees() -> None:
    done = here("verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "45 of 45 agree." in done.stdout


def test_verify_ends_with_2_without_references(tmp_path: Path) -> None:
    done = here("verify", "--references", tmp_path)
    assert done.returncode == 2
    assert "no reference tensors at" in done.stderr
