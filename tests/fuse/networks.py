"""Small networks with random statistics, so that no layer and no gate is trivial."""

import torch
from torch import nn

from tests.peers.networks import randomise_norms

__all__ = ["SMALL", "randomise", "relative"]

SMALL = {"layers": (1, 2, 1, 1), "channels": (16, 24, 32, 48)}


def randomise(network: nn.Module) -> nn.Module:
    """Draw norms and attention anew; some gates are near 0, others near 1."""
    randomise_norms(network)
    for name, parameter in network.named_parameters():
        if ".se." in name:
            nn.init.normal_(parameter, std=0.7)
    return network.eval()


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference divided by the largest number."""
    return ((actual - expected).abs().max() / expected.abs().max()).item()
