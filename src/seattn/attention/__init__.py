"""Attention as plain modules, one paper each: each maps ``(N, C, *spatial)`` to the same shape."""

from seattn.attention.cbam import CBAMBlock
from seattn.attention.coordinate import CoordAttention
from seattn.attention.effective_squeeze_excitation import EffectiveSE
from seattn.attention.efficient_channel import ECABlock
from seattn.attention.gate_summary import GateStatistics, GateSummary
from seattn.attention.gates import record_gates
from seattn.attention.global_context import GlobalContext, GlobalContextAdd
from seattn.attention.simam import SimAM
from seattn.attention.spatial_channel_excitation import SCSEBlock
from seattn.attention.squeeze_excitation import SEBlock, SqueezeExcite

__all__ = [
    "CBAMBlock",
    "CoordAttention",
    "ECABlock",
    "EffectiveSE",
    "GateStatistics",
    "GateSummary",
    "GlobalContext",
    "GlobalContextAdd",
    "SCSEBlock",
    "SEBlock",
    "SimAM",
    "SqueezeExcite",
    "record_gates",
]
