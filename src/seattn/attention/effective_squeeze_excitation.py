"""Effective squeeze-and-excitation (Lee & Park, CVPR 2020, arXiv:1911.06667)."""

import torch
from torch import Tensor, nn

from seattn.attention import rank

__all__ = ["EffectiveSE"]


class EffectiveSE(nn.Module):
    """Squeeze-and-excitation with one layer and no reduction, so that no channel is squeezed away.

    With ``X`` the input, the paper ("CenterMask", of which this block is the eSE of VoVNetV2)
    has ``A = sigma(W_C F_gap(X))`` and the output ``A * X``: ``F_gap`` is the mean over
    space, ``W_C`` is ``fc``, from C channels to C, with a bias.

    Differs from the paper: ``sigma`` is the hard sigmoid ``min(max(z + 3, 0), 6) / 6``, as in the
    networks that the authors released, and in timm.

    The layer is a 1x1 convolution whatever the rank of the input, so that one state dict, with
    timm's names and shapes, serves 1D, 2D and 3D networks. Weights start as PyTorch's convolutions.

    Args:
        channels: Number of channels C of the input.

    Shape:
        - Input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        - Output: the same.

    Raises:
        ValueError: ``channels`` is not positive; in the forward pass: the input is not
            ``(N, C, *spatial)``.

    Examples:
        >>> import torch
        >>> from seattn.attention import EffectiveSE
        >>> block = EffectiveSE(64)
        >>> x = torch.randn(2, 64, 7, 7)
        >>> block(x).shape
        torch.Size([2, 64, 7, 7])
        >>> block.init_identity_()
        >>> torch.equal(block(x), x)
        True
    """

    gate_reads_mean_only = True  # see `seattn.backbones.fused`

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"`channels` (={channels}) must be positive")
        self.fc = nn.Conv2d(channels, channels, kernel_size=1)

    @torch.no_grad()
    def init_identity_(self) -> None:
        """Set the weights to 0 and the biases to 3, where the hard sigmoid reaches exactly 1.

        The gradient is that of the slope to the left of 3, not 0: the block learns from here, and
        the first steps can only lower a gate, as 1 is the highest it goes.
        """
        self.fc.weight.zero_()
        self.fc.bias.fill_(3)  # type: ignore[union-attr]  # it has one

    def gate(self, x: Tensor) -> Tensor:
        """Return the factor of every channel, in [0, 1].

        Args:
            x: The input of the block, ``(N, C, *spatial)``.

        Returns:
            Gates ``(N, C, 1, ..., 1)`` of the rank of ``x``: ``block(x) == x * block.gate(x)``.
        """
        squeezed = rank.squeeze(x, self.fc.in_channels)  # (N, C, 1, 1)
        # Not `F.hardsigmoid`, whose gradient is 0 at 3 and -3: `init_identity_` would be for ever.
        attention = (self.fc(squeezed) + 3).clamp(0, 6) / 6  # (N, C, 1, 1)
        return rank.match_rank(attention, x)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, every channel scaled by its gate."""
        return x * self.gate(x)
