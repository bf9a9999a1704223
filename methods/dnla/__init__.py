"""Decoupled non-local attention (DNLA) and DNLAN, the group trunk that carries it: buckets by FlyHash."""

from methods.bucketed import BucketRecipe
from methods.parts.assign import FlyHash
from methods.published import Method
from methods.settings import with_settings
from methods.trunks import GroupTrunk

ATTENTION = BucketRecipe(assign=FlyHash(n_hashes=3, hash_length=7), reduction=2, chunk_size=144)
METHOD = Method(
    name="dnlan",
    title="DNLAN",
    trunk=GroupTrunk(n_feats=128),
    recipe=with_settings(ATTENTION, {"res_scale": 0.1}),
)
