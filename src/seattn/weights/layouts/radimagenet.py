"""RadImageNet's ResNets: torchvision's, its children in a Sequential and so without names."""

from collections.abc import Mapping

from torch import Tensor

from seattn.weights.layouts.layout import Layout, Rule, Structure

__all__ = ["RADIMAGENET"]


def _structure(weights: Mapping[str, Tensor]) -> Structure:
    return Structure(stride_on="conv2", stem_pool="padded", bn_eps=1e-5)


RADIMAGENET = Layout(
    name="radimagenet",
    signature=("4.*.conv*.weight", "5.*.conv*.weight"),
    rules=(
        Rule("0.weight", "conv1.weight"),
        Rule("1.*", "bn1.*"),
        # 2 and 3 are the ReLU and the pooling
        Rule("4.*.**", "layer1.*.**"),
        Rule("5.*.**", "layer2.*.**"),
        Rule("6.*.**", "layer3.*.**"),
        Rule("7.*.**", "layer4.*.**"),
        # 8 is the pooling; the released files end before
        Rule("9.*", "fc.*"),
    ),
    structure=_structure,
)
