"""BAM, the bottleneck attention module (Park et al., BMVC 2018, arXiv:1807.06514)."""

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seattn.attention import rank
from seattn.attention.reduction import hidden_width

__all__ = ["BAMBlock"]

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class BAMBlock(nn.Module):
    """BAM: raises every number by a factor between 1 and 2, from its channel and its position.

    With ``F`` the input, the paper has ``F' = F + F * M(F)`` and ``M(F) = sigmoid(Mc(F) + Ms(F))``.
    ``Mc`` is a bottleneck of two layers on the means over space; ``Ms`` is a 1x1 convolution, two
    dilated 3x3 convolutions and a 1x1 convolution to one map. The gate is ``1 + M(F)``; the modules
    ``channel`` and ``spatial`` return ``Mc`` and ``Ms``. The paper puts the block between the
    stages of a network, not into its residual blocks.

    Differs from the paper: BatchNorm and ReLU follow every layer but the last ones, as in the
    authors' code; the paper's equations show one BatchNorm, at the end of each branch. The authors'
    code multiplies ``Mc`` and ``Ms``, which is ``combine="product"``, and pools squares of the
    height of the map, where the mean here is over the whole map, whatever its shape.

    Weights start as He et al. 2015 propose (fan out), biases as zero. There is no
    ``init_identity_``: the gate is above 1 but where the sigmoid is saturated. With the last layer
    of both branches zero it is 1.5.

    Args:
        channels: Number of channels C of the input.
        reduction: The paper's r; the hidden layers have ``channels // reduction`` units.
        hidden_channels: Number of hidden units R; overrides ``reduction``.
        dilation: The paper's d, the distance between the taps of the 3x3 convolutions.
        combine: ``"sum"``, as in the paper, or ``"product"``, as in the authors' code.
        spatial_dims: Number of spatial dimensions, 1, 2 or 3. The kernels of ``spatial`` depend on
            it, those of ``channel`` do not.

    Shape:
        - Input: (N, C, L), (N, C, H, W) or (N, C, D, H, W), of ``spatial_dims``.
        - Output: the same.

    Raises:
        ValueError: ``reduction`` exceeds ``channels`` and ``hidden_channels`` is not given, or one
            of them or ``dilation`` is not positive; ``combine`` or ``spatial_dims`` is none of
            those allowed; in the forward pass: the input has another number of channels or
            dimensions; from BatchNorm, in training: the batch is a single map.

    Examples:
        >>> import torch
        >>> from seattn.attention import BAMBlock
        >>> block = BAMBlock(64)
        >>> block(torch.randn(2, 64, 14, 14)).shape
        torch.Size([2, 64, 14, 14])
        >>> block.spatial(torch.randn(2, 64, 14, 14)).shape
        torch.Size([2, 1, 14, 14])
        >>> BAMBlock(64, spatial_dims=3)(torch.randn(2, 64, 4, 14, 14)).shape
        torch.Size([2, 64, 4, 14, 14])
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        *,
        hidden_channels: int | None = None,
        dilation: int = 4,
        combine: str = "sum",
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, hidden_channels)
        if dilation < 1:
            raise ValueError(f"`dilation` (={dilation}) must be positive")
        if combine not in ("sum", "product"):
            raise ValueError(f"`combine` (={combine!r}) must be 'sum' or 'product'")
        if spatial_dims not in _CONV:
            raise ValueError(f"`spatial_dims` (={spatial_dims}) must be 1, 2 or 3")
        self.channels = channels
        self.combine = combine
        self.spatial_dims = spatial_dims
        self.channel = _ChannelBranch(channels, hidden, spatial_dims)
        self.spatial = _spatial_branch(channels, hidden, dilation, spatial_dims)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def gate(self, x: Tensor) -> Tensor:
        """Return the factor of every number, in (1, 2).

        Args:
            x: The input of the block, ``(N, C, *spatial)``.

        Returns:
            Gates of the shape of ``x``: ``block(x) == x * block.gate(x)``.
        """
        x = rank.of_dims(x, self.channels, self.spatial_dims)
        channel = self.channel(x)  # (N, C, 1, ..., 1)
        spatial = self.spatial(x)  # (N, 1, *spatial)
        logits = channel + spatial if self.combine == "sum" else channel * spatial
        return 1 + torch.sigmoid(logits)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, every number scaled by its gate."""
        return x * self.gate(x)


class _ChannelBranch(nn.Module):
    """Mc, (N, C, 1, ..., 1): its layers are 1x1 convolutions whatever the rank of the input."""

    def __init__(self, channels: int, hidden: int, spatial_dims: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, kernel_size=1)
        self.bn = nn.BatchNorm2d(hidden)
        self.fc2 = nn.Conv2d(hidden, channels, kernel_size=1)
        self.spatial_dims = spatial_dims

    def forward(self, x: Tensor) -> Tensor:
        over_space = tuple(range(2, 2 + self.spatial_dims))
        mean = x.mean(dim=over_space)[:, :, None, None]  # (N, C, 1, 1)
        hidden = F.relu(self.bn(self.fc1(mean)))  # (N, R, 1, 1)
        return self.fc2(hidden).flatten(1)[(..., *(None,) * self.spatial_dims)]


def _spatial_branch(channels: int, hidden: int, dilation: int, spatial_dims: int) -> nn.Sequential:
    """Return Ms, which maps (N, C, *spatial) to (N, 1, *spatial)."""
    conv, norm = _CONV[spatial_dims], _BATCH_NORM[spatial_dims]
    dilated = partial(conv, hidden, hidden, kernel_size=3, padding=dilation, dilation=dilation)
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv0=conv(channels, hidden, kernel_size=1),
            bn0=norm(hidden),
            act0=nn.ReLU(),
            conv1=dilated(),
            bn1=norm(hidden),
            act1=nn.ReLU(),
            conv2=dilated(),
            bn2=norm(hidden),
            act2=nn.ReLU(),
            conv3=conv(hidden, 1, kernel_size=1),
        )
    )
