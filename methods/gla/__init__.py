"""Global learnable attention (GLA) and DLSN, the group trunk with it: a learned score beside the dot product."""

from methods.bucketed import BucketRecipe
from methods.parts.assign import SuperBitLSH
from methods.parts.score import DotPlusLearned
from methods.parts.value import Spatial
from methods.published import Method
from methods.trunks import GroupTrunk

ATTENTION = BucketRecipe(
    assign=SuperBitLSH(n_hashes=3),
    score=DotPlusLearned(),
    value=Spatial(),
    reduction=4,
    chunk_size=128,
    match_relu=True,
)
METHOD = Method(
    name="dlsn",
    title="DLSN",
    trunk=GroupTrunk(),
    recipe=ATTENTION,
    recipe_names={"attention_res_scale": "res_scale"},
)
