"""How well the values of a map rank the pixels of the mask above the others."""

import torch
from torch import Tensor

from seattn import metrics
from seattn.explain.agreement.arguments import flat_pair

__all__ = ["pixel_average_precision"]


def pixel_average_precision(cam: Tensor, mask: Tensor) -> Tensor:
    """Return, for each case, the average precision of the map's values as scores of the pixels.

    ``seattn.metrics.average_precision`` over the pixels of one case. No threshold is needed, and
    any increasing change of the values leaves it alone.

    Args:
        cam: The maps, finite and not negative.
        mask: The annotated regions, bool or 0 and 1.

    Shape:
        - cam, mask: ``(N, *spatial)``, any number of spatial dimensions; a single image is
          ``cam[None], mask[None]``.
        - output: (N,).

    Returns:
        A float64 tensor in 0..1; nan where the mask is empty. A constant map, a blank one too,
        scores the share of the pixels that the mask covers.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: The shapes differ, ``cam`` is negative or not finite, or ``mask`` is not binary.

    Examples:
        >>> import torch
        >>> from seattn.explain import pixel_average_precision
        >>> cam = torch.tensor([[[0.9, 0.8], [0.7, 0.1]]])
        >>> pixel_average_precision(cam, torch.tensor([[[1, 0], [1, 0]]]))
        tensor([0.8333], dtype=torch.float64)
    """
    values, inside = flat_pair(cam, mask)
    scores = [
        metrics.average_precision(y_true=truth, y_score=score)
        for truth, score in zip(inside, values, strict=True)
    ]
    return torch.tensor(scores, dtype=torch.float64, device=cam.device)
