"""Triplet attention (Misra et al., "Rotate to Attend", WACV 2021, arXiv:2010.03045)."""

from collections import OrderedDict

import torch
import torch.fx
from torch import Tensor, nn

__all__ = ["TripletAttention"]


class TripletAttention(nn.Module):
    """Triplet attention: one gate for each pair of channel, row and column, and their mean.

    The paper looks at the input from three sides. Each branch pools one of the axes C, H and W
    away, into the maximum and the mean along it (Z-pool), and turns the two maps into a gate by a
    7x7 convolution, BatchNorm and a sigmoid: ``cw`` pools the rows and gates channel and column,
    ``hc`` pools the columns and gates row and channel, ``hw`` pools the channels. The output is the
    mean of the three scaled inputs. State-dict names are those of the authors' code.

    Differs from the paper: the gates are averaged before ``x`` is scaled, which reads ``x`` once.

    The momentum of BatchNorm is 0.01, as in the authors' code. Weights start as He et al. 2015
    propose (fan out). There is no ``init_identity_``: no parameters give the identity but where the
    sigmoids are saturated. With weight and bias of the three BatchNorms zero every gate is 0.5.

    Args:
        channels: Number of channels C that the input must have. None accepts any: no parameter
            depends on the number, it is here so that all blocks are made alike.
        kernel_size: Side of the convolutions, odd.

    Shape:
        - Input: (N, C, H, W): the mechanism is made for three axes beside the batch.
        - Output: the same.

    Raises:
        ValueError: ``channels`` is not positive, or ``kernel_size`` not odd and positive; in the
            forward pass: the input is not (N, C, H, W).

    Examples:
        >>> import torch
        >>> from seattn.attention import TripletAttention
        >>> block = TripletAttention(64)
        >>> block(torch.randn(2, 64, 7, 14)).shape
        torch.Size([2, 64, 7, 14])
        >>> [tuple(gate.shape) for gate in block.gates(torch.randn(2, 64, 7, 14))]
        [(2, 64, 1, 14), (2, 64, 7, 1), (2, 1, 7, 14)]
    """

    def __init__(self, channels: int | None = None, *, kernel_size: int = 7) -> None:
        super().__init__()
        if channels is not None and channels < 1:
            raise ValueError(f"`channels` (={channels}) must be positive")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` (={kernel_size}) must be odd and positive")
        self.channels = channels
        self.cw = _Branch(kernel_size)
        self.hc = _Branch(kernel_size)
        self.hw = _Branch(kernel_size)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the three gates, (N, C, 1, W), (N, C, H, 1) and (N, 1, H, W)."""
        x = _checked(x, self.channels)
        cw = self.cw(x.transpose(1, 2)).transpose(1, 2)  # of (N, H, C, W)
        hc = self.hc(x.transpose(1, 3)).transpose(1, 3)  # of (N, W, H, C)
        hw = self.hw(x)
        return cw, hc, hw

    def gate(self, x: Tensor) -> Tensor:
        """Return the factor of every number, in (0, 1): the mean of the three gates.

        Args:
            x: The input of the block, (N, C, H, W).

        Returns:
            Gates of the shape of ``x``: ``block(x) == x * block.gate(x)``.
        """
        cw, hc, hw = self.gates(x)
        return (cw + hc + hw) / 3

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, every number scaled by its gate."""
        return x * self.gate(x)


class _Branch(nn.Module):
    """The gate of two axes, (N, 1, A, B), from an input (N, Z, A, B)."""

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        bn = nn.BatchNorm2d(1, momentum=0.01)
        self.conv = nn.Sequential(OrderedDict[str, nn.Module](conv=conv, bn=bn))

    def forward(self, x: Tensor) -> Tensor:
        z_pool = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)
        return torch.sigmoid(self.conv(z_pool))


def _checked(x: Tensor, channels: int | None) -> Tensor:
    """Return ``x`` if it is a 2D map of these channels, or of any where None."""
    if x.ndim != 4 or (channels is not None and x.shape[1] != channels):
        raise ValueError(
            f"`x` has shape {tuple(x.shape)}; this block takes (N, {channels or 'C'}, H, W)"
        )
    return x


torch.fx.wrap("_checked")  # a shape is not known to torch.fx while it traces
