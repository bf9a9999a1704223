"""Methods as data over a shared skeleton: networks, attentions, and the weights that fit them."""

from methods.catalogue import build_attention, build_network, method
from methods.fit import Fit, fit
from methods.weights import Provenance, load_weights

__all__ = ["Fit", "Provenance", "build_attention", "build_network", "fit", "load_weights", "method"]
