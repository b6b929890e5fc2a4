"""The blocks of ResNet: two or three convolutions, channel attention, a shortcut."""

from collections.abc import Callable

from torch import Tensor, nn

from seattn.backbones.stage import DropPath

__all__ = ["BasicBlock", "Bottleneck", "conv"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, figure 5 left).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the convolutions, and of the output.
        stride: Of the first convolution.
        attention: As in ``ResNet``.
        drop_path_rate: Probability that the residual is dropped in training.
        zero_init_last: Start the residual at zero.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int = 1,
        attention: Callable[[int], nn.Module] | None = None,
        drop_path_rate: float = 0.0,
        zero_init_last: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, channels, 3, stride=stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU()
        self.conv2 = conv(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = attention(channels) if attention else nn.Identity()
        self.drop_path = DropPath(drop_path_rate)
        self.downsample = _shortcut(in_channels, channels, stride)
        if zero_init_last:
            nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        hidden = self.act1(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(hidden))
        excited = self.se(residual)
        shortcut = self.downsample(x)
        return (shortcut + self.drop_path(excited)).relu_()  # the sum: no hook sees it


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut (He et al. 2016, figure 5 right).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the first two convolutions; the output has four times as many.
        stride: Of the 3x3 convolution.
        attention: As in ``ResNet``.
        drop_path_rate: Probability that the residual is dropped in training.
        zero_init_last: Start the residual at zero.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int = 1,
        attention: Callable[[int], nn.Module] | None = None,
        drop_path_rate: float = 0.0,
        zero_init_last: bool = True,
    ) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = conv(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU()
        self.conv2 = conv(channels, channels, 3, stride=stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.act2 = nn.ReLU()
        self.conv3 = conv(channels, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.se = attention(out_channels) if attention else nn.Identity()
        self.drop_path = DropPath(drop_path_rate)
        self.downsample = _shortcut(in_channels, out_channels, stride)
        if zero_init_last:
            nn.init.zeros_(self.bn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        reduced = self.act1(self.bn1(self.conv1(x)))
        hidden = self.act2(self.bn2(self.conv2(reduced)))
        residual = self.bn3(self.conv3(hidden))
        excited = self.se(residual)
        shortcut = self.downsample(x)
        return (shortcut + self.drop_path(excited)).relu_()  # the sum: no hook sees it


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Build the identity where shapes allow it, else a 1x1 convolution (the paper's option B)."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        conv(in_channels, out_channels, 1, stride=stride), nn.BatchNorm2d(out_channels)
    )


def conv(in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1) -> nn.Conv2d:
    """Build a convolution without bias that pads by half its kernel, as He et al. 2015 start it."""
    padding = kernel_size // 2
    layer = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
