"""The blocks of ResNet and ResNeXt: two or three convolutions, attention, a shortcut."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from seattn.backbones.fused import norm_act, residual_sum
from seattn.backbones.layers import batch_norm, conv
from seattn.backbones.stage import DropPath

__all__ = ["BasicBlock", "Bottleneck"]


class _ResidualBlock(nn.Module, ABC):
    """The sum of a residual and a shortcut, with attention at one of SENet's four positions."""

    se: nn.Module
    downsample: nn.Module
    drop_path: DropPath
    attention_position: str

    @property
    @abstractmethod
    def last_norm(self) -> nn.Module:
        """The batch norm behind the last convolution."""

    @abstractmethod
    def convolve(self, x: Tensor) -> Tensor:
        """Return the residual before its last batch norm."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        position = self.attention_position
        convolved = self.convolve(self.se(x) if position == "pre" else x)
        out = residual_sum(
            convolved,
            self.last_norm,
            attention=self.se,
            position=position,
            drop_path=self.drop_path,
            source=x,
            downsample=self.downsample,
        )
        if out is None:  # nothing of it ran
            residual = self.last_norm(convolved)
            if position == "standard":
                residual = self.se(residual)
            shortcut = self.downsample(x)
            if position == "identity":
                shortcut = self.se(shortcut)
            out = (shortcut + self.drop_path(residual)).relu_()  # the sum: no hook sees it
        return self.se(out) if position == "post" else out

    def _finish(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        dilation: int,
        first_dilation: int,
        attention: Callable[[int], nn.Module] | None,
        attention_position: str,
        drop_path_rate: float,
        shortcut_kernel_size: int,
        spatial_dims: int,
    ) -> None:
        """Add what follows the convolutions, in the order of timm's state dicts."""
        gated = in_channels if attention_position == "pre" else out_channels
        self.attention_position = attention_position
        self.se = attention(gated) if attention else nn.Identity()
        self.drop_path = DropPath(drop_path_rate)
        self.downsample = nn.Identity()
        if stride != 1 or in_channels != out_channels:  # the paper's option B
            kernel_size = shortcut_kernel_size if stride != 1 or dilation != 1 else 1
            self.downsample = nn.Sequential(
                conv(
                    in_channels,
                    out_channels,
                    kernel_size,
                    stride=stride,
                    dilation=first_dilation if kernel_size > 1 else 1,
                    spatial_dims=spatial_dims,
                ),
                batch_norm(out_channels, spatial_dims=spatial_dims),
            )


class BasicBlock(_ResidualBlock):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, figure 5 left).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the convolutions, and of the output.
        stride: Of the first convolution.
        dilation: Of the second convolution, and of the stage.
        first_dilation: Of the first convolution: in the first block of a stage the dilation of
            the stage before.
        attention: Takes a number of channels and returns a module, or None.
        attention_position: As in ``ResNet``.
        drop_path_rate: Probability that the residual is dropped in training.
        zero_init_last: Start the residual at zero.
        shortcut_kernel_size: Of the shortcut's convolution where it has a stride or a dilation.
        spatial_dims: Number of spatial dimensions of the input.

    Shape:
        - Input: ``(N, in_channels, *spatial)``.
        - Output: ``(N, channels, *spatial / stride)``.

    Examples:
        >>> import torch
        >>> from seattn.attention import SEBlock
        >>> from seattn.backbones import BasicBlock
        >>> block = BasicBlock(64, 128, stride=2, attention=SEBlock)
        >>> block(torch.zeros(2, 64, 56, 56)).shape
        torch.Size([2, 128, 28, 28])
        >>> block.downsample[0]  # the shortcut, where the shapes differ
        Conv2d(64, 128, kernel_size=(1, 1), stride=(2, 2), bias=False)
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        first_dilation: int = 1,
        attention: Callable[[int], nn.Module] | None = None,
        attention_position: str = "standard",
        drop_path_rate: float = 0.0,
        zero_init_last: bool = True,
        shortcut_kernel_size: int = 1,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        self.conv1 = conv(
            in_channels,
            channels,
            3,
            stride=stride,
            dilation=first_dilation,
            spatial_dims=spatial_dims,
        )
        self.bn1 = batch_norm(channels, spatial_dims=spatial_dims)
        self.act1 = nn.ReLU()
        self.conv2 = conv(channels, channels, 3, dilation=dilation, spatial_dims=spatial_dims)
        self.bn2 = batch_norm(channels, spatial_dims=spatial_dims)
        if zero_init_last:
            nn.init.zeros_(self.bn2.weight)
        self._finish(
            in_channels,
            channels,
            stride=stride,
            dilation=dilation,
            first_dilation=first_dilation,
            attention=attention,
            attention_position=attention_position,
            drop_path_rate=drop_path_rate,
            shortcut_kernel_size=shortcut_kernel_size,
            spatial_dims=spatial_dims,
        )

    @property
    def last_norm(self) -> nn.Module:
        """The batch norm behind the last convolution."""
        return self.bn2

    def convolve(self, x: Tensor) -> Tensor:
        """Return the residual before its last batch norm."""
        hidden = norm_act(self.conv1(x), self.bn1, self.act1)
        return self.conv2(hidden)


