"""Coordinate attention (Hou et al. 2021, arXiv:2103.02907)."""

import torch
import torch.fx
from torch import Tensor, nn
from torch.nn import functional as F

from seattn.attention.reduction import hidden_width

__all__ = ["CoordAttention"]


class CoordAttention(nn.Module):
    """Coordinate attention: scales by one gate for the row and one for the column, per channel.

    The paper's equations 4 to 9: ``z_h`` and ``z_w`` are the means of the input over each row and
    over each column, ``f = delta(F1([z_h, z_w]))``, ``g_h = sigmoid(F_h(f_h))`` and ``g_w =
    sigmoid(F_w(f_w))`` of the two parts of ``f``, and ``y = x * g_h * g_w``. ``conv1`` is ``F1``,
    ``conv_h`` and ``conv_w`` are ``F_h`` and ``F_w``; BatchNorm follows ``F1`` (figure 2), and
    ``delta`` is the authors' hard swish. State-dict names are timm's.

    Differs from the paper: ``g_h`` and ``g_w`` are multiplied with each other before they meet the
    input, which rounds differently.

    The authors' code has ``bias=True, hidden_channels=max(8, channels // 32)``; timm's has
    ``channels / 24`` hidden units, rounded to a multiple of 8. Weights start as He et al. 2015
    propose (fan out), biases as zero.

    There is no ``init_identity_``: no parameters give the identity but where a sigmoid is
    saturated. With ``conv_h`` and ``conv_w`` zero every gate is 0.25.

    Args:
        channels: Number of channels C of the input.
        reduction: The paper's r; the hidden layer has ``channels // reduction`` units.
        hidden_channels: Number of hidden units R; overrides ``reduction``.
        bias: Whether the three convolutions have biases; the paper's equations show none.

    Shape:
        - Input: (N, C, H, W).
        - Output: the same.

    Raises:
        ValueError: ``reduction`` exceeds ``channels`` and ``hidden_channels`` is not given, or one
            of them is not positive; in the forward pass: the input is not (N, C, H, W).

    Examples:
        >>> import torch
        >>> from seattn.attention import CoordAttention
        >>> block = CoordAttention(64)
        >>> block(torch.randn(2, 64, 7, 14)).shape
        torch.Size([2, 64, 7, 14])
        >>> [tuple(gate.shape) for gate in block.gates(torch.randn(2, 64, 7, 14))]
        [(2, 64, 7, 1), (2, 64, 1, 14)]
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 32,
        *,
        hidden_channels: int | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, hidden_channels)
        self.conv1 = nn.Conv2d(channels, hidden, kernel_size=1, bias=bias)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv_h = nn.Conv2d(hidden, channels, kernel_size=1, bias=bias)
        self.conv_w = nn.Conv2d(hidden, channels, kernel_size=1, bias=bias)
        for layer in (self.conv1, self.conv_h, self.conv_w):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factor of every row, (N, C, H, 1), and of every column, (N, C, 1, W)."""
        x = _checked(x, self.conv1.in_channels)
        height, width = x.shape[2], x.shape[3]
        z_h = x.mean(dim=3, keepdim=True)  # (N, C, H, 1)
        z_w = x.mean(dim=2, keepdim=True).transpose(2, 3)  # (N, C, W, 1)
        z = torch.cat([z_h, z_w], dim=2)  # (N, C, H + W, 1)
        f = F.hardswish(self.bn1(self.conv1(z)))  # (N, R, H + W, 1)
        f_h, f_w = torch.split(f, [height, width], dim=2)
        g_h = torch.sigmoid(self.conv_h(f_h))  # (N, C, H, 1)
        g_w = torch.sigmoid(self.conv_w(f_w.transpose(2, 3)))  # (N, C, 1, W)
        return g_h, g_w

    def gate(self, x: Tensor) -> Tensor:
        """Return the factor of every number, in (0, 1): the product of the two gates.

        Args:
            x: The input of the block, (N, C, H, W).

        Returns:
            Gates of the shape of ``x``: ``block(x) == x * block.gate(x)``.
        """
        g_h, g_w = self.gates(x)
        return g_h * g_w

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, every number scaled by its gate."""
        return x * self.gate(x)


def _checked(x: Tensor, channels: int) -> Tensor:
    """Return ``x`` if it is a 2D map of these channels."""
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(f"`x` has shape {tuple(x.shape)}; this block takes (N, {channels}, H, W)")
    return x


torch.fx.wrap("_checked")  # a shape is not known to torch.fx while it traces
