"""Non-local sparse attention (NLSA) and NLSN, the EDSR trunk that carries it (Mei et al., CVPR 2021)."""

from methods.bucketed import BucketRecipe
from methods.parts.assign import SphericalLSH
from methods.published import Method
from methods.settings import with_settings
from methods.trunks import ResidualTrunk

ATTENTION = BucketRecipe(assign=SphericalLSH(n_hashes=4), reduction=4, chunk_size=144)
METHOD = Method(
    name="nlsn",
    title="NLSN",
    trunk=ResidualTrunk(),
    recipe=with_settings(ATTENTION, {"res_scale": 0.1}),
)
