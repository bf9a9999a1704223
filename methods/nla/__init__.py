"""Dense non-local attention (NLA), the quadratic reference, and NLN, the EDSR trunk that carries it."""

import dataclasses

from methods.interface import Method
from methods.nla.attention import DenseRecipe
from methods.trunks import ResidualTrunk

ATTENTION = DenseRecipe()
METHOD = Method(
    name="nln",
    title="NLN",
    paper="Wang et al., Non-local Neural Networks, CVPR 2018, in EDSR's trunk: our dense baseline",
    code="the dense module of the authors of NLSN and ENLCN",
    trunk=ResidualTrunk(),
    recipe=dataclasses.replace(ATTENTION, res_scale=0.1),
    order="n^2",
    execution=frozenset({"backend"}),
    deviations=("No paper published this network: it puts dense attention where NLSN puts its own.",),
)
