"""Images in, pairs out: named sets, exact resizing, and a patch pipeline. Never imports torch."""

from datasets.degrade import degrade
from datasets.manifest import names
from datasets.resize import imresize
from datasets.sets import ImageSet, Pair, load

__all__ = ["ImageSet", "Pair", "degrade", "imresize", "load", "names"]
