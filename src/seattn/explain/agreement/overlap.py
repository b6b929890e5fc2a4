"""How much the marked part of a map and the mask overlap: IoU and Dice at a stated threshold."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seattn.explain.agreement.arguments import flat_pair

__all__ = [
    "FittedThreshold",
    "Threshold",
    "describe_threshold",
    "dice",
    "fit_threshold",
    "iou",
    "marked",
    "strongest",
]


@dataclass(frozen=True)
class FittedThreshold:
    """A threshold with its origin: ``fit_threshold`` makes it.

    Args:
        value: A share of each map's maximum.
        measure: What it maximises.
        score: The mean of that measure at this threshold, on the cases it was fitted on.
        n: Cases it was fitted on; those without annotation are not counted.
        source: Which cases these were, in words.
        patients: Their identifiers, so that a report refuses to test on the same patients.

    Examples:
        >>> import torch
        >>> from seattn.explain import fit_threshold, iou
        >>> cam = torch.tensor([[[0.0, 4.0], [3.0, 1.0]]])
        >>> mask = torch.tensor([[[0, 1], [1, 0]]])
        >>> threshold = fit_threshold(cam, mask, source="validation")
        >>> threshold
        FittedThreshold(value=0.3, measure='dice', score=1.0, n=1, source='validation')
        >>> iou(cam, mask, threshold=threshold)
        tensor([1.], dtype=torch.float64)
    """

    value: float
    measure: str
    score: float
    n: int
    source: str
    patients: frozenset[object] = field(default=frozenset(), repr=False)


_CANDIDATES = tuple(i / 20 for i in range(1, 20))

Threshold: TypeAlias = float | Literal["area"] | FittedThreshold


def iou(cam: Tensor, mask: Tensor, *, threshold: Threshold = "area") -> Tensor:
    """Return, for each case, the intersection over union of the mask and the marked map.

    Args:
        cam: The maps, finite and not negative.
        mask: The annotated regions, bool or 0 and 1.
        threshold: What is marked. ``"area"``: as many pixels as the mask has, the strongest. A
            number in (0, 1]: the pixels from this share of each map's maximum on. A
            ``FittedThreshold``: the same with its value. Pixels where the map is 0 are never
            marked. With ``"area"``, equal pixels that compete for the last places count by the
            fraction of them that has a place.

    Shape:
        - cam, mask: ``(N, *spatial)``, any number of spatial dimensions; a single image is
          ``cam[None], mask[None]``.
        - output: (N,).

    Returns:
        A float64 tensor in 0..1; 0 for a blank map, nan where the mask is empty. With
        ``"area"``, and enough pixels above 0, it is d / (2 - d) for the Dice d.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: The shapes differ, ``cam`` is negative or not finite, ``mask`` is not binary,
            or ``threshold`` is out of range.

    Examples:
        >>> import torch
        >>> from seattn.explain import iou
        >>> cam = torch.tensor([[[0.0, 3.0], [2.0, 1.0]]])
        >>> iou(cam, torch.tensor([[[0, 1], [0, 1]]]), threshold=0.5)
        tensor([0.3333], dtype=torch.float64)
    """
    values, inside = flat_pair(cam, mask)
    marks = marked(values, inside, threshold)
    shared, both = (marks * inside).sum(1), marks.sum(1) + inside.sum(1)
    return (shared / (both - shared)).masked_fill(~inside.any(1), math.nan)


def dice(cam: Tensor, mask: Tensor, *, threshold: Threshold = "area") -> Tensor:
    """Return, for each case, the Dice coefficient of the mask and the marked map.

    Twice the intersection over the sum of the two areas. With ``threshold="area"``, and enough
    pixels above 0, it is the share of the marked pixels that lies in the mask (known as relevance
    rank accuracy).

    Args:
        cam: The maps, finite and not negative.
        mask: The annotated regions, bool or 0 and 1.
        threshold: As in ``iou``.

    Shape:
        - cam, mask: ``(N, *spatial)``, any number of spatial dimensions; a single image is
          ``cam[None], mask[None]``.
        - output: (N,).

    Returns:
        A float64 tensor in 0..1; 0 for a blank map, nan where the mask is empty.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: As in ``iou``.

    References:
        Arras, Osman, Samek, "CLEVR-XAI: A benchmark dataset for the ground truth evaluation of
        neural network explanations", Information Fusion 81, 2022: relevance rank accuracy.

    Examples:
        >>> import torch
        >>> from seattn.explain import dice
        >>> cam = torch.tensor([[[0.0, 3.0], [2.0, 1.0]]])
        >>> dice(cam, torch.tensor([[[0, 1], [0, 1]]]), threshold=0.5)
        tensor([0.5000], dtype=torch.float64)
    """
    values, inside = flat_pair(cam, mask)
    marks = marked(values, inside, threshold)
    score = 2 * (marks * inside).sum(1) / (marks.sum(1) + inside.sum(1))
    return score.masked_fill(~inside.any(1), math.nan)


def fit_threshold(
    cam: Tensor,
    mask: Tensor,
    *,
    measure: Callable[..., Tensor] = dice,
    candidates: Iterable[float] = _CANDIDATES,
    patients: npt.ArrayLike | None = None,
    source: str = "validation",
) -> FittedThreshold:
    """Return the share of the maximum at which maps and masks agree best, on validation cases.

    Args:
        cam: The maps, ``(N, *spatial)``, of validation cases, never of those to be tested.
        mask: Their annotated regions, of the same shape.
        measure: ``iou`` or ``dice``; its mean over the cases is maximised, of several equal
            candidates the first wins.
        candidates: Shares of the maximum to try, each in (0, 1]. 0.05, 0.10 .. 0.95 by default.
        patients: (N,) identifiers; ``localisation_report`` then refuses these patients.
        source: Where the cases are from, for the report.

    Returns:
        The threshold, to be given to ``iou``, ``dice`` and ``localisation_report``.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: No case has an annotated region, a candidate is out of range or there is none,
            or ``patients`` is not one for each case.

    References:
        Saporta et al., "Benchmarking saliency methods for chest X-ray interpretation", Nature
        Machine Intelligence 4, 2022, tune thresholds on validation images.

    Examples:
        >>> import torch
        >>> from seattn.explain import fit_threshold
        >>> cam = torch.tensor([[[0.0, 4.0], [3.0, 1.0]]])
        >>> fit_threshold(cam, torch.tensor([[[0, 1], [1, 0]]])).value
        0.3
    """
    shares = tuple(float(share) for share in candidates)
    if not shares:
        raise ValueError("`candidates` holds no threshold; give shares of the maximum, in (0, 1]")
    people = [] if patients is None else np.asarray(patients).tolist()
    if patients is not None and len(people) != len(cam):
        raise ValueError(
            f"`patients` has {len(people)} entries for {len(cam)} cases; give each one"
        )
    scores = torch.stack([measure(cam, mask, threshold=share) for share in shares])  # (T, N)
    annotated = ~scores[0].isnan()
    if not annotated.any():
        raise ValueError("`mask` marks no pixel in any case; a threshold needs annotated cases")
    means = scores[:, annotated].mean(1)
    best = int(means.argmax())
    name = getattr(measure, "__name__", repr(measure))
    n = int(annotated.sum())
    return FittedThreshold(shares[best], name, float(means[best]), n, source, frozenset(people))


def marked(values: Tensor, inside: Tensor, threshold: Threshold) -> Tensor:
    """How much of each pixel is marked, 0..1, (N, pixels); fractions are tied pixels."""
    if threshold == "area":
        return strongest(values, inside.sum(1))
    share: object = threshold.value if isinstance(threshold, FittedThreshold) else threshold
    if not (isinstance(share, int | float) and 0 < share <= 1):
        raise ValueError(
            f"`threshold` (={share!r}) must be a share of the map's maximum in (0, 1], a "
            'FittedThreshold, or "area"'
        )
    return ((values >= share * values.amax(1, keepdim=True)) & (values > 0)).double()


def strongest(values: Tensor, counts: Tensor) -> Tensor:
    """Mark the ``counts`` strongest pixels, (N,), those tied for the last places by fraction.

    Pixels at 0 are not marked: a map with fewer above 0 marks fewer.
    """
    cut = values.new_empty(len(values), 1)  # the smallest value that still has a place
    for case, count in enumerate(counts.clamp(min=1).tolist()):
        cut[case] = values[case].kthvalue(values.shape[1] + 1 - count).values
    above, tied = values > cut, values == cut
    places = (counts - above.sum(1)).clamp(min=0).double()
    marks = above + tied * (places / tied.sum(1)).unsqueeze(1)
    return marks * (values > 0)


def describe_threshold(threshold: Threshold) -> str:
    """What is marked, in words."""
    if threshold == "area":
        return "the strongest pixels, as many as the mask has"
    if isinstance(threshold, FittedThreshold):
        fitted = f"fitted to {threshold.measure} on {threshold.n} cases ({threshold.source})"
        return f"pixels from {threshold.value:g} of the maximum, {fitted}"
    return f"pixels from {threshold:g} of the maximum"
