"""Deformable non-local fusion (DNLF) and DTFN: GLA's attention with deformable values and texture-fidelity fusion."""

from methods.bucketed import BucketRecipe
from methods.parts.assign import SuperBitLSH
from methods.parts.fuse import TextureFidelity
from methods.parts.score import DotPlusLearned
from methods.parts.value import Deformable
from methods.published import Method
from methods.trunks import GroupTrunk

ATTENTION = BucketRecipe(
    assign=SuperBitLSH(n_hashes=3),
    score=DotPlusLearned(),
    value=Deformable(),
    fuse=TextureFidelity(res_scale=0.1),
    reduction=4,
    chunk_size=128,
    match_relu=True,
)
METHOD = Method(name="dtfn", title="DTFN", trunk=GroupTrunk(), recipe=ATTENTION)
