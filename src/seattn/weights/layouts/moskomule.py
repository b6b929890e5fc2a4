"""moskomule's senet.pytorch: torchvision's ResNet, with gates from linear layers without biases."""

from collections.abc import Mapping

from torch import Tensor

from seattn.weights.layouts.layout import RESIDUAL, Layout, Rule, Structure

__all__ = ["MOSKOMULE"]


def _structure(weights: Mapping[str, Tensor]) -> Structure:
    return Structure(stride_on="conv2", stem_pool="padded", bn_eps=1e-5)


MOSKOMULE = Layout(
    name="moskomule",
    signature=("layer*.*.se.fc.*.weight",),
    rules=(
        Rule("conv1.weight", "conv1.weight"),
        Rule("bn1.*", "bn1.*"),
        *RESIDUAL,
        Rule("layer*.*.se.fc.0.weight", "layer*.*.se.fc1.weight", linear=True),
        Rule("layer*.*.se.fc.2.weight", "layer*.*.se.fc2.weight", linear=True),
        # Its first checkpoints still had them.
        Rule("layer*.*.se.fc.0.bias", "layer*.*.se.fc1.bias"),
        Rule("layer*.*.se.fc.2.bias", "layer*.*.se.fc2.bias"),
        Rule("fc.*", "fc.*"),
    ),
    structure=_structure,
    without_bias="layer*.*.se.fc*.weight",
)
