"""Channel attention as plain modules: each maps ``(N, C, *spatial)`` to the same shape."""

from seattn.attention.gates import record_gates
from seattn.attention.squeeze_excitation import SEBlock, SqueezeExcite

__all__ = ["SEBlock", "SqueezeExcite", "record_gates"]
