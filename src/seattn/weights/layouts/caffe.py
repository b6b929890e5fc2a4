"""The network of the SENet authors' Caffe release, which Cadene's and MONAI's weights belong to."""

from collections.abc import Mapping

from torch import Tensor

from seattn.weights.layouts.layout import Rule, Structure, matches, rename

__all__ = ["DEEP_STEM", "STEM", "structure"]

STEM = (
    Rule("layer0.conv1.weight", "conv1.weight"),
    Rule("layer0.bn1.*", "bn1.*"),
)

# SENet-154: three 3x3 convolutions.
DEEP_STEM = (
    Rule("layer0.conv1.weight", "conv1.0.weight"),
    Rule("layer0.bn1.*", "conv1.1.*"),
    Rule("layer0.conv2.weight", "conv1.3.weight"),
    Rule("layer0.bn2.*", "conv1.4.*"),
    Rule("layer0.conv3.weight", "conv1.6.weight"),
    Rule("layer0.bn3.*", "bn1.*"),
)


def structure(weights: Mapping[str, Tensor]) -> Structure:
    """Return Caffe's pooling, and the stride's place, which depends on the kind of bottleneck.

    The SE-ResNets stride in the first convolution, SE-ResNeXt and SENet-154, whose second one is
    grouped, in that.

    Raises:
        ValueError: The blocks are no bottlenecks.
    """
    pairs = []
    for key, second in weights.items():
        first = rename(key, "layer*.*.conv2.weight", "layer*.*.conv1.weight")
        if first is not None and first in weights:
            pairs.append((weights[first], second))
    if pairs and not any(matches(key, "layer*.*.conv3.weight") for key in weights):
        raise ValueError(
            "SE-ResNet-18 and 34 as released rectify the residual once more, before its gates; "
            "networks of other layouts do not, so these weights cannot be converted"
        )
    grouped = any(second.shape[1] != first.shape[0] for first, second in pairs)
    stride_on = "conv2" if grouped else "conv1"
    return Structure(stride_on=stride_on if pairs else None, stem_pool="ceil", bn_eps=1e-5)
