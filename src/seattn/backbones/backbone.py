"""What the networks have in common: timm's protocol around a trunk of modules run in a row."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from seattn.backbones.head import GlobalPool, make_classifier
from seattn.backbones.stage import FeatureInfo, Stage

__all__ = ["Backbone", "feature_indices"]


class Backbone(nn.Module, ABC):
    """A trunk, from images to the last feature map, and a head, from there to logits.

    Attributes:
        in_chans: Channels of the image.
        num_classes: Number of logits; 0 without classifier.
        num_features: Channels of the last feature map.
        feature_info: The feature maps that the network offers, from fine to coarse.
        trunk: Names of the modules that make the last feature map, in the order they run in.
        pretrained_cfg: Where the weights come from; None for random ones.

    Shape:
        - Input: ``(N, in_chans, *spatial)``.
        - Output: (N, num_classes), or what the pooling leaves without classifier.

    Examples:
        >>> import torch
        >>> from seattn.backbones import Backbone, resnet18
        >>> network = resnet18(in_chans=1, num_classes=2).eval()
        >>> isinstance(network, Backbone), network.num_features, network.trunk[-1]
        (True, 512, 'layer4')
        >>> [(each["num_chs"], each["reduction"]) for each in network.feature_info]
        [(64, 2), (64, 4), (128, 8), (256, 16), (512, 32)]
        >>> network.reset_classifier(5)
        >>> network(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 5])
    """

    _classifier: ClassVar[str]  # name of the last layer, as timm's checkpoints have it

    in_chans: int
    num_classes: int
    num_features: int
    feature_info: list[FeatureInfo]
    trunk: tuple[str, ...]
    pretrained_cfg: Any = None
    global_pool: GlobalPool
    dropout: nn.Dropout
    _arguments: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """The arguments that build this network, its present classifier's among them."""
        kind = self.global_pool.kind
        return self._arguments | {"num_classes": self.num_classes, "global_pool": kind}

    @abstractmethod
    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last feature map."""

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits of a feature map; with ``pre_logits`` what the classifier is given."""
        x = self.dropout(self.global_pool(x))
        return x if pre_logits else self.get_classifier()(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images ``(N, in_chans, *spatial)``."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return feature maps from inside the trunk, with timm's arguments.

        Args:
            x: Images ``(N, in_chans, *spatial)``.
            indices: Which entries of ``feature_info``: the last so many, those of a sequence, where
                negative ones count from the end, or all of them.
            norm: Without effect: no normalisation follows the trunk of these networks.
            stop_early: Run no module after the last wanted one; the final map is then the last
                one that was computed.
            output_fmt: ``"NCHW"``, the only one there is.
            intermediates_only: Return the maps without the final one.

        Returns:
            The final map and a list of the wanted ones from fine to coarse, or that list only.

        Raises:
            ValueError: An index is out of range, or ``output_fmt`` another one.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"`output_fmt` (={output_fmt!r}) must be 'NCHW'")
        wanted = [
            self.feature_info[i]["module"] for i in feature_indices(self.feature_info, indices)
        ]
        steps = self.trunk[: self.trunk.index(wanted[-1]) + 1] if stop_early else self.trunk
        maps = []
        for name in steps:
            x = self.get_submodule(name)(x)
            if name in wanted:
                maps.append(x)
        return maps if intermediates_only else (x, maps)

    def get_classifier(self) -> nn.Module:
        """Return the last layer, a linear one, or the identity without classes."""
        return self.get_submodule(self._classifier)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer by a new one, of the same dtype, on the same device.

        Args:
            num_classes: Number of logits; 0 leaves the pooled features.
            global_pool: As in the constructor; None keeps the pooling.

        Raises:
            ValueError: As in the constructor.
        """
        old = self.global_pool
        pool, classifier = make_classifier(
            self.num_features,
            num_classes,
            old.kind if global_pool is None else global_pool,
            spatial_dims=old.spatial_dims,
        )
        self.num_classes = num_classes
        self.global_pool = pool.train(self.training)
        like = next(self.parameters())
        setattr(self, self._classifier, classifier.to(like).train(self.training))

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep in training only what enters each block, and recompute the rest in backward.

        The recomputation shows BatchNorm every batch a second time, so its running statistics
        follow the batches faster; the gradients are the same.
        """
        for stage in self.modules():
            if isinstance(stage, Stage):
                stage.grad_checkpointing = enable


def feature_indices(
    feature_info: Sequence[FeatureInfo], indices: int | Sequence[int] | None
) -> list[int]:
    """Return the wanted positions in ``feature_info``, in rising order.

    Args:
        feature_info: The maps that a network offers.
        indices: The last so many, or a sequence of positions, or None for all.

    Raises:
        ValueError: There is no such position, or none is wanted.
    """
    count = len(feature_info)
    if indices is None:
        return list(range(count))
    wanted = range(-indices, 0) if isinstance(indices, int) else indices
    positions = sorted({i + count if i < 0 else i for i in wanted})
    if not positions or positions[0] < 0 or positions[-1] >= count:
        raise ValueError(
            f"`indices` (={indices}) must choose among the {count} feature maps, 0 to {count - 1}"
        )
    return positions
