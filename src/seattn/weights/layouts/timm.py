"""timm's names, which are also ours and, for ResNets, torchvision's."""

from collections.abc import Mapping

from torch import Tensor

from seattn.weights.layouts.layout import Layout, Rule, Structure

__all__ = ["TIMM", "structure"]


def structure(weights: Mapping[str, Tensor]) -> Structure:
    """Return that of timm's residual networks.

    BatchNorm's epsilon stays open: ``efficientnet_*`` and ``tf_efficientnet_*`` share all names.
    """
    return Structure(stride_on="conv2", stem_pool="padded")


TIMM = Layout(name="timm", signature=(), rules=(Rule("**", "**"),), structure=structure)
