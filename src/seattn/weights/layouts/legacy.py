"""Cadene's pretrained-models, which timm keeps as ``legacy_se*``."""

from seattn.weights.layouts import caffe
from seattn.weights.layouts.layout import RESIDUAL, Layout, Rule

__all__ = ["LEGACY", "LEGACY_DEEP"]

_SIGNATURE = "layer*.*.se_module.**"
_RULES = (
    *RESIDUAL,
    Rule("layer*.*.se_module.**", "layer*.*.se.**"),
    Rule("last_linear.*", "fc.*"),
)

LEGACY = Layout(
    name="legacy",
    signature=(_SIGNATURE,),
    rules=(*caffe.STEM, *_RULES),
    structure=caffe.structure,
)

LEGACY_DEEP = Layout(
    name="legacy",
    signature=(_SIGNATURE, "layer0.conv3.weight"),
    rules=(*caffe.DEEP_STEM, *_RULES),
    structure=caffe.structure,
)
