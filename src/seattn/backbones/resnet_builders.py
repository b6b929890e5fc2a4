"""The published depths of ResNet (He et al. 2016, table 1), plain and with squeeze-and-excitation.

Every builder takes the arguments of ``ResNet``, all by keyword.
"""

from collections.abc import Callable, Sequence

from torch import nn

from seattn.attention import SEBlock
from seattn.backbones.resnet import ResNet
from seattn.backbones.resnet_blocks import BasicBlock, Bottleneck

__all__ = [
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "se_resnet18", "se_resnet34", "se_resnet50", "se_resnet101", "se_resnet152",
]  # fmt: skip


def resnet18(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Callable[[int], nn.Module] | None = None,
    layers: Sequence[int] = (2, 2, 2, 2),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
) -> ResNet:
    """Build a ResNet-18: basic blocks, 11.7 million parameters."""
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
        channels=channels,
        stem=stem,
    )


def resnet34(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Callable[[int], nn.Module] | None = None,
    layers: Sequence[int] = (3, 4, 6, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
) -> ResNet:
    """Build a ResNet-34: basic blocks, 21.8 million parameters."""
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
        channels=channels,
        stem=stem,
    )


def resnet50(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Callable[[int], nn.Module] | None = None,
    layers: Sequence[int] = (3, 4, 6, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
) -> ResNet:
    """Build a ResNet-50: bottlenecks, 25.6 million parameters."""
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
        channels=channels,
        stem=stem,
    )


def resnet101(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Callable[[int], nn.Module] | None = None,
    layers: Sequence[int] = (3, 4, 23, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
) -> ResNet:
    """Build a ResNet-101: bottlenecks, 44.5 million parameters."""
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
        channels=channels,
        stem=stem,
    )


def resnet152(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Callable[[int], nn.Module] | None = None,
    layers: Sequence[int] = (3, 8, 36, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
) -> ResNet:
    """Build a ResNet-152: bottlenecks, 60.2 million parameters."""
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
        channels=channels,
        stem=stem,
    )


def se_resnet18(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Callable[[int], nn.Module] | None = SEBlock,
    layers: Sequence[int] = (2, 2, 2, 2),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
) -> ResNet:
    """Build an SE-ResNet-18, ``SEBlock`` in every block: basic blocks, 11.8 million parameters."""
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
        channels=channels,
        stem=stem,
    )


def se_resnet34(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Callable[[int], nn.Module] | None = SEBlock,
    layers: Sequence[int] = (3, 4, 6, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
) -> ResNet:
    """Build an SE-ResNet-34, ``SEBlock`` in every block: basic blocks, 22.0 million parameters."""
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
        channels=channels,
        stem=stem,
    )


def se_resnet50(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Callable[[int], nn.Module] | None = SEBlock,
    layers: Sequence[int] = (3, 4, 6, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
) -> ResNet:
    """Build an SE-ResNet-50, ``SEBlock`` in every block: bottlenecks, 28.1 million parameters."""
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
        channels=channels,
        stem=stem,
    )


def se_resnet101(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Callable[[int], nn.Module] | None = SEBlock,
    layers: Sequence[int] = (3, 4, 23, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
) -> ResNet:
    """Build an SE-ResNet-101, ``SEBlock`` in every block: bottlenecks, 49.3 million parameters."""
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
        channels=channels,
        stem=stem,
    )


def se_resnet152(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    zero_init_last: bool = True,
    attention: Callable[[int], nn.Module] | None = SEBlock,
    layers: Sequence[int] = (3, 8, 36, 3),
    channels: Sequence[int] = (64, 128, 256, 512),
    stem: str = "standard",
) -> ResNet:
    """Build an SE-ResNet-152, ``SEBlock`` in every block: bottlenecks, 66.8 million parameters."""
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
        channels=channels,
        stem=stem,
    )
