"""Non-local sparse attention (NLSA) and NLSN, the EDSR trunk that carries it (Mei et al., CVPR 2021)."""

from methods.bucketed import BucketRecipe
from methods.interface import Method
from methods.parts.assign import SphericalLSH
from methods.parts.fuse import ResidualAdd
from methods.parts.score import Dot
from methods.parts.value import PointwiseValue
from methods.settings import with_settings
from methods.trunks import ResidualTrunk

ATTENTION = BucketRecipe(assign=SphericalLSH(), score=Dot(), value=PointwiseValue(), fuse=ResidualAdd())
METHOD = Method(
    name="nlsn",
    title="NLSN",
    paper="Mei et al., Image Super-Resolution with Non-Local Sparse Attention, CVPR 2021",
    code="HarukiYqM/Non-Local-Sparse-Attention",
    trunk=ResidualTrunk(),
    recipe=with_settings(ATTENTION, {"res_scale": 0.1}),
    order="n",
    deviations=(
        "Tokens are sorted stably, so that a seed fixes the output; the released sort is not stable.",
        "Fewer tokens than two chunks share one bucket; the released code fails there.",
    ),
)
