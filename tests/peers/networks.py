"""Networks of the peers with random statistics, so that no layer is the identity."""

from torch import nn

__all__ = ["randomise_norms"]


def randomise_norms(net: nn.Module) -> nn.Module:
    """Draw the weights and the statistics of every BatchNorm, and return the network."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return net
