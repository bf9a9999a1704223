"""The catalogue: the one place that names methods. A list someone wrote; modules are imported when asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from methods.interface import Plugin
from methods.settings import Scalar, settings_of, unknown_name, with_settings

if TYPE_CHECKING:
    from torch import nn

NETWORKS = {
    "edsr": "methods.edsr:METHOD",
    "nln": "methods.nla:METHOD",
    "nlsn": "methods.nlsa:METHOD",
}
ATTENTIONS = {
    "nla": "methods.nla:ATTENTION",
    "nlsa": "methods.nlsa:ATTENTION",
}


def method(name: str) -> Plugin:
    """The method called `name`: a key of the catalogue, or `"package.module:METHOD"` for one from elsewhere.

    Raises:
        ValueError: no such method, or the object named is not one.
    """
    if name not in NETWORKS and ":" not in name:
        raise unknown_name("method", name, NETWORKS)
    found = _load(NETWORKS.get(name, name))
    if not isinstance(found, Plugin):
        raise ValueError(f"{name!r} is a {type(found).__name__}, not a method: see methods.interface.Plugin")  # noqa: TRY004 - the user's mistake
    return found


def build_network(name: str, scale: int, **settings: Scalar) -> nn.Module:
    """The network `[b 3 h w] in [0, 1] -> [b 3 scale*h scale*w]`, released settings unless `settings` says otherwise.

    Raises:
        ValueError: an unknown name, scale or setting, or a value out of range.
    """
    return method(name).build(scale, settings)


def build_attention(name: str, channels: int, **settings: Scalar) -> nn.Module:
    """The attention module `x [b c h w] -> y [b c h w]` called `name`, for `channels` channels.

    Raises:
        ValueError: an unknown name or setting, or a value out of range.
    """
    if name not in ATTENTIONS:
        raise unknown_name("attention", name, ATTENTIONS)
    recipe = _load(ATTENTIONS[name])
    for setting in settings:
        if setting not in (known := settings_of(recipe)):
            raise unknown_name(f"setting of {name}", setting, known)
    module: nn.Module = with_settings(recipe, settings).build(channels)
    return module


def _load(address: str) -> Any:
    module, _, attribute = address.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"cannot load method {address!r}: {error}") from error
