"""The layers of the ResNets for images of one, two or three spatial dimensions."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["batch_norm", "conv", "max_pool"]

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM: dict[int, type[_BatchNorm]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}


def conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    spatial_dims: int,
) -> nn.Module:
    """Build a convolution without bias that keeps the size but for its stride.

    Its weights start as He et al. 2015 propose (fan out).
    """
    layer = _CONV[spatial_dims](
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=kernel_size // 2 * dilation,
        dilation=dilation,
        groups=groups,
        bias=False,
    )
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def batch_norm(channels: int, *, spatial_dims: int) -> _BatchNorm:
    """Build a batch normalisation."""
    return _BATCH_NORM[spatial_dims](channels)


def max_pool(*, ceil: bool, spatial_dims: int) -> nn.Module:
    """Build the max pooling of the stem: windows of 3, stride 2.

    With ``ceil`` nothing is padded and a last, smaller window is kept, as in Caffe; else one pixel
    is padded on each side.
    """
    pool = _MAX_POOL[spatial_dims]
    return pool(3, stride=2, ceil_mode=True) if ceil else pool(3, stride=2, padding=1)
