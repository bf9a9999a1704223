"""Any network as a plug-in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from torch import nn

from methods.interface import RELEASED
from methods.settings import Scalar, require_known


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForeignMethod:
    """A network from elsewhere, made by `network(scale, **settings)`, that maps `[b 3 h w]` to `[b 3 s*h s*w]`.

    `defaults` are its settings; a grid may sweep them like those of any method. An attention inside it is timed and
    counted apart if it derives from `methods.interface.NonLocal`.
    """

    name: str
    title: str
    network: Callable[..., nn.Module]
    defaults: Mapping[str, Scalar] = dataclasses.field(default_factory=dict)
    trainable: bool = True
    execution: frozenset[str] = frozenset()

    def settings(self, chosen: Mapping[str, Scalar] = RELEASED) -> dict[str, Scalar]:
        """Every setting with its value when `chosen` replace defaults."""
        return dict(self.defaults) | {name: value for name, value in chosen.items() if name in self.defaults}

    def build(self, scale: int, settings: Mapping[str, Scalar]) -> nn.Module:
        """The network at `scale`.

        Raises:
            ValueError: an unknown setting, or what `network` itself refuses.
        """
        require_known(f"setting of {self.name}", settings, self.defaults)
        return self.network(scale, **self.settings(settings))
