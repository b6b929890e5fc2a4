"""MONAI's SENets: every convolution and its BatchNorm in one module, gates from linear layers."""

from seattn.weights.layouts import caffe
from seattn.weights.layouts.layout import Layout, Rule

__all__ = ["MONAI", "MONAI_DEEP"]

_SIGNATURE = "layer*.*.conv*.adn.N.*"
_RULES = (
    Rule("layer*.*.conv*.conv.weight", "layer*.*.conv*.weight"),
    Rule("layer*.*.conv*.adn.N.*", "layer*.*.bn*.*"),
    Rule("layer*.*.project.conv.weight", "layer*.*.downsample.0.weight"),
    Rule("layer*.*.project.adn.N.*", "layer*.*.downsample.1.*"),
    Rule("layer*.*.se_layer.fc.0.weight", "layer*.*.se.fc1.weight", linear=True),
    Rule("layer*.*.se_layer.fc.0.bias", "layer*.*.se.fc1.bias"),
    Rule("layer*.*.se_layer.fc.2.weight", "layer*.*.se.fc2.weight", linear=True),
    Rule("layer*.*.se_layer.fc.2.bias", "layer*.*.se.fc2.bias"),
    Rule("last_linear.*", "fc.*"),
)

MONAI = Layout(
    name="monai",
    signature=(_SIGNATURE,),
    rules=(*caffe.STEM, *_RULES),
    structure=caffe.structure,
)

MONAI_DEEP = Layout(
    name="monai",
    signature=(_SIGNATURE, "layer0.conv3.weight"),
    rules=(*caffe.DEEP_STEM, *_RULES),
    structure=caffe.structure,
)
