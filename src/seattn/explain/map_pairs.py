"""What both sanity checks share: calling an attribution method, and comparing the maps it gives."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from seattn.explain.similarity import WINDOW, rank_correlation, structural_similarity

__all__ = [
    "Explain",
    "MapSimilarity",
    "call_explain",
    "compare",
    "mean_and_half_width",
    "stack",
    "table",
    "unrelated",
]

Explain: TypeAlias = Callable[[nn.Module, Tensor], Tensor]

# Arun et al. take 50 pairs.
_PAIRS = 50


@dataclass(frozen=True)
class MapSimilarity:
    """How alike the maps of each pair are; nan where a map is blank or not finite.

    Attributes:
        rank_correlation: Spearman's, one for each pair, (pairs,) or (draws, N).
        ssim: Structural similarity, each map scaled to 0..1; of the same shape.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import randomisation_test
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3))
        >>> edges = lambda model, x: x.diff(dim=-1).abs().squeeze(1)  # ignores the network
        >>> test = randomisation_test(model, edges, torch.rand(8, 1, 16, 16), seed=0)
        >>> test.whole.rank_correlation  # 3 draws of weights, 8 images
        tensor([[1., 1., 1., 1., 1., 1., 1., 1.],
                [1., 1., 1., 1., 1., 1., 1., 1.],
                [1., 1., 1., 1., 1., 1., 1., 1.]], dtype=torch.float64)
        >>> test.whole.defined
        1.0
    """

    rank_correlation: Tensor
    ssim: Tensor

    @property
    def defined(self) -> float:
        """The share of pairs that could be compared."""
        return (~self.rank_correlation.isnan()).double().mean().item()

    def to_dict(self) -> dict[str, object]:
        """The values as lists, and their means and spreads; nan becomes ``None``."""
        return {
            "rank_correlation": _plain(self.rank_correlation.tolist()),
            "ssim": _plain(self.ssim.tolist()),
            "mean_rank_correlation": _plain(self.rank_correlation.nanmean().item()),
            "mean_absolute_rank_correlation": _plain(self.rank_correlation.abs().nanmean().item()),
            "mean_ssim": _plain(self.ssim.nanmean().item()),
            "undefined": int(self.rank_correlation.isnan().sum()),
        }

    def cells(self) -> tuple[str, ...]:
        """The cells of a row of the table that ``table`` prints."""
        rho, ssim = self.rank_correlation, self.ssim
        undefined = int(rho.isnan().sum())
        return (
            f"{rho.nanmean():.2f} ± {_deviation(rho):.2f}",
            f"{rho.abs().nanmean():.2f}",
            f"{ssim.nanmean():.2f} ± {_deviation(ssim):.2f}",
            f"{undefined} of {rho.numel()}",
        )


def call_explain(explain: Explain, model: nn.Module, x: Tensor, *, seed: int) -> Tensor:
    """Return the maps, made from one random state, which is put back."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        maps = explain(model, x)
    if not isinstance(maps, Tensor):
        raise TypeError(
            f"`explain` returned {type(maps).__name__}; it must return a tensor (N, *spatial), and "
            "`torch.from_numpy` makes one of an array"
        )
    shape = tuple(maps.shape)
    if len(shape) < 2 or shape[0] != len(x):
        raise ValueError(
            f"`explain` returned {shape}; it must return one map for each of the {len(x)} images, "
            "a tensor (N, *spatial)"
        )
    if min(shape[1:]) < WINDOW:
        remedy = "interpolate them to the size of the images"
        if len(shape) == x.dim():
            remedy = "drop the channel by `squeeze(1)`"
        raise ValueError(
            f"`explain` returned maps of {shape[1:]}; they must be (N, *spatial) with sides of "
            f"{WINDOW} or more, the window of the structural similarity: {remedy}"
        )
    return maps.detach()


def compare(a: Tensor, b: Tensor) -> MapSimilarity:
    """Return how alike the maps of each case are, on the CPU."""
    return MapSimilarity(rank_correlation(a, b).cpu(), structural_similarity(a, b).cpu())


def stack(several: Sequence[MapSimilarity]) -> MapSimilarity:
    """Return several comparisons as one, with a leading dimension."""
    return MapSimilarity(
        torch.stack([one.rank_correlation for one in several]),
        torch.stack([one.ssim for one in several]),
    )


def unrelated(maps: Tensor, *, seed: int) -> MapSimilarity:
    """Compare the maps of different images: all pairs, or 50 drawn from them."""
    if len(maps) < 2:
        raise ValueError(
            f"`x` holds {len(maps)} image; unrelated maps need at least 2, and 20 are better"
        )
    first, second = torch.triu_indices(len(maps), len(maps), 1)
    drawn = torch.randperm(len(first), generator=torch.Generator().manual_seed(seed))[:_PAIRS]
    first, second = (which[drawn].to(maps.device) for which in (first, second))
    return compare(maps[first], maps[second])


def table(rows: dict[str, MapSimilarity]) -> str:
    """Return the rows as text in columns."""
    head = ("", "rank corr.", "|rank corr.|", "SSIM", "undefined")
    lines = [head, *((name, *row.cells()) for name, row in rows.items())]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([*text, "mean ± standard deviation over the pairs of maps"])


def mean_and_half_width(values: Tensor) -> tuple[float, float]:
    """Return the mean of what is not nan, and half its normal 95 % interval; nan for one value."""
    values = values[~values.isnan()]
    if len(values) < 2:
        return values.mean().item(), math.nan
    return values.mean().item(), 1.96 * values.std().item() / math.sqrt(len(values))


def _deviation(values: Tensor) -> float:
    defined = values[~values.isnan()]
    return defined.std(correction=0).item() if defined.numel() else math.nan


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
