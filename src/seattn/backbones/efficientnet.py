"""EfficientNet B0 to B5: Tan & Le, ICML 2019 (arXiv:1905.11946)."""

import math
from functools import partial
from typing import Any

from torch import Tensor, nn

from seattn.backbones.backbone import Backbone
from seattn.backbones.efficientnet_blocks import DepthwiseSeparable, InvertedBottleneck, conv
from seattn.backbones.fused import norm_act
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


class EfficientNet(Backbone):
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
        output_stride: Stride of the last map with respect to the image: 32, or 16 or 8, where
            dilation takes the place of the later strides. Weights are the same.
        bn_eps: Epsilon of every BatchNorm; weights that come from TensorFlow need 1e-3.

    Shape:
        - Input: (N, in_chans, H, W).
        - Output: (N, num_classes); (N, num_features) without classifier; (N, num_features, H/32,
          W/32) without classifier and pooling.

    Raises:
        ValueError: ``global_pool``, ``output_stride`` or a rate is none of those allowed; logits
            without pooling.

    Examples:
        >>> import torch
        >>> from seattn.backbones import EfficientNet
        >>> net = EfficientNet(width=0.25, depth=0.5, in_chans=1, num_classes=2).eval()
        >>> net(torch.randn(2, 1, 64, 64)).shape
        torch.Size([2, 2])
        >>> net.forward_features(torch.randn(2, 1, 64, 64)).shape
        torch.Size([2, 320, 2, 2])
    """

    _classifier = "classifier"
    trunk = (
        "conv_stem",
        "bn1",
        "act1",
        *(f"blocks.{i}" for i in range(7)),
        "conv_head",
        "bn2",
        "act2",
    )

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
        output_stride: int = 32,
        bn_eps: float = 1e-5,
    ) -> None:
        arguments = dict(locals())
        super().__init__()
        self._arguments = {k: v for k, v in arguments.items() if k not in ("self", "__class__")}
        if output_stride not in (32, 16, 8):
            raise ValueError(f"`output_stride` (={output_stride}) must be 32, 16 or 8")
        if in_chans < 1:
            raise ValueError(f"`in_chans` (={in_chans}) must be positive")
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.num_features = _round_channels(1280 * width)
        stem_channels = _round_channels(32 * width)

        # These names, down to `classifier`, are the keys of timm's checkpoints.
        self.conv_stem = conv(in_chans, stem_channels, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(stem_channels)
        self.act1 = nn.SiLU()
        stages, strides = _stages(stem_channels, width, depth, drop_path_rate, output_stride)
        self.blocks = nn.Sequential(*stages)
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

        for norm in self.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.eps = bn_eps

        # The last stage at each resolution of the network as published.
        self.feature_info = [
            FeatureInfo(
                num_chs=_round_channels(_STAGES[stage][1] * width),
                reduction=2 * math.prod(strides[: stage + 1]),
                module=f"blocks.{stage}",
            )
            for stage in (0, 1, 2, 4, 6)
        ]

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last feature map, (N, num_features, H/32, W/32)."""
        x = norm_act(self.conv_stem(x), self.bn1, self.act1)
        x = self.blocks(x)
        return norm_act(self.conv_head(x), self.bn2, self.act2)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the patterns by which timm groups parameters, by stage or by block."""
        blocks = r"^blocks\.(\d+)" if coarse else r"^blocks\.(\d+)\.(\d+)"
        return {
            "stem": r"^conv_stem|bn1",
            "blocks": [(blocks, None), (r"conv_head|bn2", (99999,))],
        }


def _stages(
    in_channels: int, width: float, depth: float, drop_path_rate: float, output_stride: int
) -> tuple[list[Stage], list[int]]:
    """Build the seven stages of the table, scaled, and return their strides beside them.

    The first block of a stage takes its stride; beyond ``output_stride`` dilation replaces it.
    """
    depths = [math.ceil(repeats * depth) for _, _, repeats, _, _ in _STAGES]
    rates = iter([drop_path_rate * i / sum(depths) for i in range(sum(depths))])
    stages, strides = [], []
    reached, dilation = 2, 1
    for (expansion, channels, _, stage_stride, kernel_size), repeats in zip(
        _STAGES, depths, strict=True
    ):
        out_channels = _round_channels(channels * width)
        block = (
            DepthwiseSeparable
            if expansion == 1
            else partial(InvertedBottleneck, expansion=expansion)
        )
        stride, first_dilation = stage_stride, dilation
        if reached * stage_stride > output_stride:
            stride = 1
            dilation *= stage_stride
        reached *= stride
        strides.append(stride)
        blocks = []
        for i in range(repeats):
            blocks.append(
                block(
                    in_channels,
                    out_channels,
                    kernel_size=kernel_size,
                    stride=stride if i == 0 else 1,
                    dilation=first_dilation if i == 0 else dilation,
                    drop_path_rate=next(rates),
                )
            )
            in_channels = out_channels
        stages.append(Stage(*blocks))
    return stages, strides


def _round_channels(channels: float) -> int:
    """Round to a multiple of 8, up where rounding down would lose more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
