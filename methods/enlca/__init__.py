"""Efficient non-local contrastive attention (ENLCA) and ENLCN, the EDSR trunk with it (Xia et al., AAAI 2022)."""

from methods.enlca.attention import KernelRecipe
from methods.published import Method
from methods.settings import with_settings
from methods.trunks import ResidualTrunk

ATTENTION = KernelRecipe()
METHOD = Method(
    name="enlcn",
    title="ENLCN",
    trunk=ResidualTrunk(),
    recipe=with_settings(ATTENTION, {"res_scale": 0.1}),
    min_positions=65,
)
