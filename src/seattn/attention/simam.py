"""SimAM, attention without parameters (Yang et al., ICML 2021)."""

import math

import torch
import torch.fx
from torch import Tensor, nn

from seattn.attention import rank

__all__ = ["SimAM"]


class SimAM(nn.Module):
    """Attention without parameters: every position's gate grows with its distance from the mean.

    With ``t`` a position, ``mu`` the mean and ``sigma^2`` the variance of its channel over space,
    the minimal energy of equation 5 is ``e = 4 (sigma^2 + lambda) / ((t - mu)^2 + 2 sigma^2 +
    2 lambda)``, whose inverse is ``(t - mu)^2 / (4 (sigma^2 + lambda)) + 0.5``; the gate of
    equation 6 is ``sigmoid(1 / e)``, which is at least 0.62.

    Differs from the paper: with M positions in a map, the variance is the sum of squares over M - 1
    as in the authors' released code, not over M. That code is nan for maps of a single position;
    here their variance is 0, as it is in the paper, and their gate ``sigmoid(0.5)``.

    Half precision is widened to float32 for the gate: the squares of float16 overflow. There is no
    ``init_identity_``: nothing is learnt.

    Args:
        channels: Number of channels C that the input must have. None accepts any: the block does
            not need the number, it is here so that all blocks are made alike.
        regularisation: The paper's lambda, positive.

    Shape:
        - Input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        - Output: the same.

    Raises:
        ValueError: ``channels`` or ``regularisation`` is not positive; in the forward pass: the
            input is not ``(N, C, *spatial)``.

    Examples:
        >>> import torch
        >>> from seattn.attention import SimAM
        >>> block = SimAM()
        >>> block(torch.randn(2, 64, 7, 7)).shape
        torch.Size([2, 64, 7, 7])
        >>> block.gate(torch.randn(2, 64, 1, 1)).unique()
        tensor([0.6225])
    """

    def __init__(self, channels: int | None = None, *, regularisation: float = 1e-4) -> None:
        super().__init__()
        if channels is not None and channels < 1:
            raise ValueError(f"`channels` (={channels}) must be positive")
        if not regularisation > 0:
            raise ValueError(f"`regularisation` (={regularisation}) must be positive")
        self.channels = channels
        self.regularisation = regularisation

    def gate(self, x: Tensor) -> Tensor:
        """Return the factor of every position of every channel, in [0.62, 1].

        Args:
            x: The input of the block, ``(N, C, *spatial)``.

        Returns:
            Gates of the shape of ``x``: ``block(x) == x * block.gate(x)``.
        """
        inverse_energy = _inverse_energy(x, self.channels, self.regularisation)
        return torch.sigmoid(inverse_energy).to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, every position scaled by its gate."""
        return x * self.gate(x)

    def extra_repr(self) -> str:
        """Return what printing the block shows."""
        return f"channels={self.channels}, regularisation={self.regularisation}"


def _inverse_energy(x: Tensor, channels: int | None, regularisation: float) -> Tensor:
    """Return 1 / e of equation 5, in float32 at least."""
    rank.check(x, channels)
    space = tuple(range(2, x.ndim))
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    deviation = (wide - wide.mean(dim=space, keepdim=True)).square()
    degrees = max(math.prod(x.shape[2:]) - 1, 1)
    variance = deviation.sum(dim=space, keepdim=True) / degrees
    return deviation / (4 * (variance + regularisation)) + 0.5


# The rank of the input is not known to torch.fx while it traces: this stays a call in its graph.
torch.fx.wrap("_inverse_energy")
