"""Efficient channel attention (Wang et al., CVPR 2020, arXiv:1910.03151)."""

import math

import torch
from torch import Tensor, nn

from seattn.attention import rank

__all__ = ["ECABlock"]


class ECABlock(nn.Module):
    """Efficient channel attention: a channel's gate from the means of its k nearest channels.

    With ``y`` the channels' means over space, the paper's equation 9 is ``sigmoid(C1D_k(y))``:
    ``conv`` is ``C1D_k``, a convolution along the channels, of one kernel without a bias, k numbers
    in all. Equation 12 chooses k as the odd number nearest to ``|log2(C) / gamma + b / gamma|``
    (5 lies nearest to both 4 and 6).

    Differs from the paper: k is at least 3, as in timm; by equation 12 it is 1 for C < 8. The
    authors' released networks have k = 3 everywhere: pass ``kernel_size=3`` to load them.

    Channels beyond the first and the last count as zeros. One state dict, with timm's names and
    shapes, serves 1D, 2D and 3D networks. Weights start as PyTorch's convolutions. There is no
    ``init_identity_``: the gates of all weights 0 are 0.5, and no weights make them 1.

    Args:
        channels: Number of channels C of the input.
        kernel_size: The paper's k, odd; None to choose it by equation 12.
        gamma: The paper's gamma, positive.
        beta: The paper's b.

    Shape:
        - Input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        - Output: the same.

    Raises:
        ValueError: ``channels`` or ``gamma`` is not positive, or ``kernel_size`` is not odd and
            positive; in the forward pass: the input is not ``(N, C, *spatial)``.

    Examples:
        >>> import torch
        >>> from seattn.attention import ECABlock
        >>> block = ECABlock(256)
        >>> block.conv.weight.shape
        torch.Size([1, 1, 5])
        >>> block(torch.randn(2, 256, 7, 7)).shape
        torch.Size([2, 256, 7, 7])
    """

    gate_reads_mean_only = True  # see `seattn.backbones.fused`

    def __init__(
        self, channels: int, *, kernel_size: int | None = None, gamma: float = 2, beta: float = 1
    ) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"`channels` (={channels}) must be positive")
        if kernel_size is None:
            kernel_size = _kernel_size(channels, gamma, beta)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` (={kernel_size}) must be odd and positive")
        self.channels = channels
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def gate(self, x: Tensor) -> Tensor:
        """Return the factor of every channel, in (0, 1).

        Args:
            x: The input of the block, ``(N, C, *spatial)``.

        Returns:
            Gates ``(N, C, 1, ..., 1)`` of the rank of ``x``: ``block(x) == x * block.gate(x)``.
        """
        y = rank.squeeze(x, self.channels).flatten(1)  # (N, C)
        omega = torch.sigmoid(self.conv(y[:, None])[:, 0])  # (N, C)
        return rank.match_rank(omega, x)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, every channel scaled by its gate."""
        return x * self.gate(x)

    def extra_repr(self) -> str:
        """Return what printing the block shows beside its layers."""
        return f"channels={self.channels}"


def _kernel_size(channels: int, gamma: float, beta: float) -> int:
    """Return k of equation 12, at least 3."""
    if gamma <= 0:
        raise ValueError(f"`gamma` (={gamma}) must be positive")
    t = int(abs(math.log2(channels) + beta) / gamma)
    return max(t if t % 2 else t + 1, 3)
