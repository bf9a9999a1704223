"""Learnable collaborative attention (LCoA) and LCoAN: buckets by k-means, found once and shared by all layers."""

from methods.bucketed import BucketRecipe
from methods.lcoa.trunk import CollaborativeTrunk
from methods.parts.fuse import ResidualAdd
from methods.parts.kmeans import KMeans
from methods.published import Method

ATTENTION = BucketRecipe(
    assign=KMeans(n_hashes=1, n_clusters=128),
    fuse=ResidualAdd(res_scale=0.1),
    reduction=1,
    chunk_size=384,
    share_from=1,
)
METHOD = Method(name="lcoan", title="LCoAN", trunk=CollaborativeTrunk(n_feats=128), recipe=ATTENTION)
