"""EfficientNet-B0 to B5 with the authors' compound scaling (Tan & Le 2019, equation 3).

Every builder takes the arguments of ``EfficientNet`` but its two factors, all by keyword. Dropout
and stochastic depth are off unless asked for; each docstring says what the authors trained with,
beside a ``drop_path_rate`` of 0.2.
"""

from seattn.backbones.efficientnet import EfficientNet

__all__ = [
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2",
    "efficientnet_b3", "efficientnet_b4", "efficientnet_b5",
]  # fmt: skip


def efficientnet_b0(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    output_stride: int = 32,
    bn_eps: float = 1e-5,
) -> EfficientNet:
    """Build an EfficientNet-B0 (trained by its authors on 224 pixels with ``drop_rate=0.2``)."""
    return EfficientNet(
        width=1.0,
        depth=1.0,
        num_classes=num_classes,
        in_chans=in_chans,
        global_pool=global_pool,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        output_stride=output_stride,
        bn_eps=bn_eps,
    )


def efficientnet_b1(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    output_stride: int = 32,
    bn_eps: float = 1e-5,
) -> EfficientNet:
    """Build an EfficientNet-B1 (trained by its authors on 240 pixels with ``drop_rate=0.2``)."""
    return EfficientNet(
        width=1.0,
        depth=1.1,
        num_classes=num_classes,
        in_chans=in_chans,
        global_pool=global_pool,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        output_stride=output_stride,
        bn_eps=bn_eps,
    )


def efficientnet_b2(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    output_stride: int = 32,
    bn_eps: float = 1e-5,
) -> EfficientNet:
    """Build an EfficientNet-B2 (trained by its authors on 260 pixels with ``drop_rate=0.3``)."""
    return EfficientNet(
        width=1.1,
        depth=1.2,
        num_classes=num_classes,
        in_chans=in_chans,
        global_pool=global_pool,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        output_stride=output_stride,
        bn_eps=bn_eps,
    )


def efficientnet_b3(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    output_stride: int = 32,
    bn_eps: float = 1e-5,
) -> EfficientNet:
    """Build an EfficientNet-B3 (trained by its authors on 300 pixels with ``drop_rate=0.3``)."""
    return EfficientNet(
        width=1.2,
        depth=1.4,
        num_classes=num_classes,
        in_chans=in_chans,
        global_pool=global_pool,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        output_stride=output_stride,
        bn_eps=bn_eps,
    )


def efficientnet_b4(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    output_stride: int = 32,
    bn_eps: float = 1e-5,
) -> EfficientNet:
    """Build an EfficientNet-B4 (trained by its authors on 380 pixels with ``drop_rate=0.4``)."""
    return EfficientNet(
        width=1.4,
        depth=1.8,
        num_classes=num_classes,
        in_chans=in_chans,
        global_pool=global_pool,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        output_stride=output_stride,
        bn_eps=bn_eps,
    )


def efficientnet_b5(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    output_stride: int = 32,
    bn_eps: float = 1e-5,
) -> EfficientNet:
    """Build an EfficientNet-B5 (trained by its authors on 456 pixels with ``drop_rate=0.4``)."""
    return EfficientNet(
        width=1.6,
        depth=2.2,
        num_classes=num_classes,
        in_chans=in_chans,
        global_pool=global_pool,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        output_stride=output_stride,
        bn_eps=bn_eps,
    )
