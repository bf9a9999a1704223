"""High-similarity-pass attention (HSPA) and HSPAN, the group trunk that carries it (Su et al., 2023)."""

from methods.dense import DenseRecipe, Sparsemax
from methods.published import Method
from methods.settings import with_settings
from methods.trunks import GroupTrunk

ATTENTION = DenseRecipe(weighting=Sparsemax())
METHOD = Method(
    name="hspan",
    title="HSPAN",
    trunk=GroupTrunk(n_feats=192),
    recipe=with_settings(ATTENTION, {"res_scale": 0.1}),
    order="n^2",
    execution=frozenset(),
)
