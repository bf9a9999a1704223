"""Dense non-local attention (NLA), the quadratic reference, and NLN, the EDSR trunk that carries it."""

from methods.dense import DenseRecipe
from methods.published import Method
from methods.settings import with_settings
from methods.trunks import ResidualTrunk

ATTENTION = DenseRecipe()
METHOD = Method(
    name="nln",
    title="NLN",
    trunk=ResidualTrunk(),
    recipe=with_settings(ATTENTION, {"res_scale": 0.1}),
    order="n^2",
)
