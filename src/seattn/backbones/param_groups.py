"""Parameter groups for fine-tuning: earlier layers learn more slowly."""

from typing import Any

from torch import nn

from seattn.backbones.backbone import Backbone
from seattn.backbones.stage import Stage

__all__ = ["layer_decay_groups"]


def layer_decay_groups(
    network: Backbone, *, lr: float, layer_decay: float = 0.75, weight_decay: float = 0.05
) -> list[dict[str, Any]]:
    """Group parameters for an optimizer so that every layer learns faster than the one before.

    The layers are the stem, every block, the last with what follows it, and the classifier, as in
    timm's ``param_groups_layer_decay``, which multiplies a schedule by the group's ``lr_scale``;
    here the product is in the group already, so that any of torch's optimizers takes it. Layer-wise
    decay comes from ULMFiT's discriminative fine-tuning (Howard & Ruder 2018, arXiv:1801.06146) and
    BEiT (Bao et al. 2022, arXiv:2106.08254).

    Args:
        network: One of ours.
        lr: Learning rate of the classifier, or without one of the last layer.
        layer_decay: Factor from each layer to the one before, in (0, 1].
        weight_decay: For weights; biases and the parameters of normalisation have none.

    Returns:
        Groups of parameters that require a gradient, with ``lr``, ``lr_scale`` and
        ``weight_decay``, from the stem on.

    Raises:
        ValueError: ``layer_decay`` is out of range.

    Examples:
        >>> import torch
        >>> from seattn.backbones import layer_decay_groups, se_resnet18
        >>> groups = layer_decay_groups(se_resnet18(), lr=1e-3, layer_decay=0.5)
        >>> optimizer = torch.optim.AdamW(groups)
        >>> groups[-1]["lr"], groups[-3]["lr"]
        (0.001, 0.0005)
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"`layer_decay` (={layer_decay}) must be above 0 and at most 1")
    groups = []
    layers = _layers(network)
    for depth, layer in enumerate(layers):
        scale = layer_decay ** (len(layers) - 1 - depth)
        parameters = [p for module in layer for p in module.parameters() if p.requires_grad]
        for decay, chosen in (
            (0.0, [p for p in parameters if p.ndim <= 1]),
            (weight_decay, [p for p in parameters if p.ndim > 1]),
        ):
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "lr": lr * scale,
                        "lr_scale": scale,
                        "weight_decay": decay,
                    }
                )
    return groups


def _layers(network: Backbone) -> list[list[nn.Module]]:
    """Return the modules of every layer, from the stem on."""
    layers: list[list[nn.Module]] = [[]]
    for name in network.trunk:
        module = network.get_submodule(name)
        if isinstance(module, Stage):
            layers += [[block] for block in module]
        else:
            layers[-1].append(module)
    classifier = network.get_classifier()
    return [*layers, [classifier]] if isinstance(classifier, nn.Linear) else layers
