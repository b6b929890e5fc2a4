"""Attention as plain modules, one paper each: each maps ``(N, C, *spatial)`` to the same shape."""

from seattn.attention.bam import BAMBlock
from seattn.attention.cbam import CBAMBlock
from seattn.attention.coordinate import CoordAttention
from seattn.attention.effective_squeeze_excitation import EffectiveSE
from seattn.attention.efficient_channel import ECABlock
from seattn.attention.gate_summary import GateStatistics, GateSummary
from seattn.attention.gates import record_gates
from seattn.attention.gather_excite import GatherExcite
from seattn.attention.global_context import GlobalContext, GlobalContextAdd
from seattn.attention.simam import SimAM
from seattn.attention.spatial_channel_excitation import SCSEBlock
from seattn.attention.squeeze_excitation import SEBlock, SqueezeExcite
from seattn.attention.triplet import TripletAttention

__all__ = [
    "BAMBlock",
    "CBAMBlock",
    "CoordAttention",
    "ECABlock",
    "EffectiveSE",
    "GateStatistics",
    "GateSummary",
    "GatherExcite",
    "GlobalContext",
    "GlobalContextAdd",
    "SCSEBlock",
    "SEBlock",
    "SimAM",
    "SqueezeExcite",
    "TripletAttention",
    "record_gates",
]
