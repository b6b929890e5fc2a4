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
    """Build an EfficientNet-B0 (trained by its authors on 224 pixels with ``drop_rate=0.2``).

    Arguments, shapes and errors are those of :class:`EfficientNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> import torch
        >>> from seattn import efficientnet_b0
        >>> network = efficientnet_b0(in_chans=1, num_classes=2).eval()
        >>> network.forward_features(torch.zeros(1, 1, 224, 224)).shape
        torch.Size([1, 1280, 7, 7])
    """
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
    """Build an EfficientNet-B1 (trained by its authors on 240 pixels with ``drop_rate=0.2``).

    Arguments, shapes and errors are those of :class:`EfficientNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import efficientnet_b0, efficientnet_b1
        >>> [len(stage) for stage in efficientnet_b0().blocks]
        [1, 2, 2, 3, 3, 4, 1]
        >>> [len(stage) for stage in efficientnet_b1().blocks]  # depth 1.1, rounded up
        [2, 3, 3, 4, 4, 5, 2]
    """
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
    """Build an EfficientNet-B2 (trained by its authors on 260 pixels with ``drop_rate=0.3``).

    Arguments, shapes and errors are those of :class:`EfficientNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import efficientnet_b2
        >>> network = efficientnet_b2()
        >>> [each["num_chs"] for each in network.feature_info], network.num_features
        ([16, 24, 48, 120, 352], 1408)
    """
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
    """Build an EfficientNet-B3 (trained by its authors on 300 pixels with ``drop_rate=0.3``).

    Arguments, shapes and errors are those of :class:`EfficientNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import efficientnet_b3
        >>> network = efficientnet_b3(drop_rate=0.3, drop_path_rate=0.2)  # as in training
        >>> network.dropout
        Dropout(p=0.3, inplace=False)
    """
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
    """Build an EfficientNet-B4 (trained by its authors on 380 pixels with ``drop_rate=0.4``).

    Arguments, shapes and errors are those of :class:`EfficientNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import efficientnet_b4
        >>> network = efficientnet_b4(output_stride=16)  # dilated in the last stages
        >>> [each["reduction"] for each in network.feature_info]
        [2, 4, 8, 16, 16]
    """
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
    """Build an EfficientNet-B5 (trained by its authors on 456 pixels with ``drop_rate=0.4``).

    Arguments, shapes and errors are those of :class:`EfficientNet`.

    Returns:
        The network, with random weights.

    Examples:
        >>> from seattn import efficientnet_b5
        >>> network = efficientnet_b5(bn_eps=1e-3)  # for weights that come from TensorFlow
        >>> network.bn1.eps, network.num_features
        (0.001, 2048)
    """
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
