"""Gather-excite (Hu et al., "Exploiting Feature Context", NeurIPS 2018, arXiv:1810.12348)."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from seattn.attention import rank
from seattn.attention.reduction import hidden_width

__all__ = ["GatherExcite"]

_CONV: dict[int, Callable[..., _ConvNd]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_GLOBAL_AVERAGE = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


class GatherExcite(nn.Module):
    """Gather-excite: scales every number by a gate from its surroundings in its own channel.

    Gather makes a map that is smaller by the extent ratio e, excite brings it back to size and
    through a sigmoid: ``y = x * sigmoid(interp(gather(x)))``, ``interp`` being the nearest
    neighbour. The paper's forms:

    - GE-theta-minus, without parameters: gather is the mean over windows of ``2 e - 1`` at a stride
      of e, or over the whole map. Positions outside the map do not count.
    - GE-theta, ``learn_gather=True``: gather is a chain of depthwise 3x3 convolutions of stride 2,
      each with BatchNorm, ReLU between them, log2(e) of them; for the whole map it is a single
      depthwise convolution of the map's size, which is why it takes one size only.
    - GE-theta-plus, ``learn_gather=True, mlp=True``: ReLU and the two layers of
      squeeze-and-excitation follow.

    ``GatherExcite(channels, mlp=True)`` is squeeze-and-excitation. State-dict names are timm's.

    Differs from timm: ReLU between gather and ``mlp``, as in the authors' networks (timm has none);
    the learnt gather of the whole map gives one number per channel, as there (timm's convolution
    is padded and gives a map); an extent that is no power of two is refused; there is no maximum
    pooling. (timm 1.0.31 can construct none of the forms that have parameters.)

    Where e does not divide the size of a map, position i takes gate ``floor(i m / size)`` of m, as
    PyTorch's nearest neighbour does. Gather starts as He et al. 2015 propose (fan in, as in the
    authors' networks), the layers of ``mlp`` start as those of ``SEBlock``.

    There is no ``init_identity_``: no parameters give the identity but where the sigmoid is
    saturated. With the last layer zero every gate is 0.5.

    ``torch.export`` with free sizes wants more than one pixel in the gathered map.

    Args:
        channels: Number of channels C of the input.
        reduction: The hidden layer of ``mlp`` has ``channels // reduction`` units.
        extent: The paper's extent ratio e, a power of two, or None for the whole map.
        learn_gather: Whether gather is learnt.
        mlp: Whether two layers follow gather, which join the channels.
        hidden_channels: Number of hidden units R of ``mlp``; overrides ``reduction``.
        map_size: Size of the input's maps, for a learnt gather of the whole map only.
        spatial_dims: Number of spatial dimensions, 1, 2 or 3.

    Shape:
        - Input: (N, C, L), (N, C, H, W) or (N, C, D, H, W), of ``spatial_dims``.
        - Output: the same.

    Raises:
        ValueError: ``extent`` is not a power of two, ``spatial_dims`` not allowed, ``map_size``
            missing, of another number of dimensions, or given where it has no use; as ``SEBlock``,
            with ``mlp``; in the forward pass: the input has another number of channels or
            dimensions, or is not of ``map_size``; from BatchNorm, in training: the batch is one
            map that is gathered into one pixel.

    Examples:
        >>> import torch
        >>> from seattn.attention import GatherExcite
        >>> x = torch.randn(2, 64, 14, 14)
        >>> GatherExcite(64).gate(x).shape
        torch.Size([2, 64, 1, 1])
        >>> block = GatherExcite(64, extent=4, learn_gather=True, mlp=True)
        >>> block.gather(x).shape
        torch.Size([2, 64, 4, 4])
        >>> block(x).shape
        torch.Size([2, 64, 14, 14])
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        *,
        extent: int | None = None,
        learn_gather: bool = False,
        mlp: bool = False,
        hidden_channels: int | None = None,
        map_size: tuple[int, ...] | None = None,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"`channels` (={channels}) must be positive")
        if extent is not None and (extent < 2 or extent.bit_count() != 1):
            raise ValueError(
                f"`extent` (={extent}) must be a power of two from 2 on, or None for the whole map"
            )
        if spatial_dims not in _CONV:
            raise ValueError(f"`spatial_dims` (={spatial_dims}) must be 1, 2 or 3")
        if (map_size is not None) != (learn_gather and extent is None):
            raise ValueError(
                f"`map_size` (={map_size}) belongs to a learnt gather of the whole map, "
                "`learn_gather=True` with `extent=None`, and only to it"
            )
        if map_size is not None and (len(map_size) != spatial_dims or min(map_size) < 1):
            raise ValueError(
                f"`map_size` (={map_size}) must be {spatial_dims} positive sizes, one for each of "
                "`spatial_dims`"
            )
        self.channels = channels
        self.extent = extent
        self.map_size = map_size
        self.spatial_dims = spatial_dims
        self.gather: nn.Module
        if learn_gather:
            self.gather = _learnt_gather(channels, extent, map_size, spatial_dims, final_act=mlp)
        elif extent is None:
            self.gather = _GLOBAL_AVERAGE[spatial_dims](1)
        else:
            self.gather = _mean_gather(extent, spatial_dims)
        self.mlp = (
            _mlp(channels, hidden_width(channels, reduction, hidden_channels), spatial_dims)
            if mlp
            else nn.Identity()
        )

    def gate(self, x: Tensor) -> Tensor:
        """Return the factor of every number, in (0, 1).

        Args:
            x: The input of the block, ``(N, C, *spatial)``.

        Returns:
            Gates of the shape of ``x``, or ``(N, C, 1, ..., 1)`` where ``extent`` is None:
            ``block(x) == x * block.gate(x)``.
        """
        x = rank.of_dims(x, self.channels, self.spatial_dims, self.map_size)
        gathered = self.gather(x)  # (N, C, *spatial / e)
        gate = torch.sigmoid(self.mlp(gathered))
        # The sigmoid of what is repeated is what is repeated of the sigmoid, for less work.
        return gate if self.extent is None else F.interpolate(gate, size=x.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, every number scaled by its gate."""
        return x * self.gate(x)


def _mean_gather(extent: int, spatial_dims: int) -> nn.Module:
    """Return the mean over windows; positions outside the map do not count."""
    if spatial_dims == 3:
        return _MeanOfVolume(extent)
    pool = nn.AvgPool1d if spatial_dims == 1 else nn.AvgPool2d
    return pool(2 * extent - 1, stride=extent, padding=extent - 1, count_include_pad=False)


class _MeanOfVolume(nn.Module):
    """The mean over windows of each slice, then across the slices.

    PyTorch's own 3D pooling takes no volume that is smaller than its window.
    """

    def __init__(self, extent: int) -> None:
        super().__init__()
        window, stride, padding = 2 * extent - 1, extent, extent - 1
        self.within = nn.AvgPool2d(window, stride, padding, count_include_pad=False)
        self.across = nn.AvgPool2d((window, 1), (stride, 1), (padding, 0), count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        slices = self.within(x.flatten(1, 2))  # (N, C D, H / e, W / e)
        slices = slices.reshape(x.shape[:3] + slices.shape[2:])  # (N, C, D, H / e, W / e)
        means = self.across(slices.flatten(3))  # (N, C, D / e, H W / e^2)
        return means.reshape(means.shape[:3] + slices.shape[3:])


def _learnt_gather(
    channels: int,
    extent: int | None,
    map_size: tuple[int, ...] | None,
    spatial_dims: int,
    final_act: bool,
) -> nn.Sequential:
    """Return the depthwise convolutions, of stride 2 or, where ``extent`` is None, of the map."""
    layers = OrderedDict[str, nn.Module]()
    count = 1 if extent is None else extent.bit_length() - 1
    for i in range(1, count + 1):
        conv = _CONV[spatial_dims](
            channels,
            channels,
            kernel_size=map_size or 3,
            stride=1 if map_size else 2,
            padding=0 if map_size else 1,
            groups=channels,
            bias=False,
        )
        nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
        layers[f"conv{i}"] = conv
        layers[f"norm{i}"] = _BATCH_NORM[spatial_dims](channels)
        if final_act or i < count:
            layers[f"act{i}"] = nn.ReLU()
    return nn.Sequential(layers)


def _mlp(channels: int, hidden: int, spatial_dims: int) -> nn.Sequential:
    """Return the two layers of squeeze-and-excitation, for maps."""
    fc1 = _CONV[spatial_dims](channels, hidden, kernel_size=1)
    fc2 = _CONV[spatial_dims](hidden, channels, kernel_size=1)
    for layer in (fc1, fc2):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(OrderedDict[str, nn.Module](fc1=fc1, act=nn.ReLU(), fc2=fc2))
