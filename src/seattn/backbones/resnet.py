"""ResNet, ResNeXt and SENet: He et al. 2016 (arXiv:1512.03385), Xie et al. 2017, Hu et al. 2018."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from seattn.backbones.backbone import Backbone
from seattn.backbones.fused import norm_act
from seattn.backbones.head import make_classifier
from seattn.backbones.layers import batch_norm, max_pool
from seattn.backbones.resnet_blocks import BasicBlock, Bottleneck
from seattn.backbones.resnet_stages import (
    Attention,
    make_stages,
    make_stem,
    strides_and_dilations,
)
from seattn.backbones.stage import FeatureInfo

__all__ = ["ResNet"]

_POSITIONS = ("standard", "pre", "post", "identity")


class ResNet(Backbone):
    """A residual network, with attention in every block or without.

    State-dict keys, shapes and order are those of timm, and without attention of torchvision. The
    options cover ResNet, ResNeXt (Xie et al. 2017, arXiv:1611.05431), SE-ResNet, SE-ResNeXt and
    SENet-154 (Hu et al. 2018, arXiv:1709.01507), in the variants that released weights need, for
    images of one, two or three dimensions.

    Differs from the paper: a bottleneck's stride sits in its 3x3 convolution unless ``stride_on``
    says otherwise, as in all current implementations ("ResNet v1.5"). No module's input or output
    is changed in place, so a hook keeps what it saw.

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
        attention: Takes a number of channels and returns a module that keeps the shape: a class
            such as ``SEBlock``, a ``functools.partial`` of one, or None; or four of these, one for
            each stage.
        attention_position: Where a block has its attention (SENet, section 6.5 and figure 5):
            ``"standard"``, on the residual before the addition; ``"pre"``, on what enters the
            residual; ``"post"``, after the addition and its ReLU; ``"identity"``, on the shortcut.
        channels: Width of each stage before the block's expansion. The stem has the first.
        stem: ``"standard"`` (7x7 convolution and max pooling, stride 4); ``"deep"`` (three 3x3
            convolutions instead of the 7x7, the last twice as wide); or ``"small"`` (3x3
            convolution, stride 1) for images of 28 to 96 pixels.
        stem_pool: ``"padded"``, max pooling with one pixel of padding; or ``"ceil"``, without
            padding and rounding up, as in networks that come from Caffe.
        stride_on: The convolution of a bottleneck that has the stride: ``"conv2"``, the 3x3; or
            ``"conv1"``, the 1x1 before it, as in the paper and in the SE-ResNets that Hu et al.
            released. A basic block has its stride in the first convolution.
        output_stride: Stride of the last map with respect to the image: 32, or 16 or 8, where
            dilation takes the place of the later strides. Weights are the same.
        cardinality: Groups of a bottleneck's 3x3 convolution.
        base_width: Channels of each group in the first stage, if that is 64 wide.
        reduce_first: Divides the channels of a bottleneck's first convolution.
        shortcut_kernel_size: Of the shortcut's convolution where it has a stride.
        spatial_dims: Dimensions of the image, 1, 2 or 3.

    Shape:
        - Input: ``(N, in_chans, *spatial)``, 32 pixels or more a side for a useful map.
        - Output: (N, num_classes); (N, num_features) without classifier; (N, num_features, H/32,
          W/32), with the small stem H/8 and W/8, without classifier and pooling.

    Raises:
        ValueError: ``layers`` or ``channels`` are not four positive numbers; an option is none of
            those allowed; logits without pooling; bottleneck options for basic blocks.
        TypeError: ``attention`` is an instance, which the blocks would share, or no callable.

    Examples:
        >>> import torch
        >>> from seattn.attention import CBAMBlock, SEBlock
        >>> from seattn.backbones import BasicBlock, ResNet
        >>> net = ResNet(BasicBlock, (1, 1, 1, 1), channels=(16, 32, 64, 128), stem="small",
        ...              attention=(None, SEBlock, SEBlock, CBAMBlock), in_chans=1, num_classes=2)
        >>> net(torch.randn(2, 1, 64, 64)).shape
        torch.Size([2, 2])
        >>> net.forward_features(torch.randn(2, 1, 64, 64)).shape
        torch.Size([2, 128, 8, 8])
    """

    _classifier = "fc"
    trunk = ("conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3", "layer4")

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
        attention: Attention | Sequence[Attention] = None,
        attention_position: str = "standard",
        channels: Sequence[int] = (64, 128, 256, 512),
        stem: str = "standard",
        stem_pool: str = "padded",
        stride_on: str = "conv2",
        output_stride: int = 32,
        cardinality: int = 1,
        base_width: int = 64,
        reduce_first: int = 1,
        shortcut_kernel_size: int = 1,
        spatial_dims: int = 2,
    ) -> None:
        arguments = dict(locals())
        super().__init__()
        self._arguments = {k: v for k, v in arguments.items() if k not in ("self", "__class__")}
        _check_stages("layers", layers)
        _check_stages("channels", channels)
        _check_choice("attention_position", attention_position, _POSITIONS)
        _check_choice("stem", stem, ("standard", "deep", "small"))
        _check_choice("stem_pool", stem_pool, ("padded", "ceil"))
        _check_choice("stride_on", stride_on, ("conv2", "conv1"))
        _check_choice("output_stride", output_stride, (32, 16, 8))
        _check_choice("spatial_dims", spatial_dims, (1, 2, 3))
        if in_chans < 1:
            raise ValueError(f"`in_chans` (={in_chans}) must be positive")
        small = stem == "small"
        if small and output_stride != 32:
            raise ValueError(
                f"`output_stride` (={output_stride}) counts a stem of stride 4, which "
                "`stem='small'` is not: leave it at 32"
            )
        bottleneck: dict[str, Any] = {
            "stride_on": stride_on,
            "cardinality": cardinality,
            "base_width": base_width,
            "reduce_first": reduce_first,
        }
        if not issubclass(block, Bottleneck):
            _check_basic(bottleneck)
            bottleneck = {}

        self.in_chans = in_chans
        self.num_classes = num_classes
        self.num_features = channels[-1] * block.expansion
        stem_channels = 2 * channels[0] if stem == "deep" else channels[0]

        # These names, down to `fc`, are the keys of torchvision's and timm's checkpoints.
        self.conv1 = make_stem(stem, in_chans, channels[0], spatial_dims)
        self.bn1 = batch_norm(stem_channels, spatial_dims=spatial_dims)
        self.act1 = nn.ReLU()
        pool = max_pool(ceil=stem_pool == "ceil", spatial_dims=spatial_dims)
        self.maxpool = nn.Identity() if small else pool
        strides, dilations = strides_and_dilations(output_stride)
        self.layer1, self.layer2, self.layer3, self.layer4 = make_stages(
            partial(
                block,
                attention_position=attention_position,
                zero_init_last=zero_init_last,
                shortcut_kernel_size=shortcut_kernel_size,
                spatial_dims=spatial_dims,
                **bottleneck,
            ),
            stem_channels,
            channels,
            block.expansion,
            layers=layers,
            strides=strides,
            dilations=dilations,
            attention=_per_stage(attention),
            drop_path_rate=drop_path_rate,
        )
        self.dropout = nn.Dropout(drop_rate)
        self.global_pool, self.fc = make_classifier(
            self.num_features, num_classes, global_pool, spatial_dims=spatial_dims
        )

        reduction = 1 if small else 2
        self.feature_info = [FeatureInfo(num_chs=stem_channels, reduction=reduction, module="act1")]
        reduction *= 1 if small else 2
        for stage, (width, stride) in enumerate(zip(channels, strides, strict=True), start=1):
            reduction *= stride
            self.feature_info.append(
                FeatureInfo(
                    num_chs=width * block.expansion, reduction=reduction, module=f"layer{stage}"
                )
            )

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last feature map, (N, num_features, H/32, W/32) or with the small stem H/8."""
        x = norm_act(self.conv1(x), self.bn1, self.act1)
        x = self.maxpool(x)
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        return self.layer4(x)

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Return the patterns by which timm groups parameters, by stage or by block."""
        blocks = r"^layer(\d+)" if coarse else r"^layer(\d+)\.(\d+)"
        return {"stem": r"^conv1|bn1|maxpool", "blocks": blocks}


def _per_stage(attention: Attention | Sequence[Attention]) -> Sequence[Attention]:
    """Return the attention of each of the four stages."""
    stages = attention if isinstance(attention, (tuple, list)) else (attention,) * 4
    if len(stages) != 4:
        raise ValueError(f"`attention` (={attention!r}) must be one, or four, one a stage")
    for attend in stages:
        if isinstance(attend, nn.Module) or not (attend is None or callable(attend)):
            raise TypeError(
                f"`attention` (={attend!r}) must be a class, a functools.partial of one, or "
                "None: every block builds its own for its number of channels"
            )
    return stages


def _check_stages(name: str, values: Sequence[int]) -> None:
    if len(values) != 4 or min(values) < 1:
        raise ValueError(f"`{name}` (={tuple(values)}) must be four positive numbers, one a stage")


def _check_choice(name: str, value: str | int, choices: tuple[str | int, ...]) -> None:
    if value not in choices:
        *most, last = map(repr, choices)
        raise ValueError(f"`{name}` (={value!r}) must be {', '.join(most)} or {last}")


def _check_basic(bottleneck: dict[str, Any]) -> None:
    """Refuse options that basic blocks do not have, so that none is silently without effect."""
    defaults = {"stride_on": "conv2", "cardinality": 1, "base_width": 64, "reduce_first": 1}
    for name, value in bottleneck.items():
        if value != defaults[name]:
            raise ValueError(
                f"`{name}` (={value!r}) is an option of bottlenecks; with `BasicBlock` leave it at "
                f"{defaults[name]!r}"
            )
