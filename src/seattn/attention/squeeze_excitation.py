"""Squeeze-and-excitation (Hu et al. 2018, arXiv:1709.01507), and EfficientNet's variant of it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seattn.attention import rank
from seattn.attention.reduction import hidden_width

__all__ = ["SEBlock", "SqueezeExcite"]


class SEBlock(nn.Module):
    """Squeeze-and-excitation: scales every channel by a gate computed from all channels' means.

    With ``u`` the input, the paper's equations 2 to 4 are ``z = mean of u over space`` (squeeze),
    ``s = sigmoid(W2 relu(W1 z))`` (excitation) and ``s_c * u_c`` (scale). ``fc1`` is ``W1`` and
    ``fc2`` is ``W2``, both with a bias, as in the networks that the authors released.

    The two layers are 1x1 convolutions whatever the rank of the input, so that one state dict, with
    timm's names and shapes, serves 1D, 2D and 3D networks. Weights start as He et al. 2015 propose
    (fan out), biases as PyTorch's convolutions do.

    Args:
        channels: Number of channels C of the input.
        reduction: The paper's r; the hidden layer has ``channels // reduction`` units.
        hidden_channels: Number of hidden units R; overrides ``reduction``.

    Shape:
        - Input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        - Output: the same.

    Raises:
        ValueError: ``reduction`` exceeds ``channels`` and ``hidden_channels`` is not given, or one
            of them is not positive; in the forward pass: the input is not ``(N, C, *spatial)``.

    Examples:
        >>> import torch
        >>> from seattn.attention import SEBlock
        >>> block = SEBlock(64)
        >>> block(torch.randn(2, 64, 7, 7)).shape
        torch.Size([2, 64, 7, 7])
        >>> block(torch.randn(2, 64, 4, 7, 7)).shape
        torch.Size([2, 64, 4, 7, 7])
        >>> block.gate(torch.randn(2, 64, 100)).shape
        torch.Size([2, 64, 1])
    """

    gate_reads_mean_only = True  # see `seattn.backbones.fused`

    def __init__(
        self, channels: int, reduction: int = 16, *, hidden_channels: int | None = None
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, hidden_channels)
        self.fc1 = nn.Conv2d(channels, hidden, kernel_size=1)
        self.fc2 = nn.Conv2d(hidden, channels, kernel_size=1)
        for layer in (self.fc1, self.fc2):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def gate(self, x: Tensor) -> Tensor:
        """Return the factor of every channel, in (0, 1).

        Args:
            x: The input of the block, ``(N, C, *spatial)``.

        Returns:
            Gates ``(N, C, 1, ..., 1)`` of the rank of ``x``: ``block(x) == x * block.gate(x)``.
        """
        squeezed = rank.squeeze(x, self.fc1.in_channels)  # (N, C, 1, 1)
        hidden = F.relu(self.fc1(squeezed))  # (N, R, 1, 1)
        excitation = torch.sigmoid(self.fc2(hidden))  # (N, C, 1, 1)
        return rank.match_rank(excitation, x)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, every channel scaled by its gate."""
        return x * self.gate(x)


class SqueezeExcite(nn.Module):
    """EfficientNet's squeeze-and-excitation: SiLU between the layers, and its own initialisation.

    From the authors' implementation of Tan & Le, ICML 2019 (arXiv:1905.11946), whose hidden layer
    is a quarter of the channels that *enter* the inverted bottleneck, not of those it gates; pass
    ``hidden_channels`` for that. State-dict names are timm's. Weights start as He et al. 2015
    propose (fan out), biases as zero.

    Args:
        channels: Number of channels C of the input.
        reduction: The hidden layer has ``channels // reduction`` units.
        hidden_channels: Number of hidden units R; overrides ``reduction``.

    Shape:
        - Input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        - Output: the same.

    Raises:
        ValueError: As ``SEBlock``.

    Examples:
        >>> import torch
        >>> from seattn.attention import SqueezeExcite
        >>> block = SqueezeExcite(96, hidden_channels=4)
        >>> block(torch.randn(2, 96, 7, 7)).shape
        torch.Size([2, 96, 7, 7])
    """

    gate_reads_mean_only = True  # see `seattn.backbones.fused`

    def __init__(
        self, channels: int, reduction: int = 4, *, hidden_channels: int | None = None
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, hidden_channels)
        # timm's names; its checkpoints carry them.
        self.conv_reduce = nn.Conv2d(channels, hidden, kernel_size=1)
        self.conv_expand = nn.Conv2d(hidden, channels, kernel_size=1)
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.zeros_(parameter)

    def gate(self, x: Tensor) -> Tensor:
        """Return the factor of every channel, in (0, 1).

        Args:
            x: The input of the block, ``(N, C, *spatial)``.

        Returns:
            Gates ``(N, C, 1, ..., 1)`` of the rank of ``x``: ``block(x) == x * block.gate(x)``.
        """
        squeezed = rank.squeeze(x, self.conv_reduce.in_channels)  # (N, C, 1, 1)
        hidden = F.silu(self.conv_reduce(squeezed))  # (N, R, 1, 1)
        excitation = torch.sigmoid(self.conv_expand(hidden))  # (N, C, 1, 1)
        return rank.match_rank(excitation, x)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, every channel scaled by its gate."""
        return x * self.gate(x)