class Bottleneck(_ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions and a shortcut (He et al. 2016, figure 5 right).

    With a ``cardinality`` it is the block of ResNeXt (Xie et al. 2017, arXiv:1611.05431).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the first two convolutions, for a cardinality of 1 and a base width
            of 64; the output has four times as many.
        stride: Of the convolution that ``stride_on`` names.
        stride_on: ``"conv2"``, the 3x3 convolution, or ``"conv1"``, the 1x1 before it.
        dilation: Of the stage.
        first_dilation: Of this block's 3x3 convolution: in the first block of a stage the dilation
            of the stage before.
        cardinality: Groups of the 3x3 convolution.
        base_width: Channels of each group where ``channels`` is 64.
        reduce_first: Divides the channels of the first convolution.
        attention: Takes a number of channels and returns a module, or None.
        attention_position: As in ``ResNet``.
        drop_path_rate: Probability that the residual is dropped in training.
        zero_init_last: Start the residual at zero.
        shortcut_kernel_size: Of the shortcut's convolution where it has a stride or a dilation.
        spatial_dims: Number of spatial dimensions of the input.

    Raises:
        ValueError: ``cardinality`` does not divide the channels inside.

    Shape:
        - Input: ``(N, in_channels, *spatial)``.
        - Output: ``(N, 4 * channels, *spatial / stride)``.

    Examples:
        >>> import torch
        >>> from seattn.backbones import Bottleneck
        >>> Bottleneck(256, 64)(torch.zeros(2, 256, 56, 56)).shape
        torch.Size([2, 256, 56, 56])
        >>> resnext = Bottleneck(256, 64, cardinality=32, base_width=4)
        >>> resnext.conv2.weight.shape  # 32 groups of 4 channels
        torch.Size([128, 4, 3, 3])
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int = 1,
        stride_on: str = "conv2",
        dilation: int = 1,
        first_dilation: int = 1,
        cardinality: int = 1,
        base_width: int = 64,
        reduce_first: int = 1,
        attention: Callable[[int], nn.Module] | None = None,
        attention_position: str = "standard",
        drop_path_rate: float = 0.0,
        zero_init_last: bool = True,
        shortcut_kernel_size: int = 1,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        width = channels * base_width // 64 * cardinality
        out_channels = channels * self.expansion
        if width // reduce_first % cardinality:
            raise ValueError(
                f"`channels` (={channels}) makes {width // reduce_first} channels inside a "
                f"bottleneck, which `cardinality` (={cardinality}) does not divide"
            )
        stride1, stride2 = (stride, 1) if stride_on == "conv1" else (1, stride)
        self.conv1 = conv(
            in_channels, width // reduce_first, 1, stride=stride1, spatial_dims=spatial_dims
        )
        self.bn1 = batch_norm(width // reduce_first, spatial_dims=spatial_dims)
        self.act1 = nn.ReLU()
        self.conv2 = conv(
            width // reduce_first,
            width,
            3,
            stride=stride2,
            dilation=first_dilation,
            groups=cardinality,
            spatial_dims=spatial_dims,
        )
        self.bn2 = batch_norm(width, spatial_dims=spatial_dims)
        self.act2 = nn.ReLU()
        self.conv3 = conv(width, out_channels, 1, spatial_dims=spatial_dims)
        self.bn3 = batch_norm(out_channels, spatial_dims=spatial_dims)
        if zero_init_last:
            nn.init.zeros_(self.bn3.weight)
        self._finish(
            in_channels,
            out_channels,
            stride=stride,
            dilation=dilation,
            first_dilation=first_dilation,
            attention=attention,
            attention_position=attention_position,
            drop_path_rate=drop_path_rate,
            shortcut_kernel_size=shortcut_kernel_size,
            spatial_dims=spatial_dims,
        )

    @property
    def last_norm(self) -> nn.Module:
        """The batch norm behind the last convolution."""
        return self.bn3

    def convolve(self, x: Tensor) -> Tensor:
        """Return the residual before its last batch norm."""
        reduced = norm_act(self.conv1(x), self.bn1, self.act1)
        hidden = norm_act(self.conv2(reduced), self.bn2, self.act2)
        return self.conv3(hidden)
