"""The stem and the stages of a ResNet."""

from collections.abc import Callable, Sequence

from torch import nn

from seattn.backbones.layers import batch_norm, conv
from seattn.backbones.stage import Stage

__all__ = ["Attention", "make_stages", "make_stem", "strides_and_dilations"]

Attention = Callable[[int], nn.Module] | None


def make_stem(kind: str, in_chans: int, width: int, spatial_dims: int) -> nn.Module:
    """Build the first convolution, or the three of the deep stem, without the last BatchNorm."""
    if kind == "standard":
        return conv(in_chans, width, 7, stride=2, spatial_dims=spatial_dims)
    if kind == "small":
        return conv(in_chans, width, 3, spatial_dims=spatial_dims)
    return nn.Sequential(
        conv(in_chans, width, 3, stride=2, spatial_dims=spatial_dims),
        batch_norm(width, spatial_dims=spatial_dims),
        nn.ReLU(),
        conv(width, width, 3, spatial_dims=spatial_dims),
        batch_norm(width, spatial_dims=spatial_dims),
        nn.ReLU(),
        conv(width, 2 * width, 3, spatial_dims=spatial_dims),
    )


def strides_and_dilations(output_stride: int) -> tuple[list[int], list[int]]:
    """Return both for the four stages: beyond ``output_stride`` dilation replaces stride."""
    strides, dilations = [], []
    reached, dilation = 4, 1
    for stride in (1, 2, 2, 2):
        if reached * stride > output_stride:
            dilation *= stride
            strides.append(1)
        else:
            reached *= stride
            strides.append(stride)
        dilations.append(dilation)
    return strides, dilations


def make_stages(
    block: Callable[..., nn.Module],
    in_channels: int,
    channels: Sequence[int],
    expansion: int,
    *,
    layers: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    attention: Sequence[Attention],
    drop_path_rate: float,
) -> list[Stage]:
    """Build the four stages; the first block of each takes its stride."""
    stages = []
    rates = iter([drop_path_rate * i / max(sum(layers) - 1, 1) for i in range(sum(layers))])
    first_dilation = 1
    for depth, width, stage_stride, dilation, attend in zip(
        layers, channels, strides, dilations, attention, strict=True
    ):
        blocks = []
        for stride in (stage_stride, *[1] * (depth - 1)):
            blocks.append(
                block(
                    in_channels,
                    width,
                    stride=stride,
                    dilation=dilation,
                    first_dilation=first_dilation,
                    attention=attend,
                    drop_path_rate=next(rates),
                )
            )
            in_channels, first_dilation = width * expansion, dilation
        stages.append(Stage(*blocks))
    return stages
