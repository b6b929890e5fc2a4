"""EfficientNet B0 to B5: Tan & Le, ICML 2019 (arXiv:1905.11946)."""

import math
from functools import partial

from torch import Tensor, nn

from seattn.backbones.efficientnet_blocks import DepthwiseSeparable, InvertedBottleneck, conv
from seattn.backbones.head import make_classifier
from seattn.backbones.stage import FeatureInfo, Stage

__all__ = ["EfficientNet"]

# B0, table 1 of the paper: expansion, channels, blocks, stride, kernel size.
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class EfficientNet(nn.Module):
    """Mobile inverted bottlenecks with squeeze-and-excitation, scaled in width and depth.

    State-dict keys, shapes and order are those of timm's ``efficientnet_b0`` to ``b5``. Differs
    from the authors' TensorFlow code, as those networks do: padding is symmetric, and BatchNorm
    has PyTorch's epsilon (1e-5) and momentum. No module's input or output is changed in place, so a
    hook keeps what it saw.

    Args:
        width: Factor on the number of channels (the paper's w).
        depth: Factor on the number of blocks (the paper's d).
        num_classes: Number of logits; 0 leaves the pooled features.
        in_chans: Channels of the image.
        global_pool: ``"avg"``, ``"max"``, ``"avgmax"`` (their mean), or ``""`` for no pooling.
        drop_rate: Probability of dropout before the classifier.
        drop_path_rate: Stochastic depth: of B blocks the one numbered i, from 0, is dropped in
            training with probability ``drop_path_rate * i / B``.

    Shape:
        - Input: (N, in_chans, H, W).
        - Output: (N, num_classes); (N, num_features) without classifier; (N, num_features, H/32,
          W/32) without classifier and pooling.

    Raises:
        ValueError: ``global_pool`` or a rate is none of those allowed; logits without pooling.

    Examples:
        >>> import torch
        >>> from seattn.backbones import EfficientNet
        >>> net = EfficientNet(width=0.25, depth=0.5, in_chans=1, num_classes=2).eval()
        >>> net(torch.randn(2, 1, 64, 64)).shape
        torch.Size([2, 2])
        >>> net.forward_features(torch.randn(2, 1, 64, 64)).shape
        torch.Size([2, 320, 2, 2])
    """

    def __init__(
        self,
        *,
        width: float = 1.0,
        depth: float = 1.0,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.num_features = _round_channels(1280 * width)
        stem_channels = _round_channels(32 * width)

        # These names, down to `classifier`, are the keys of timm's checkpoints.
        self.conv_stem = conv(in_chans, stem_channels, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(stem_channels)
        self.act1 = nn.SiLU()
        self.blocks = nn.Sequential(*_stages(stem_channels, width, depth, drop_path_rate))
        self.conv_head = conv(_round_channels(320 * width), self.num_features, 1)
        self.bn2 = nn.BatchNorm2d(self.num_features)
        self.act2 = nn.SiLU()
        self.dropout = nn.Dropout(drop_rate)
        self.global_pool, self.classifier = make_classifier(
            self.num_features, num_classes, global_pool
        )
        if isinstance(self.classifier, nn.Linear):
            bound = 1 / math.sqrt(num_classes)
            nn.init.uniform_(self.classifier.weight, -bound, bound)
            nn.init.zeros_(self.classifier.bias)

        # The last stage at each resolution.
        self.feature_info = [
            FeatureInfo(
                num_chs=_round_channels(_STAGES[stage][1] * width),
                reduction=reduction,
                module=f"blocks.{stage}",
            )
            for stage, reduction in ((0, 2), (1, 4), (2, 8), (4, 16), (6, 32))
        ]

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last feature map, (N, num_features, H/32, W/32)."""
        x = self.act1(self.bn1(self.conv_stem(x)))
        x = self.blocks(x)
        return self.act2(self.bn2(self.conv_head(x)))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits of a feature map; with ``pre_logits`` what the classifier is given."""
        x = self.dropout(self.global_pool(x))
        return x if pre_logits else self.classifier(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images (N, in_chans, H, W)."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Linear | nn.Identity:
        """Return the last layer."""
        return self.classifier

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
        self.classifier = classifier.to(self.conv_stem.weight).train(self.training)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep in training only what enters each block, and recompute the rest in backward.

        The recomputation shows BatchNorm every batch a second time, so its running statistics
        follow the batches faster; the gradients are the same.
        """
        for stage in self.modules():
            if isinstance(stage, Stage):
                stage.grad_checkpointing = enable


def _stages(in_channels: int, width: float, depth: float, drop_path_rate: float) -> list[Stage]:
    """Build the seven stages of the table, scaled; the first block of a stage takes its stride."""
    depths = [math.ceil(repeats * depth) for _, _, repeats, _, _ in _STAGES]
    rates = iter([drop_path_rate * i / sum(depths) for i in range(sum(depths))])
    stages = []
    for (expansion, channels, _, stage_stride, kernel_size), repeats in zip(
        _STAGES, depths, strict=True
    ):
        out_channels = _round_channels(channels * width)
        block = (
            DepthwiseSeparable
            if expansion == 1
            else partial(InvertedBottleneck, expansion=expansion)
        )
        blocks = []
        for stride in (stage_stride, *[1] * (repeats - 1)):
            blocks.append(
                block(
                    in_channels,
                    out_channels,
                    kernel_size=kernel_size,
                    stride=stride,
                    drop_path_rate=next(rates),
                )
            )
            in_channels = out_channels
        stages.append(Stage(*blocks))
    return stages


def _round_channels(channels: float) -> int:
    """Round to a multiple of 8, up where rounding down would lose more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
