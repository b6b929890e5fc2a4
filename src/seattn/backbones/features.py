"""The trunk of a network alone, for segmentation and detection: images to a list of maps."""

from collections.abc import Sequence

from torch import Tensor, nn

from seattn.backbones.backbone import Backbone, feature_indices
from seattn.backbones.stage import FeatureInfo, Stage

__all__ = ["FeatureMaps", "FeatureNet"]


class FeatureMaps:
    """What a ``FeatureNet`` returns, in timm's words; as a sequence, all that its network offers.

    Args:
        feature_info: The maps that the network offers.
        out_indices: Those that are returned.

    Examples:
        >>> from seattn.backbones import FeatureNet, resnet18
        >>> maps = FeatureNet(resnet18(), out_indices=(2, 4)).feature_info
        >>> maps.channels(), maps.reduction(), maps.module_name()
        ([128, 512], [8, 32], ['layer2', 'layer4'])
        >>> len(maps)  # that the network offers
        5
    """

    def __init__(self, feature_info: Sequence[FeatureInfo], out_indices: Sequence[int]) -> None:
        self.info = tuple(feature_info)
        self.out_indices = tuple(out_indices)

    def channels(self) -> list[int]:
        """Return the number of channels of every map."""
        return [self.info[i]["num_chs"] for i in self.out_indices]

    def reduction(self) -> list[int]:
        """Return the stride of every map with respect to the image."""
        return [self.info[i]["reduction"] for i in self.out_indices]

    def module_name(self) -> list[str]:
        """Return the name of the module that makes every map."""
        return [self.info[i]["module"] for i in self.out_indices]

    def __len__(self) -> int:
        """Return how many maps the network offers."""
        return len(self.info)

    def __getitem__(self, index: int) -> FeatureInfo:
        """Return one of the maps that the network offers."""
        return self.info[index]


class FeatureNet(nn.Module):
    """The trunk of a network up to the last wanted map, without what comes after.

    It takes the modules of the network, under the same names, so that its state dict is a part of
    the network's; the network is not usable afterwards.

    Args:
        network: What to take the trunk of.
        out_indices: Which entries of ``network.feature_info`` to return, negative ones counting
            from the end; all of them where None.

    Shape:
        - Input: ``(N, in_chans, *spatial)``.
        - Output: list of maps from fine to coarse, as ``feature_info`` describes them.

    Raises:
        ValueError: An index is out of range.

    Examples:
        >>> import torch
        >>> from seattn.backbones import FeatureNet, se_resnet18
        >>> encoder = FeatureNet(se_resnet18(in_chans=1), out_indices=(1, 2, 3, 4))
        >>> [tuple(map.shape) for map in encoder(torch.randn(2, 1, 64, 64))]
        [(2, 64, 16, 16), (2, 128, 8, 8), (2, 256, 4, 4), (2, 512, 2, 2)]
        >>> encoder.feature_info.channels()
        [64, 128, 256, 512]
    """

    def __init__(self, network: Backbone, *, out_indices: Sequence[int] | None = None) -> None:
        super().__init__()
        indices = feature_indices(network.feature_info, out_indices)
        self.feature_info = FeatureMaps(network.feature_info, indices)
        self.pretrained_cfg = network.pretrained_cfg
        self.trunk = network.trunk[: network.trunk.index(self.feature_info.module_name()[-1]) + 1]
        for name, child in network.named_children():
            inside = [step for step in self.trunk if step.split(".")[0] == name]
            if inside == [name]:
                self.add_module(name, child)
            elif isinstance(child, nn.Sequential) and inside:
                self.add_module(name, child[: len(inside)])
        self.train(network.training)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the feature maps of images."""
        wanted = self.feature_info.module_name()
        maps = []
        for name in self.trunk:
            x = self.get_submodule(name)(x)
            if name in wanted:
                maps.append(x)
        return maps

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """As ``Backbone.set_grad_checkpointing``."""
        for stage in self.modules():
            if isinstance(stage, Stage):
                stage.grad_checkpointing = enable
