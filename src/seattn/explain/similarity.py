"""How alike two heat maps are: Spearman's rank correlation, and structural similarity."""

import math

import torch
from torch import Tensor

from seattn.explain.arguments import check_tensor

__all__ = ["WINDOW", "rank_correlation", "structural_similarity"]

# The window and the constants of Wang et al.
_RADIUS, _SIGMA, _K1, _K2 = 5, 1.5, 0.01, 0.03
WINDOW = 2 * _RADIUS + 1


def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return Spearman's rank correlation of the values of two maps, for each case.

    Equal values share the mean of their ranks. Every pixel counts alike, so the background decides
    where it is most of the image; ``structural_similarity`` sees the strong regions.

    Args:
        a: Maps, of any sign and scale.
        b: The maps to compare them with.

    Shape:
        - a, b: ``(N, *spatial)``, any number of spatial dimensions.
        - output: (N,).

    Returns:
        A float64 tensor in -1..1; nan where a map is constant (blank) or not finite.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: The shapes differ.

    Examples:
        >>> import torch
        >>> from seattn.explain import rank_correlation
        >>> a = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 5.0, 5.0, 5.0]])
        >>> rank_correlation(a, a.square())
        tensor([1., nan], dtype=torch.float64)
    """
    _check(a, b)
    first, second = (_ranks(maps.flatten(1).double()) for maps in (a, b))
    covariance = (first * second).mean(1)
    correlation = covariance / (first.square().mean(1) * second.square().mean(1)).sqrt()
    finite = a.flatten(1).isfinite().all(1) & b.flatten(1).isfinite().all(1)
    # The ranks of a blank map are all 0, and 0 / 0 is nan.
    return torch.where(finite, correlation.clamp(-1, 1), math.nan)


def structural_similarity(a: Tensor, b: Tensor, *, data_range: float | None = None) -> Tensor:
    """Return the mean structural similarity (SSIM) of two maps, for each case.

    The index compares mean, contrast and structure in a Gaussian window of 11 pixels with standard
    deviation 1.5, with K1 = 0.01 and K2 = 0.03, and is averaged over all places where the window
    lies inside the map. In 1D and 3D the window is a line or a cube.

    Args:
        a: Maps.
        b: The maps to compare them with.
        data_range: Largest minus smallest possible value of both. By default each map is scaled to
            0..1 by its own minimum and maximum first, since maps of two networks have no common
            unit.

    Shape:
        - a, b: ``(N, *spatial)``, any number of spatial dimensions, each at least 11.
        - output: (N,).

    Returns:
        A float64 tensor, 1 for equal maps; nan where a map is not finite, and without
        ``data_range`` where one is constant (blank).

    Raises:
        TypeError: An argument is no tensor.
        ValueError: The shapes differ, a map is smaller than the window, or ``data_range`` is not
            above 0.

    References:
        Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to
        Structural Similarity", IEEE Transactions on Image Processing 13:600, 2004.

    Examples:
        >>> import torch
        >>> from seattn.explain import structural_similarity
        >>> a = torch.rand(2, 16, 16)
        >>> structural_similarity(a, 3 * a + 1)
        tensor([1.0000, 1.0000], dtype=torch.float64)
    """
    _check(a, b)
    if min(a.shape[1:]) < WINDOW:
        raise ValueError(
            f"`a` (shape {tuple(a.shape)}) is smaller than the window of {WINDOW} pixels; "
            "interpolate the maps to the size of the image"
        )
    if data_range is not None and not data_range > 0:
        raise ValueError(f"`data_range` (={data_range}) must be above 0")
    x, y = a.double(), b.double()
    if data_range is None:
        x, y, data_range = _scaled(x), _scaled(y), 1.0
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x = _windowed(x * x) - mean_x * mean_x
    variance_y = _windowed(y * y) - mean_y * mean_y
    covariance = _windowed(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    denominator = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return (numerator / denominator).flatten(1).mean(1)


def _check(a: Tensor, b: Tensor) -> None:
    check_tensor("a", a)
    check_tensor("b", b)
    if a.shape != b.shape or a.dim() < 2:
        raise ValueError(
            f"`a` (shape {tuple(a.shape)}) and `b` (shape {tuple(b.shape)}) must have one shape, "
            "(N, *spatial)"
        )


def _ranks(flat: Tensor) -> Tensor:
    """Return the ranks of each row less their mean; ties share the mean of their ranks."""
    ordered = flat.sort(1).values
    below = torch.searchsorted(ordered, flat)
    not_above = torch.searchsorted(ordered, flat, right=True)
    return (below + not_above - flat.shape[1]).double() / 2


def _scaled(maps: Tensor) -> Tensor:
    spatial = tuple(range(1, maps.dim()))
    low, high = maps.amin(spatial, keepdim=True), maps.amax(spatial, keepdim=True)
    return (maps - low) / (high - low)  # 0 / 0 is nan: a blank map has no structure


def _windowed(maps: Tensor) -> Tensor:
    """Return the Gaussian means over the windows that lie inside the maps."""
    offsets = torch.arange(-_RADIUS, _RADIUS + 1, device=maps.device, dtype=maps.dtype)
    weights = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    weights = weights / weights.sum()
    for dim in range(1, maps.dim()):
        maps = maps.unfold(dim, len(weights), 1) @ weights
    return maps
