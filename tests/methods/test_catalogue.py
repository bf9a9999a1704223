"""Names and settings: what exists is found, what does not is answered with the nearest match."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
import torch

import methods
from methods.catalogue import ATTENTIONS, NETWORKS
from methods.interface import NonLocal, Plugin
from methods.settings import settings_of, unknown_name, with_settings


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_catalogue_is_a_method(name: str) -> None:
    found = methods.method(name)
    assert isinstance(found, Plugin)
    assert found.name == name
    assert found.title
    assert found.trainable
    assert found.execution <= found.settings().keys()


@pytest.mark.parametrize("name", ATTENTIONS)
def test_every_attention_of_the_catalogue_keeps_the_shape(name: str) -> None:
    module = methods.build_attention(name, 8)
    assert isinstance(module, NonLocal)
    x = torch.randn(2, 8, 3, 5)
    assert module(x).shape == x.shape


def test_a_method_from_elsewhere_is_found_by_its_address() -> None:
    plugin = methods.method("tests.plugins:TINY")
    assert plugin.name == "tiny"
    assert methods.build_network("tests.plugins:TINY", 3)(torch.rand(1, 3, 4, 5)).shape == (1, 3, 12, 15)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nlsm", "unknown method 'nlsm'. Did you mean 'nlsn'? Known: edsr, nln, nlsn."),
        ("", "unknown method ''. Known: edsr, nln, nlsn."),
        ("tests.plugins:NOT_A_METHOD", "'tests.plugins:NOT_A_METHOD' is a int, not a method"),
        ("tests.plugins:ABSENT", "cannot load method 'tests.plugins:ABSENT': module 'tests.plugins' has no attribute"),
        ("tests.absent:METHOD", "cannot load method 'tests.absent:METHOD': No module named 'tests.absent'"),
        (":METHOD", "cannot load method ':METHOD'"),
        (".edsr:METHOD", "cannot load method '.edsr:METHOD'"),
        ("methods.edsr:", "cannot load method 'methods.edsr:'"),
        ("methods.edsr:METHOD.", "cannot load method 'methods.edsr:METHOD.'"),
    ],
)
def test_what_is_no_method_is_told(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        methods.method(name)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("nlsn", {"n_hash": 2}, "unknown setting of nlsn 'n_hash'. Did you mean 'n_hashes'? Known: attention_every, "),
        ("edsr", {"chunk_size": 2}, "unknown setting of edsr 'chunk_size'. Known: attention_every, n_feats, "),
        ("nln", {"backend": "pain"}, "unknown backend 'pain'. Did you mean 'plain'? Known: fused, plain."),
        ("edsr", {"n_feats": "64"}, "n_feats must be a int, not '64'"),
        ("edsr", {"n_feats": 64.0}, "n_feats must be a int, not 64.0"),
        ("edsr", {"n_feats": True}, "n_feats must be a int, not True"),
        ("edsr", {"res_scale": True}, "res_scale must be a float, not True"),
        ("edsr", {"res_scale": "1"}, "res_scale must be a float, not '1'"),
        ("nln", {"backend": 1}, "backend must be a str, not 1"),
        ("edsr", {"n_feats": 0}, "n_feats must be at least 1, not 0"),
        ("edsr", {"n_resblocks": -1}, "n_resblocks must be at least 1, not -1"),
        ("nlsn", {"attention_every": 0}, "attention_every must be at least 1, not 0"),
        ("nlsn", {"n_feats": 2}, "reduction 4 leaves no channel of 2"),
    ],
)
def test_settings_that_cannot_be_are_told(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        methods.build_network(name, 2, **settings)


@pytest.mark.parametrize("scale", [0, 1, 5, "2"])
def test_other_scales_are_told(scale: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"scale must be one of (2, 3, 4), not {scale!r}")):
        methods.build_network("edsr", scale)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("nls", {}, "unknown attention 'nls'. Did you mean 'nlsa'? Known: nla, nlsa."),
        ("nlsn", {}, "unknown attention 'nlsn'. Did you mean 'nlsa'? Known: nla, nlsa."),
        (
            "nlsa",
            {"chunksize": 3},
            "unknown setting of nlsa 'chunksize'. Did you mean 'chunk_size'? Known: chunk_size, ",
        ),
        ("nla", {"n_feats": 3}, "unknown setting of nla 'n_feats'. Known: backend, reduction, res_scale."),
    ],
)
def test_attentions_that_cannot_be_are_told(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        methods.build_attention(name, 8, **settings)


TRUNK = {"n_feats": 256, "n_resblocks": 32, "res_scale": 0.1, "attention_every": 8}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("edsr", TRUNK),
        ("nln", TRUNK | {"reduction": 2, "backend": "plain"}),
        ("nlsn", TRUNK | {"n_hashes": 4, "reduction": 4, "chunk_size": 144, "k_size": 3}),
    ],
)
def test_settings_of_trunk_recipe_and_parts_lie_flat(name: str, settings: dict[str, Any]) -> None:
    assert methods.method(name).settings() == settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    width: int = 3
    res_scale: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = Inner()
    deep: bool = False
    res_scale: float = 0.5


def test_a_setting_is_replaced_wherever_it_occurs() -> None:
    changed = with_settings(Outer(), {"res_scale": 2, "width": 7, "absent": 1})
    assert changed == Outer(inner=Inner(width=7, res_scale=2.0), res_scale=2.0)
    assert isinstance(changed.inner.res_scale, float)
    assert with_settings(Outer(), {"deep": True}) == Outer(deep=True)
    assert settings_of(changed, None) == {"width": 7, "deep": False, "res_scale": 2.0}


def test_nothing_known_is_told_too() -> None:
    assert str(unknown_name("setting of x", "y", [])) == "unknown setting of x 'y'. Known: none."
