"""CBAM, the convolutional block attention module (Woo et al. 2018, arXiv:1807.06521)."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seattn.attention import rank
from seattn.attention.reduction import hidden_width

__all__ = ["CBAMBlock"]

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class CBAMBlock(nn.Module):
    """CBAM: gates every channel, then every position of what the channel gates left.

    With ``F`` the input, the paper's equations 1 to 3 are ``F' = Mc(F) * F``, ``F'' = Ms(F') * F'``
    with ``Mc(F) = sigmoid(W1 relu(W0 avg) + W1 relu(W0 max))``, mean and maximum over space, and
    ``Ms(F') = sigmoid(f([avg; max]))``, mean and maximum over channels, ``f`` a 7x7 convolution.
    ``channel.fc1`` is ``W0``, ``channel.fc2`` is ``W1``, ``spatial.conv`` is ``f``; the modules
    ``channel`` and ``spatial`` return the two gates. State-dict names are timm's.

    Differs from the paper: BatchNorm follows ``f``, as in the authors' code and in timm; the two
    gates are multiplied with each other before they meet the input, which rounds differently.

    The authors' checkpoints need ``bias=True, pool_order="max_mean"``. Weights start as He et al.
    2015 propose (fan out), biases as zero; the authors start the weight of the BatchNorm as zero.

    There is no ``init_identity_``: no parameters give the identity but where a sigmoid is
    saturated. With ``channel.fc2`` and the BatchNorm's weight and bias zero every gate is 0.25.

    Args:
        channels: Number of channels C of the input.
        reduction: The paper's r; the hidden layer has ``channels // reduction`` units.
        hidden_channels: Number of hidden units R; overrides ``reduction``.
        kernel_size: Side of the spatial convolution, odd.
        bias: Whether ``W0`` and ``W1`` have biases; in the paper they have none.
        pool_order: Which of the maps ``f`` takes first: ``"mean_max"``, as in equation 3, or
            ``"max_mean"``, as in the authors' code.
        spatial_dims: Number of spatial dimensions, 1, 2 or 3. The shape of ``f`` depends on it,
            that of ``W0`` and ``W1`` does not.

    Shape:
        - Input: (N, C, L), (N, C, H, W) or (N, C, D, H, W), of ``spatial_dims``.
        - Output: the same.

    Raises:
        ValueError: ``reduction`` exceeds ``channels`` and ``hidden_channels`` is not given, or one
            of them is not positive; ``kernel_size`` is not odd and positive; ``pool_order`` or
            ``spatial_dims`` is none of those allowed; in the forward pass: the input has another
            number of channels or dimensions; from BatchNorm, in training: the batch is one map of
            one pixel.

    Examples:
        >>> import torch
        >>> from seattn.attention import CBAMBlock
        >>> block = CBAMBlock(64)
        >>> block(torch.randn(2, 64, 14, 14)).shape
        torch.Size([2, 64, 14, 14])
        >>> block.spatial(torch.randn(2, 64, 14, 14)).shape
        torch.Size([2, 1, 14, 14])
        >>> CBAMBlock(64, spatial_dims=3)(torch.randn(2, 64, 4, 14, 14)).shape
        torch.Size([2, 64, 4, 14, 14])
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        *,
        hidden_channels: int | None = None,
        kernel_size: int = 7,
        bias: bool = False,
        pool_order: str = "mean_max",
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, hidden_channels)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` (={kernel_size}) must be odd and positive")
        if pool_order not in ("mean_max", "max_mean"):
            raise ValueError(f"`pool_order` (={pool_order!r}) must be 'mean_max' or 'max_mean'")
        if spatial_dims not in _CONV:
            raise ValueError(f"`spatial_dims` (={spatial_dims}) must be 1, 2 or 3")
        self.channels = channels
        self.spatial_dims = spatial_dims
        self.channel = _ChannelGate(channels, hidden, bias, spatial_dims)
        self.spatial = _SpatialGate(kernel_size, pool_order, spatial_dims)

    def gate(self, x: Tensor) -> Tensor:
        """Return the factor of every number, in (0, 1): the product of the two gates.

        Args:
            x: The input of the block, ``(N, C, *spatial)``.

        Returns:
            Gates of the shape of ``x``: ``block(x) == x * block.gate(x)``.
        """
        x = rank.of_dims(x, self.channels, self.spatial_dims)
        channel_gate = self.channel(x)  # (N, C, 1, ..., 1)
        spatial_gate = self.spatial(x * channel_gate)  # (N, 1, *spatial)
        return channel_gate * spatial_gate

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, every number scaled by its gate."""
        return x * self.gate(x)


class _ChannelGate(nn.Module):
    """Mc of equation 2, (N, C, 1, ..., 1)."""

    def __init__(self, channels: int, hidden: int, bias: bool, spatial_dims: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, kernel_size=1, bias=bias)
        self.fc2 = nn.Conv2d(hidden, channels, kernel_size=1, bias=bias)
        for layer in (self.fc1, self.fc2):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        self.spatial_dims = spatial_dims

    def forward(self, x: Tensor) -> Tensor:
        over_space = tuple(range(2, 2 + self.spatial_dims))
        average = self._mlp(x.mean(dim=over_space))  # (N, C)
        maximum = self._mlp(x.amax(dim=over_space))  # (N, C)
        return torch.sigmoid(average + maximum)[(..., *(None,) * self.spatial_dims)]

    def _mlp(self, pooled: Tensor) -> Tensor:
        hidden = F.relu(self.fc1(pooled[:, :, None, None]))  # (N, R, 1, 1)
        return self.fc2(hidden).flatten(1)


class _SpatialGate(nn.Module):
    """Ms of equation 3, (N, 1, *spatial)."""

    def __init__(self, kernel_size: int, pool_order: str, spatial_dims: int) -> None:
        super().__init__()
        conv = _CONV[spatial_dims](2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        bn = _BATCH_NORM[spatial_dims](1)
        self.conv = nn.Sequential(OrderedDict[str, nn.Module](conv=conv, bn=bn))
        self.pool_order = pool_order

    def forward(self, x: Tensor) -> Tensor:
        pooled = [x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)]
        if self.pool_order == "max_mean":
            pooled.reverse()
        return torch.sigmoid(self.conv(torch.cat(pooled, dim=1)))
