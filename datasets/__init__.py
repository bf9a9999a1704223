"""Images in, pairs out: named sets, exact resizing, and a patch pipeline. Never imports torch."""

from datasets.resize import imresize
from datasets.sets import ImageSet, Pair, load, names

__all__ = ["ImageSet", "Pair", "imresize", "load", "names"]
