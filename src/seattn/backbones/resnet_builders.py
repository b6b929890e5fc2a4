"""The published depths of ResNet (He et al. 2016, table 1).

Every builder takes the arguments of ``ResNet``, all by keyword, but those that make the network
what it is.
"""

from collections.abc import Sequence

from seattn.backbones.resnet import ResNet
from seattn.backbones.resnet_blocks import BasicBlock, Bottleneck
from seattn.backbones.resnet_stages import Attention

__all__ = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]


def resnet18(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Attention | Sequence[Attention] = None,
    attention_position: str = "standard",
    layers: Sequence[int] = (2, 2, 2, 2),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
    stem_pool: str = "padded",
    output_stride: int = 32,
    spatial_dims: int = 2,
) -> ResNet:
    """Build a ResNet-18: basic blocks, 11.7 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> import torch
        >>> from seattn import resnet18
        >>> network = resnet18(spatial_dims=3, in_chans=1, num_classes=2).eval()  # volumes
        >>> network(torch.zeros(2, 1, 32, 64, 64)).shape
        torch.Size([2, 2])
    """
    return ResNet(
        BasicBlock,
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
        output_stride=output_stride,
        spatial_dims=spatial_dims,
    )


def resnet34(
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
    output_stride: int = 32,
    spatial_dims: int = 2,
) -> ResNet:
    """Build a ResNet-34: basic blocks, 21.8 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> import torch
        >>> from seattn import resnet34
        >>> network = resnet34(stem="small", in_chans=1, num_classes=2).eval()  # small images
        >>> network.forward_features(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 512, 8, 8])
    """
    return ResNet(
        BasicBlock,
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
        output_stride=output_stride,
        spatial_dims=spatial_dims,
    )


def resnet50(
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
    """Build a ResNet-50: bottlenecks, 25.6 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import resnet50
        >>> network = resnet50(num_classes=2)
        >>> [(each["module"], each["num_chs"]) for each in network.feature_info[1:]]
        [('layer1', 256), ('layer2', 512), ('layer3', 1024), ('layer4', 2048)]
        >>> network.get_classifier()
        Linear(in_features=2048, out_features=2, bias=True)
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
    )


def resnet101(
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
    """Build a ResNet-101: bottlenecks, 44.5 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import resnet101
        >>> network = resnet101(output_stride=8)  # dilated, for segmentation
        >>> [each["reduction"] for each in network.feature_info]
        [2, 4, 8, 8, 8]
        >>> network.layer4[0].conv2.dilation
        (2, 2)
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
    )


def resnet152(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Attention | Sequence[Attention] = None,
    attention_position: str = "standard",
    layers: Sequence[int] = (3, 8, 36, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
    stem_pool: str = "padded",
    stride_on: str = "conv2",
    output_stride: int = 32,
    spatial_dims: int = 2,
) -> ResNet:
    """Build a ResNet-152: bottlenecks, 60.2 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import resnet152
        >>> from seattn.attention import ECABlock
        >>> network = resnet152(attention=(None, None, None, ECABlock))  # in the last stage
        >>> len(network.layer3), len(network.layer4)
        (36, 3)
        >>> sum(isinstance(module, ECABlock) for module in network.modules())
        3
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
    )
