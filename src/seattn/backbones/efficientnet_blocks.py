"""The blocks of EfficientNet: MBConv of MobileNetV2 and MnasNet, with squeeze-and-excitation."""

import math

from torch import Tensor, nn

from seattn.attention import SqueezeExcite
from seattn.backbones.fused import norm_act, norm_act_gate, norm_add
from seattn.backbones.stage import DropPath

__all__ = ["DepthwiseSeparable", "InvertedBottleneck", "conv"]


class DepthwiseSeparable(nn.Module):
    """The paper's MBConv1: an inverted bottleneck without expansion.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Of the depthwise convolution.
        stride: Of the depthwise convolution.
        dilation: Of the depthwise convolution.
        drop_path_rate: Probability that the residual is dropped in training.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        stride: int,
        dilation: int,
        drop_path_rate: float,
    ) -> None:
        super().__init__()
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.conv_dw = conv(
            in_channels,
            in_channels,
            kernel_size,
            stride=stride,
            dilation=dilation,
            groups=in_channels,
        )
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.act1 = nn.SiLU()
        self.se = SqueezeExcite(in_channels, hidden_channels=in_channels // 4)
        self.conv_pw = conv(in_channels, out_channels, 1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        excited = norm_act_gate(self.conv_dw(x), self.bn1, self.act1, self.se)
        projected = self.conv_pw(excited)
        if self.has_shortcut:
            return norm_add(projected, self.bn2, self.drop_path, x)
        return self.bn2(projected)


class InvertedBottleneck(nn.Module):
    """The paper's MBConv6: expand, filter depthwise, excite, project; a shortcut where it fits.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        expansion: Factor on the channels inside.
        kernel_size: Of the depthwise convolution.
        stride: Of the depthwise convolution.
        dilation: Of the depthwise convolution.
        drop_path_rate: Probability that the residual is dropped in training.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        expansion: int,
        kernel_size: int,
        stride: int,
        dilation: int,
        drop_path_rate: float,
    ) -> None:
        super().__init__()
        expanded = in_channels * expansion
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.conv_pw = conv(in_channels, expanded, 1)
        self.bn1 = nn.BatchNorm2d(expanded)
        self.act1 = nn.SiLU()
        self.conv_dw = conv(
            expanded, expanded, kernel_size, stride=stride, dilation=dilation, groups=expanded
        )
        self.bn2 = nn.BatchNorm2d(expanded)
        self.act2 = nn.SiLU()
        self.se = SqueezeExcite(expanded, hidden_channels=in_channels // 4)
        self.conv_pwl = conv(expanded, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        expanded = norm_act(self.conv_pw(x), self.bn1, self.act1)
        excited = norm_act_gate(self.conv_dw(expanded), self.bn2, self.act2, self.se)
        projected = self.conv_pwl(excited)
        if self.has_shortcut:
            return norm_add(projected, self.bn3, self.drop_path, x)
        return self.bn3(projected)


def conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """Build a convolution without bias that pads by half its kernel, started as the authors do."""
    layer = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=kernel_size // 2 * dilation,
        dilation=dilation,
        groups=groups,
        bias=False,
    )
    # He et al. 2015 with the fan out of one group, where PyTorch's function counts all groups.
    fan_out = kernel_size**2 * out_channels // groups
    nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
    return layer
