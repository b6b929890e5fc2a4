"""A stage of residual blocks: its checkpointing, its stochastic depth, what it says of itself."""

from typing import TypedDict

from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from seattn.attention import rank

__all__ = ["DropPath", "FeatureInfo", "Stage"]


class FeatureInfo(TypedDict):
    """A feature map that a network offers, in timm's words."""

    num_chs: int  # channels
    reduction: int  # stride with respect to the image
    module: str  # name of the module that returns it


class Stage(nn.Sequential):
    """Blocks in a row; with ``grad_checkpointing`` on, backward recomputes what is inside each.

    The stage is called as one module either way, so hooks on it fire.
    """

    grad_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the last block."""
        for block in self:
            x = checkpoint(block, x, use_reentrant=False) if self.grad_checkpointing else block(x)
        return x


class DropPath(nn.Module):
    """Stochastic depth: drops whole residuals in training (Huang et al. 2016, arXiv:1603.09382).

    Differs from the paper: the survivors are scaled by ``1 / (1 - rate)`` in training, where the
    paper scales by ``1 - rate`` in inference, and each image of a batch is drawn for itself.

    Args:
        rate: Probability of being dropped, in [0, 1].

    Raises:
        ValueError: ``rate`` is no probability.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate <= 1:
            raise ValueError(f"`drop_path_rate` (={rate}) must be a probability, from 0 to 1")
        self.rate = rate

    def forward(self, residual: Tensor) -> Tensor:
        """Return ``residual`` (N, C, *spatial), zero for the images that drop it."""
        if self.rate == 0 or not self.training:
            return residual
        survivors = F.dropout(residual.new_ones(residual.shape[0], 1), self.rate)
        return residual * rank.match_rank(survivors, residual)

    def extra_repr(self) -> str:
        """Show the rate."""
        return f"rate={self.rate:.3g}"
