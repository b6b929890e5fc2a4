"""ResNet (He et al. 2016, arXiv:1512.03385), and SE-ResNet (Hu et al. 2018, arXiv:1709.01507)."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from seattn.backbones.head import make_classifier
from seattn.backbones.resnet_blocks import BasicBlock, Bottleneck, conv
from seattn.backbones.stage import FeatureInfo, Stage

__all__ = ["ResNet"]


class ResNet(nn.Module):
    """A residual network, with channel attention in every block or without.

    State-dict keys, shapes and order are those of timm, and without attention of torchvision.
    Differs from the paper: a bottleneck's stride sits in its 3x3 convolution, as in all current
    implementations ("ResNet v1.5"). Attention scales the residual before the addition (SENet,
    figure 3). No module's input or output is changed in place, so a hook keeps what it saw.

    Args:
        block: ``BasicBlock`` or ``Bottleneck``.
        layers: Number of blocks of each of the four stages.
        num_classes: Number of logits; 0 leaves the pooled features.
        in_chans: Channels of the image.
        global_pool: ``"avg"``, ``"max"``, ``"avgmax"`` (their mean), or ``""`` for no pooling.
        drop_rate: Probability of dropout before the classifier.
        drop_path_rate: Probability that the last block's residual is dropped in training; it grows
            linearly from 0 in the first block.
        zero_init_last: Start every residual at zero (Goyal et al. 2017, arXiv:1706.02677,
            section 5.1), as timm does and torchvision does not.
        attention: Takes a number of channels and returns the module that scales a residual: a
            class such as ``SEBlock``, a ``functools.partial`` of one, or None.
        channels: Width of each stage before the block's expansion. The stem has the first.
        stem: ``"standard"`` (7x7 convolution and max pooling, stride 4), or ``"small"`` (3x3
            convolution, stride 1) for images of 28 to 96 pixels.

    Shape:
        - Input: (N, in_chans, H, W), 32 pixels or more a side for a useful map.
        - Output: (N, num_classes); (N, num_features) without classifier; (N, num_features, H/32,
          W/32), with the small stem H/8 and W/8, without classifier and pooling.

    Raises:
        ValueError: ``layers`` or ``channels`` are not four positive numbers; ``stem``,
            ``global_pool`` or a rate is none of those allowed; logits without pooling.
        TypeError: ``attention`` is an instance, which the blocks would share, or no callable.

    Examples:
        >>> import torch
        >>> from seattn.attention import SEBlock
        >>> from seattn.backbones import BasicBlock, ResNet
        >>> net = ResNet(BasicBlock, (1, 1, 1, 1), channels=(16, 32, 64, 128), stem="small",
        ...              attention=SEBlock, in_chans=1, num_classes=2)
        >>> net(torch.randn(2, 1, 64, 64)).shape
        torch.Size([2, 2])
        >>> net.forward_features(torch.randn(2, 1, 64, 64)).shape
        torch.Size([2, 128, 8, 8])
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        layers: Sequence[int],
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        zero_init_last: bool = True,
        attention: Callable[[int], nn.Module] | None = None,
        channels: Sequence[int] = (64, 128, 256, 512),
        stem: str = "standard",
    ) -> None:
        super().__init__()
        _check_stages("layers", layers)
        _check_stages("channels", channels)
        if stem not in ("standard", "small"):
            raise ValueError(f"`stem` (={stem!r}) must be 'standard' or 'small'")
        if isinstance(attention, nn.Module) or not (attention is None or callable(attention)):
            raise TypeError(
                f"`attention` (={attention!r}) must be a class, a functools.partial of one, or "
                "None: every block builds its own for its number of channels"
            )
        small = stem == "small"
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.num_features = channels[-1] * block.expansion

        # These names, down to `fc`, are the keys of torchvision's and timm's checkpoints.
        self.conv1 = conv(in_chans, channels[0], 3 if small else 7, stride=1 if small else 2)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.act1 = nn.ReLU()
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = _stages(
            block, layers, channels, attention, drop_path_rate, zero_init_last
        )
        self.dropout = nn.Dropout(drop_rate)
        self.global_pool, self.fc = make_classifier(self.num_features, num_classes, global_pool)

        widths = (channels[0], *(width * block.expansion for width in channels))
        reductions = (1, 1, 2, 4, 8) if small else (2, 4, 8, 16, 32)
        modules = ("act1", "layer1", "layer2", "layer3", "layer4")
        self.feature_info = [
            FeatureInfo(num_chs=num_chs, reduction=reduction, module=module)
            for num_chs, reduction, module in zip(widths, reductions, modules, strict=True)
        ]

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last feature map, (N, num_features, H/32, W/32) or with the small stem H/8."""
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.maxpool(x)
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        return self.layer4(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits of a feature map; with ``pre_logits`` what the classifier is given."""
        x = self.dropout(self.global_pool(x))
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images (N, in_chans, H, W)."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Linear | nn.Identity:
        """Return the last layer."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer by a new one, of the same dtype, on the same device.

        Args:
            num_classes: Number of logits; 0 leaves the pooled features.
            global_pool: As in the constructor; None keeps the pooling.
        """
        kind = self.global_pool.kind if global_pool is None else global_pool
        pool, classifier = make_classifier(self.num_features, num_classes, kind)
        self.num_classes = num_classes
        self.global_pool = pool.train(self.training)
        self.fc = classifier.to(self.conv1.weight).train(self.training)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep in training only what enters each block, and recompute the rest in backward.

        The recomputation shows BatchNorm every batch a second time, so its running statistics
        follow the batches faster; the gradients are the same.
        """
        for stage in self.modules():
            if isinstance(stage, Stage):
                stage.grad_checkpointing = enable


def _stages(
    block: type[BasicBlock | Bottleneck],
    layers: Sequence[int],
    channels: Sequence[int],
    attention: Callable[[int], nn.Module] | None,
    drop_path_rate: float,
    zero_init_last: bool,
) -> list[Stage]:
    """Build the four stages; from the second on, the first block of each halves the map."""
    stages = []
    in_channels = channels[0]
    last = max(sum(layers) - 1, 1)
    rates = iter([drop_path_rate * i / last for i in range(sum(layers))])
    for depth, width, stage_stride in zip(layers, channels, (1, 2, 2, 2), strict=True):
        blocks = []
        for stride in (stage_stride, *[1] * (depth - 1)):
            blocks.append(
                block(
                    in_channels,
                    width,
                    stride=stride,
                    attention=attention,
                    drop_path_rate=next(rates),
                    zero_init_last=zero_init_last,
                )
            )
            in_channels = width * block.expansion
        stages.append(Stage(*blocks))
    return stages


def _check_stages(name: str, values: Sequence[int]) -> None:
    if len(values) != 4 or min(values) < 1:
        raise ValueError(f"`{name}` (={tuple(values)}) must be four positive numbers, one a stage")
