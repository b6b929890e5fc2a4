"""Concurrent spatial and channel squeeze-and-excitation (Roy et al. 2018, arXiv:1803.02579)."""

import torch
from torch import Tensor, nn

from seattn.attention import rank
from seattn.attention.reduction import hidden_width

__all__ = ["SCSEBlock"]


class SCSEBlock(nn.Module):
    """Concurrent spatial and channel squeeze-and-excitation (scSE): a gate of channel and position.

    The paper scales every channel as squeeze-and-excitation does (cSE), and every position (sSE),
    ``sigmoid(W_sq u)`` with one number per channel in ``W_sq``; scSE is the
    sum of both outputs, ``x * cSE(x) + x * sSE(x)``. Its gate is the sum of the two, in (0, 2).

    Differs from the paper: the reduction is 16, as in segmentation_models_pytorch and in
    squeeze-and-excitation, where the paper has 2; all three layers have a bias, as there; the gates
    are added before ``x`` is scaled, which reads ``x`` once.

    State-dict names are those of segmentation_models_pytorch: ``cSE.1``, ``cSE.3`` and ``sSE.0``.
    All are 1x1 convolutions whatever the rank of the input, so that one state dict serves 1D, 2D
    and 3D networks. Weights start as PyTorch's convolutions.

    Args:
        channels: Number of channels C of the input.
        reduction: The hidden layer of cSE has ``channels // reduction`` units.
        hidden_channels: Number of hidden units R; overrides ``reduction``.

    Shape:
        - Input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        - Output: the same.

    Raises:
        ValueError: ``reduction`` exceeds ``channels`` and ``hidden_channels`` is not given, or one
            of them is not positive; in the forward pass: the input is not ``(N, C, *spatial)``.

    Examples:
        >>> import torch
        >>> from seattn.attention import SCSEBlock
        >>> block = SCSEBlock(64)
        >>> x = torch.randn(2, 64, 7, 7)
        >>> block(x).shape
        torch.Size([2, 64, 7, 7])
        >>> block.init_identity_()
        >>> torch.equal(block(x), x)
        True
    """

    def __init__(
        self, channels: int, reduction: int = 16, *, hidden_channels: int | None = None
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, hidden_channels)
        self.channels = channels
        self.cSE = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, kernel_size=1),
            nn.Sigmoid(),
        )
        self.sSE = nn.Sequential(nn.Conv2d(channels, 1, kernel_size=1), nn.Sigmoid())

    @torch.no_grad()
    def init_identity_(self) -> None:
        """Set the last layers of both gates to 0: each is 0.5 then, and their sum exactly 1."""
        for layer in (self.cSE[3], self.sSE[0]):
            for parameter in layer.parameters():
                parameter.zero_()

    def gate(self, x: Tensor) -> Tensor:
        """Return the factor of every position of every channel, in (0, 2).

        Args:
            x: The input of the block, ``(N, C, *spatial)``.

        Returns:
            Gates of the shape of ``x``: ``block(x) == x * block.gate(x)``.
        """
        image = rank.as_image(x, self.channels)  # (N, C, L, 1)
        gate = self.cSE(image) + self.sSE(image)  # (N, C, 1, 1) + (N, 1, L, 1)
        return rank.like_map(gate, x)  # (N, C, *spatial)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, every position of every channel scaled by its gate."""
        return x * self.gate(x)
