"""BatchNorm as the slow references take it."""

from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["affine", "randomise"]


def affine(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a BatchNorm in evaluation."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale.detach(), (norm.bias - norm.running_mean * scale).detach()


def randomise(block: Any) -> Any:
    """Give biases and BatchNorms values that a formula cannot ignore."""
    for module in block.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean)
    for name, parameter in block.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return block
