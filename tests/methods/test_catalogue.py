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
    x = torch.randn(2, 8, 13, 5)
    assert module(x).shape == x.shape


def test_a_method_from_elsewhere_is_found_by_its_address() -> None:
    plugin = methods.method("tests.plugins:TINY")
    assert plugin.name == "tiny"
    assert methods.build_network("tests.plugins:TINY", 3)(torch.rand(1, 3, 4, 5)).shape == (1, 3, 12, 15)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nlsm",
            "unknown method 'nlsm'. Did you mean 'nlsn'? Known: dlsn, dnlan, dtfn, edsr, enlcn, hspan, lcoan, nln, ",
        ),
        ("", "unknown method ''. Known: dlsn, dnlan, dtfn, edsr, enlcn, hspan, lcoan, nln, nlsn."),
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
        (
            "nlsn",
            {"n_hash": 2},
            "unknown setting of nlsn 'n_hash'. Did you mean 'n_hashes'? Known: assign, attention_every, ",
        ),
        ("edsr", {"chunk_size": 2}, "unknown setting of edsr 'chunk_size'. Known: n_feats, n_resblocks, "),
        ("nln", {"backend": "pain"}, "unknown backend 'pain'. Did you mean 'plain'? Known: fused, plain."),
        ("edsr", {"n_feats": "64"}, "n_feats must be a whole number, not '64'"),
        ("edsr", {"n_feats": 64.0}, "n_feats must be a whole number, not 64.0"),
        ("edsr", {"n_feats": True}, "n_feats must be a whole number, not True"),
        ("edsr", {"res_scale": True}, "res_scale must be a number, not True"),
        ("edsr", {"res_scale": "1"}, "res_scale must be a number, not '1'"),
        ("nln", {"backend": 1}, "backend must be a text, not 1"),
        ("edsr", {"n_feats": 0}, "n_feats must be at least 1, not 0"),
        ("edsr", {"n_resblocks": -1}, "n_resblocks must be at least 1, not -1"),
        ("nlsn", {"attention_every": 0}, "attention_every must be at least 1, not 0"),
        ("nlsn", {"n_feats": 2}, "reduction 4 leaves no channel of 2"),
        ("nlsn", {"assign": "flyhsh"}, "unknown assign 'flyhsh'. Did you mean 'flyhash'? Known: flyhash, kmeans, "),
        ("nlsn", {"assign": 3}, "assign must be a name, not 3"),
        ("nlsn", {"n_clusters": 8}, "unknown setting of nlsn 'n_clusters'."),
        ("nlsn", {"trunk": "groups"}, "unknown trunk 'groups'. Did you mean 'group'? Known: group, residual."),
        ("nlsn", {"draw": "frosen"}, "unknown draw 'frosen'. Did you mean 'frozen'? Known: frozen, redraw."),
        ("nlsn", {"k_size": 2}, "k_size must be odd to keep the size of an image, not 2"),
        (
            "lcoan",
            {"n_feats": 8, "n_resgroups": 2, "share_from": 3},
            "share_from names the attention 3 of a network that has 2",
        ),
        ("nlsn", {"share_from": -1}, "share_from must be at least 0, not -1"),
        ("dnlan", {"hash_length": -1}, "hash_length must be at least 0, not -1"),
        ("lcoan", {"ema_decay": 1.5}, "ema_decay must lie between 0 and 1, not 1.5"),
        ("lcoan", {"update_means": "never"}, "unknown update_means 'never'. Known: ema, frozen."),
        ("lcoan", {"n_clusters": 0}, "n_clusters must be at least 1, not 0"),
        ("enlcn", {"contrastive_weight": -1}, "contrastive_weight must be at least 0, not -1.0"),
        ("enlcn", {"amplification": 0}, "amplification must be above 0, not 0.0"),
        ("dtfn", {"n_feats": 4}, "texture fidelity needs at least 8 channels, not 4"),
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
        (
            "nls",
            {},
            "unknown attention 'nls'. Did you mean 'nlsa'? Known: dnla, dnlf, enlca, gla, hspa, lcoa, nla, nlsa.",
        ),
        (
            "nlsn",
            {},
            "unknown attention 'nlsn'. Did you mean 'nlsa'? Known: dnla, dnlf, enlca, gla, hspa, lcoa, nla, nlsa.",
        ),
        (
            "nlsa",
            {"chunksize": 3},
            "unknown setting of nlsa 'chunksize'. Did you mean 'chunk_size'? Known: assign, backend, chunk_size, ",
        ),
        (
            "nla",
            {"n_feats": 3},
            "unknown setting of nla 'n_feats'. Known: backend, fuse, reduction, res_scale, weighting.",
        ),
    ],
)
def test_attentions_that_cannot_be_are_told(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        methods.build_attention(name, 8, **settings)


BLOCKS = {"trunk": "residual", "n_feats": 256, "n_resblocks": 32, "res_scale": 0.1}
TRUNK = BLOCKS | {"attention_every": 8}
GROUPS = {"trunk": "group", "n_feats": 256, "n_resgroups": 10, "n_resblocks": 4, "res_scale": 0.1}
SPHERICAL = {"assign": "spherical", "n_hashes": 4, "draw": "redraw", "draw_seed": 0}
PLAIN = {"score": "dot", "value": "pointwise", "fuse": "add"}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("edsr", BLOCKS),
        ("nln", TRUNK | {"weighting": "softmax", "fuse": "add", "reduction": 2, "backend": "plain"}),
        (
            "nlsn",
            TRUNK
            | SPHERICAL
            | PLAIN
            | {"reduction": 4, "chunk_size": 144, "k_size": 3, "match_relu": False, "share_from": 0}
            | {"backend": "plain"},
        ),
        (
            "dlsn",
            GROUPS
            | SPHERICAL
            | {"assign": "superbit", "n_hashes": 3, "score": "learned", "value": "spatial", "fuse": "add"}
            | {"reduction": 4, "chunk_size": 128, "k_size": 3, "match_relu": True, "share_from": 0}
            | {"attention_res_scale": 1.0, "backend": "plain"},
        ),
        ("hspan", GROUPS | {"n_feats": 192, "weighting": "sparsemax", "fuse": "add", "reduction": 2}),
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


def test_a_part_is_chosen_by_name_and_keeps_what_both_have() -> None:
    chosen = methods.method("lcoan").settings({"assign": "flyhash", "hash_length": 5})
    assert {name: chosen[name] for name in ("assign", "n_hashes", "hash_length", "draw")} == {
        "assign": "flyhash",
        "n_hashes": 1,
        "hash_length": 5,
        "draw": "redraw",
    }
    assert not {"n_clusters", "update_means"} & chosen.keys()


def test_the_choice_that_stands_already_changes_nothing() -> None:
    plugin = methods.method("lcoan")
    assert plugin.settings({"assign": "kmeans", "trunk": "group"}) == plugin.settings()


def test_a_trunk_is_chosen_by_name_and_keeps_its_own_depth() -> None:
    chosen = methods.method("nlsn").settings({"trunk": "group", "n_feats": 64})
    assert {name: chosen[name] for name in GROUPS} == GROUPS | {"n_feats": 64}
    assert "attention_every" not in chosen


def test_the_residual_scale_of_dlsn_and_of_its_attention_are_two_settings() -> None:
    network = methods.build_network("dlsn", 2, n_feats=8, n_resgroups=1, res_scale=0.5, attention_res_scale=0.25)
    assert network.body[0].res_scale == 0.5
    assert next(m for m in network.modules() if isinstance(m, NonLocal)).recipe.fuse.res_scale == 0.25
    with pytest.raises(ValueError, match="unknown setting of nlsn 'attention_res_scale'"):
        methods.build_network("nlsn", 2, attention_res_scale=0.5)


@pytest.mark.parametrize(
    ("theirs", "ours"), [("n_hashlength", "hash_length"), ("n_rounds", "n_hashes"), ("window_size", "chunk_size")]
)
def test_the_names_of_released_scripts_are_understood(theirs: str, ours: str) -> None:
    assert methods.method("dnlan").settings({theirs: 5})[ours] == 5
    recipes = [methods.build_attention("dnla", 8, **{name: 5}).recipe for name in (theirs, ours)]
    assert recipes[0] == recipes[1]
    with pytest.raises(ValueError, match=f"'{theirs}' and '{ours}' are two names of one setting; give it once"):
        methods.build_network("dnlan", 2, **{theirs: 5, ours: 5})


def test_nothing_known_is_told_too() -> None:
    assert str(unknown_name("setting of x", "y", [])) == "unknown setting of x 'y'. Known: none."
