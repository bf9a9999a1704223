"""The catalogue: the one place that names methods. A list someone wrote; modules are imported when asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from methods.interface import Plugin
from methods.settings import Scalar, our_names, require_known, settings_of, unknown_name, with_settings

if TYPE_CHECKING:
    from torch import nn

NETWORKS = {
    "edsr": "methods.edsr:METHOD",
    "nln": "methods.nla:METHOD",
    "nlsn": "methods.nlsa:METHOD",
    "enlcn": "methods.enlca:METHOD",
    "dnlan": "methods.dnla:METHOD",
    "lcoan": "methods.lcoa:METHOD",
    "dlsn": "methods.gla:METHOD",
    "dtfn": "methods.dnlf:METHOD",
    "hspan": "methods.hspa:METHOD",
}
FROM_FILES = {"spandrel": "methods.foreign.spandrel:METHOD"}
"""Methods whose network is in their weights file."""
ATTENTIONS = {
    "nla": "methods.nla:ATTENTION",
    "nlsa": "methods.nlsa:ATTENTION",
    "enlca": "methods.enlca:ATTENTION",
    "dnla": "methods.dnla:ATTENTION",
    "lcoa": "methods.lcoa:ATTENTION",
    "gla": "methods.gla:ATTENTION",
    "dnlf": "methods.dnlf:ATTENTION",
    "hspa": "methods.hspa:ATTENTION",
}


def method(name: str) -> Plugin:
    """The method called `name`: a key of the catalogue, or `"package.module:METHOD"` for one from elsewhere.

    Raises:
        ValueError: no such method, or the object named is not one.
    """
    if name not in NETWORKS and ":" not in name:
        raise unknown_name("method", name, NETWORKS)
    found = _load(NETWORKS.get(name, name))
    if not isinstance(found, Plugin) or isinstance(found, type):
        raise ValueError(f"{name!r} is a {type(found).__name__}, not a method: see methods.interface.Plugin")  # noqa: TRY004 - the user's mistake
    if not (isinstance(found.title, str) and found.title.strip() and found.title.isprintable()):
        raise ValueError(f"the title of {name!r} is no printable text: {found.title!r}")
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
    recipe = with_settings(_load(ATTENTIONS[name]), our_names(settings))
    require_known(f"setting of {name}", our_names(settings), settings_of(recipe))
    module: nn.Module = recipe.build(channels)
    return module


def _load(address: str) -> Any:
    """The object at `address`; whatever its module raises when it is imported, an end of the program included."""
    module, _, attribute = address.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"cannot load method {address!r}: {error}") from error
    except (Exception, SystemExit) as error:
        raise ValueError(f"cannot load method {address!r}: {type(error).__name__}: {error}") from error
