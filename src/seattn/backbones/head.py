"""The head of a network: from the last feature map to logits."""

from torch import Tensor, nn

__all__ = ["GlobalPool", "make_classifier"]


class GlobalPool(nn.Module):
    """Reduces (N, C, *spatial) to (N, C).

    Args:
        kind: ``"avg"``, ``"max"``, ``"avgmax"`` (the mean of both), or ``""`` to leave the map.
        spatial_dims: Number of spatial dimensions.

    Raises:
        ValueError: Another ``kind``.
    """

    def __init__(self, kind: str, *, spatial_dims: int = 2) -> None:
        super().__init__()
        if kind not in ("avg", "max", "avgmax", ""):
            raise ValueError(f"`global_pool` (={kind!r}) must be 'avg', 'max', 'avgmax' or ''")
        self.kind = kind
        self.spatial_dims = spatial_dims

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features."""
        over_space = tuple(range(2, 2 + self.spatial_dims))
        if self.kind == "avg":
            return x.mean(over_space)
        if self.kind == "max":
            return x.amax(over_space)
        if self.kind == "avgmax":
            return 0.5 * (x.mean(over_space) + x.amax(over_space))
        return x

    def extra_repr(self) -> str:
        """Show the kind."""
        return f"kind={self.kind!r}"


def make_classifier(
    num_features: int, num_classes: int, global_pool: str, *, spatial_dims: int = 2
) -> tuple[GlobalPool, nn.Linear | nn.Identity]:
    """Return the pooling and the linear classifier, the identity for no classes.

    Args:
        num_features: Channels of the last feature map.
        num_classes: Number of logits; 0 for none.
        global_pool: As ``GlobalPool`` takes it.
        spatial_dims: Number of spatial dimensions of the map.

    Raises:
        ValueError: ``num_classes`` is negative, or logits are wanted of features not pooled.
    """
    if num_classes < 0:
        raise ValueError(f"`num_classes` (={num_classes}) must be 0 (no classifier) or positive")
    if num_classes > 0 and global_pool == "":
        raise ValueError(
            f"`num_classes` (={num_classes}) needs pooled features, and `global_pool` (='') leaves "
            "the map: choose 'avg', 'max' or 'avgmax', or `num_classes=0`"
        )
    pool = GlobalPool(global_pool, spatial_dims=spatial_dims)
    return pool, nn.Linear(num_features, num_classes) if num_classes else nn.Identity()
