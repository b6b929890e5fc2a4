"""SE-ResNets (Hu et al. 2018, arXiv:1709.01507): ResNets with ``SEBlock`` in every block.

Every builder takes the arguments of ``ResNet``, all by keyword, but those that make the network
what it is.
"""

from collections.abc import Sequence

from seattn.attention import SEBlock
from seattn.backbones.resnet import ResNet
from seattn.backbones.resnet_blocks import BasicBlock, Bottleneck
from seattn.backbones.resnet_stages import Attention

__all__ = ["se_resnet18", "se_resnet34", "se_resnet50", "se_resnet101", "se_resnet152"]


def se_resnet18(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Attention | Sequence[Attention] = SEBlock,
    attention_position: str = "standard",
    layers: Sequence[int] = (2, 2, 2, 2),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
    stem_pool: str = "padded",
    output_stride: int = 32,
    spatial_dims: int = 2,
) -> ResNet:
    """Build an SE-ResNet-18, ``SEBlock`` in every block: basic blocks, 11.8 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> import torch
        >>> from seattn import record_gates, se_resnet18
        >>> network = se_resnet18(in_chans=1, num_classes=2).eval()
        >>> with record_gates(network) as gates:
        ...     logits = network(torch.zeros(4, 1, 64, 64))
        >>> len(gates), gates["layer4.1.se"].shape
        (8, torch.Size([4, 512]))
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


def se_resnet34(
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
    output_stride: int = 32,
    spatial_dims: int = 2,
) -> ResNet:
    """Build an SE-ResNet-34, ``SEBlock`` in every block: basic blocks, 22.0 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from functools import partial
        >>> from seattn import se_resnet34
        >>> from seattn.attention import SEBlock
        >>> network = se_resnet34(attention=partial(SEBlock, reduction=8))
        >>> network.layer1[0].se.fc1.weight.shape  # 64 // 8 hidden units
        torch.Size([8, 64, 1, 1])
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


def se_resnet50(
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
    """Build an SE-ResNet-50, ``SEBlock`` in every block: bottlenecks, 28.1 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import resnet50, se_resnet50
        >>> plain = sum(p.numel() for p in resnet50().parameters())
        >>> plain, sum(p.numel() for p in se_resnet50().parameters()) - plain  # the gates
        (25557032, 2530992)
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


def se_resnet101(
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
    """Build an SE-ResNet-101, ``SEBlock`` in every block: bottlenecks, 49.3 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import se_resnet101
        >>> network = se_resnet101(stride_on="conv1", stem_pool="ceil")  # as first released
        >>> network.layer2[0].conv1.stride, network.layer2[0].conv2.stride
        ((2, 2), (1, 1))
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


def se_resnet152(
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
    stem: str = "standard",
    stem_pool: str = "padded",
    stride_on: str = "conv2",
    output_stride: int = 32,
    spatial_dims: int = 2,
) -> ResNet:
    """Build an SE-ResNet-152, ``SEBlock`` in every block: bottlenecks, 66.8 million parameters.

    Arguments, shapes and errors are those of :class:`ResNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import se_resnet152
        >>> network = se_resnet152(drop_path_rate=0.2)
        >>> rates = [block.drop_path.rate for block in network.layer4]
        >>> [round(rate, 3) for rate in rates]  # grows to the last block
        [0.192, 0.196, 0.2]
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
