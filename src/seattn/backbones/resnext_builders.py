"""ResNeXt (Xie et al. 2017, arXiv:1611.05431), and with ``SEBlock`` SE-ResNeXt and SENet-154.

Every builder takes the arguments of ``ResNet``, all by keyword, but those that make the network
what it is.
"""

from collections.abc import Sequence

from seattn.attention import SEBlock
from seattn.backbones.resnet import ResNet
from seattn.backbones.resnet_blocks import Bottleneck
from seattn.backbones.resnet_stages import Attention

__all__ = [
    "resnext50_32x4d",
    "resnext101_32x4d",
    "se_resnext50_32x4d",
    "se_resnext101_32x4d",
    "senet154",
]


def resnext50_32x4d(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Attention | Sequence[Attention] = None,
    attention_position: str = "standard",
    layers: Sequence[int] = (3, 4, 6, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
    stem_pool: str = "padded",
    stride_on: str = "conv2",
    output_stride: int = 32,
    spatial_dims: int = 2,
) -> ResNet:
    """Build a ResNeXt-50 of 32 groups of 4 channels: 25.0 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import resnext50_32x4d
        >>> convolution = resnext50_32x4d().layer1[0].conv2
        >>> convolution.groups, convolution.in_channels  # the cardinality, and 4 channels a group
        (32, 128)
    """
    return ResNet(
        Bottleneck,
        layers,
        num_classes=num_classes,
        in_chans=in_chans,
        global_pool=global_pool,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        zero_init_last=zero_init_last,
        attention=attention,
        attention_position=attention_position,
        channels=channels,
        stem=stem,
        stem_pool=stem_pool,
        stride_on=stride_on,
        output_stride=output_stride,
        spatial_dims=spatial_dims,
        cardinality=32,
        base_width=4,
    )


def resnext101_32x4d(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Attention | Sequence[Attention] = None,
    attention_position: str = "standard",
    layers: Sequence[int] = (3, 4, 23, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
    stem_pool: str = "padded",
    stride_on: str = "conv2",
    output_stride: int = 32,
    spatial_dims: int = 2,
) -> ResNet:
    """Build a ResNeXt-101 of 32 groups of 4 channels: 44.2 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import resnext101_32x4d
        >>> network = resnext101_32x4d(num_classes=0)  # the pooled features
        >>> network.num_features, network.get_classifier()
        (2048, Identity())
    """
    return ResNet(
        Bottleneck,
        layers,
        num_classes=num_classes,
        in_chans=in_chans,
        global_pool=global_pool,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        zero_init_last=zero_init_last,
        attention=attention,
        attention_position=attention_position,
        channels=channels,
        stem=stem,
        stem_pool=stem_pool,
        stride_on=stride_on,
        output_stride=output_stride,
        spatial_dims=spatial_dims,
        cardinality=32,
        base_width=4,
    )


def se_resnext50_32x4d(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Attention | Sequence[Attention] = SEBlock,
    attention_position: str = "standard",
    layers: Sequence[int] = (3, 4, 6, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
    stem_pool: str = "padded",
    stride_on: str = "conv2",
    output_stride: int = 32,
    spatial_dims: int = 2,
) -> ResNet:
    """Build an SE-ResNeXt-50, ``SEBlock`` in every block: 27.6 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import se_resnext50_32x4d
        >>> network = se_resnext50_32x4d(attention_position="pre")  # SENet, section 6.5
        >>> [network.layer2[i].se.fc1.in_channels for i in (0, 1)]  # gates what enters the residual
        [256, 512]
    """
    return ResNet(
        Bottleneck,
        layers,
        num_classes=num_classes,
        in_chans=in_chans,
        global_pool=global_pool,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        zero_init_last=zero_init_last,
        attention=attention,
        attention_position=attention_position,
        channels=channels,
        stem=stem,
        stem_pool=stem_pool,
        stride_on=stride_on,
        output_stride=output_stride,
        spatial_dims=spatial_dims,
        cardinality=32,
        base_width=4,
    )


def se_resnext101_32x4d(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Attention | Sequence[Attention] = SEBlock,
    attention_position: str = "standard",
    layers: Sequence[int] = (3, 4, 23, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
    stem_pool: str = "padded",
    stride_on: str = "conv2",
    output_stride: int = 32,
    spatial_dims: int = 2,
) -> ResNet:
    """Build an SE-ResNeXt-101, ``SEBlock`` in every block: 49.0 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import se_resnext101_32x4d
        >>> network = se_resnext101_32x4d()
        >>> network.layer3[22].se.fc1.weight.shape, network.layer3[22].conv2.groups
        (torch.Size([64, 1024, 1, 1]), 32)
    """
    return ResNet(
        Bottleneck,
        layers,
        num_classes=num_classes,
        in_chans=in_chans,
        global_pool=global_pool,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        zero_init_last=zero_init_last,
        attention=attention,
        attention_position=attention_position,
        channels=channels,
        stem=stem,
        stem_pool=stem_pool,
        stride_on=stride_on,
        output_stride=output_stride,
        spatial_dims=spatial_dims,
        cardinality=32,
        base_width=4,
    )


def senet154(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Attention | Sequence[Attention] = SEBlock,
    attention_position: str = "standard",
    layers: Sequence[int] = (3, 8, 36, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "deep",
    stem_pool: str = "padded",
    stride_on: str = "conv2",
    output_stride: int = 32,
    spatial_dims: int = 2,
) -> ResNet:
    """Build a SENet-154: 64 groups, a deep stem; 115.1 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import senet154
        >>> network = senet154()
        >>> network.layer1[0].conv2.groups, network.layer1[0].conv2.in_channels
        (64, 128)
        >>> network.layer2[0].downsample[0].kernel_size  # 1x1 in ResNets
        (3, 3)
    """
    return ResNet(
        Bottleneck,
        layers,
        num_classes=num_classes,
        in_chans=in_chans,
        global_pool=global_pool,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        zero_init_last=zero_init_last,
        attention=attention,
        attention_position=attention_position,
        channels=channels,
        stem=stem,
        stem_pool=stem_pool,
        stride_on=stride_on,
        output_stride=output_stride,
        spatial_dims=spatial_dims,
        cardinality=64,
        base_width=4,
        reduce_first=2,
        shortcut_kernel_size=3,
    )
