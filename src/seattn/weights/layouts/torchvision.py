"""torchvision's ResNets, named as timm's, and its EfficientNets, numbered modules throughout."""

from collections.abc import Mapping

from torch import Tensor

from seattn.weights.layouts import timm
from seattn.weights.layouts.layout import RESIDUAL, Layout, Rule, Structure

__all__ = ["TORCHVISION_EFFICIENTNET", "TORCHVISION_RESNET"]

# What `block.0`, `block.1`, ... are: a convolution and its BatchNorm, or the gates.
_DEPTHWISE = (("conv_dw", "bn1"), "se", ("conv_pw", "bn2"))
_INVERTED = (("conv_pw", "bn1"), ("conv_dw", "bn2"), "se", ("conv_pwl", "bn3"))


def _stage(index: int) -> list[Rule]:
    """Return the rules of a stage, numbered as timm does; torchvision counts the stem too."""
    rules = []
    for position, part in enumerate(_DEPTHWISE if index == 0 else _INVERTED):
        theirs = f"features.{index + 1}.*.block.{position}"
        ours = f"blocks.{index}.*"
        if part == "se":
            rules.append(Rule(f"{theirs}.fc1.*", f"{ours}.se.conv_reduce.*"))
            rules.append(Rule(f"{theirs}.fc2.*", f"{ours}.se.conv_expand.*"))
        else:
            rules.append(Rule(f"{theirs}.0.weight", f"{ours}.{part[0]}.weight"))
            rules.append(Rule(f"{theirs}.1.*", f"{ours}.{part[1]}.*"))
    return rules


def _efficientnet(weights: Mapping[str, Tensor]) -> Structure:
    """Return BatchNorm's epsilon: PyTorch's up to B4, TensorFlow's from B5 on, told by the head."""
    head = weights.get("conv_head.weight")
    if head is None:
        return Structure()
    return Structure(bn_eps=1e-3 if head.shape[0] >= 2048 else 1e-5)


TORCHVISION_EFFICIENTNET = Layout(
    name="torchvision",
    signature=("features.*.*.block.**",),
    rules=(
        Rule("features.0.0.weight", "conv_stem.weight"),
        Rule("features.0.1.*", "bn1.*"),
        *(rule for index in range(7) for rule in _stage(index)),
        Rule("features.8.0.weight", "conv_head.weight"),
        Rule("features.8.1.*", "bn2.*"),
        Rule("classifier.1.*", "classifier.*"),
    ),
    structure=_efficientnet,
)

# No key tells it from timm's ResNets.
TORCHVISION_RESNET = Layout(
    name="torchvision",
    signature=("layer*.*.conv*.weight",),
    rules=(
        Rule("conv1.weight", "conv1.weight"),
        Rule("bn1.*", "bn1.*"),
        *RESIDUAL,
        Rule("fc.*", "fc.*"),
    ),
    structure=timm.structure,
)
