"""The published method: a trunk with a recipe's attention in its slots."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import nn

from methods.interface import RELEASED, SCALES, Recipe, Trunk, attention_modules
from methods.settings import Scalar, choice, our_names, require_known, settings_of, with_settings
from methods.trunks import TRUNKS, ResidualTrunk


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Base:
    """The trunk as a choice: `trunk = "group"` is a setting like any other."""

    trunk: Trunk = choice(TRUNKS, keep=("n_feats", "res_scale"), default=ResidualTrunk())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """A published network as a plug-in.

    `order` is the declared cost of the attention in the number of positions `n = h*w`; `min_positions` the fewest it
    can be trained on. `recipe_names` gives settings of the recipe a name of their own where the trunk has the same.
    Paper, code, sources and deviations stand in `published.toml` beside the method.
    """

    name: str
    title: str
    trunk: Trunk
    recipe: Recipe | None = None
    order: str = "n"
    min_positions: int = 1
    recipe_names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    execution: frozenset[str] = frozenset({"backend"})
    trainable: bool = True

    def settings(self, chosen: Mapping[str, Scalar] = RELEASED) -> dict[str, Scalar]:
        """Every setting of trunk and recipe, `chosen` replacing released values.

        Raises:
            ValueError: a value that the trunk or the recipe refuses.
        """
        trunk, recipe = self._chosen(chosen)
        names = {inner: own for own, inner in self.recipe_names.items()}
        own = settings_of(_Base(trunk=trunk))
        if recipe is None:
            return {name: value for name, value in own.items() if name not in trunk.of_attention}
        return own | {names.get(name, name): value for name, value in settings_of(recipe).items()}

    def build(self, scale: int, settings: Mapping[str, Scalar]) -> nn.Module:
        """The network at `scale`, with `settings` replacing released values.

        Raises:
            ValueError: an unknown scale or setting, or a value that the trunk or the recipe refuses.
        """
        if scale not in SCALES:
            raise ValueError(f"scale must be one of {SCALES}, not {scale!r}")
        trunk, recipe = self._chosen(settings)
        require_known(f"setting of {self.name}", our_names(settings), self.settings(settings))
        network = trunk.build(scale, recipe)
        _check_sharing(network, recipe)
        return network

    def _chosen(self, chosen: Mapping[str, Scalar]) -> tuple[Trunk, Recipe | None]:
        """Trunk and recipe with `chosen` settings; names that neither has are left alone."""
        chosen = our_names(chosen)
        for_recipe = {name: v for name, v in chosen.items() if name not in self.recipe_names.values()}
        for_recipe |= {inner: chosen[own] for own, inner in self.recipe_names.items() if own in chosen}
        trunk = with_settings(_Base(trunk=self.trunk), chosen).trunk
        return trunk, None if self.recipe is None else with_settings(self.recipe, for_recipe)


def _check_sharing(network: nn.Module, recipe: Recipe | None) -> None:
    """Raise `ValueError` if later attentions shall reuse the affinity of one that is not there."""
    share_from, attentions = getattr(recipe, "share_from", 0), len(attention_modules(network))
    if share_from > attentions:
        raise ValueError(f"share_from names the attention {share_from} of a network that has {attentions}")
