"""Agreement of two readings of the same cases beyond chance."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from seattn.metrics.counts import confusion_matrix

__all__ = ["kappa"]


def kappa(
    *,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    weights: Literal["linear", "quadratic"] | None = None,
) -> float:
    """Cohen's kappa: (p_o - p_e) / (1 - p_e), agreement observed and agreement by chance.

    Cohen, "A coefficient of agreement for nominal scales", Educ Psychol Meas 20:37, 1960; with
    ``weights`` the form for ordered classes, Psychol Bull 70:213, 1968. Chance keeps the shares of
    the classes in both readings.

    Args:
        y_true: Labels 0 .. K - 1, or one reader's.
        y_pred: Predicted labels 0 .. K - 1, or the other reader's.
        weights: ``None`` counts every disagreement alike, ``"linear"`` by the distance of the two
            labels, ``"quadratic"`` by its square.

    Shape:
        Both (N,).

    Returns:
        A number up to 1; nan when both hold one and the same class only, since chance agrees too.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not a label, or their lengths differ, or if
            ``weights`` is another word.

    Examples:
        >>> from seattn.metrics import kappa
        >>> kappa(y_true=[1, 1, 0, 0], y_pred=[1, 0, 0, 0])
        0.5
        >>> kappa(y_true=[0, 1, 2, 2], y_pred=[0, 1, 1, 2], weights="quadratic")
        0.8
    """
    if weights not in (None, "linear", "quadratic"):
        raise ValueError(f"`weights` (={weights!r}) must be 'linear', 'quadratic' or None.")
    observed = confusion_matrix(y_true=y_true, y_pred=y_pred)
    classes = np.arange(len(observed))
    distance = np.abs(classes[:, None] - classes)
    cost = {None: distance > 0, "linear": distance, "quadratic": distance**2}[weights]
    # In float64: the products of counts pass 2**63 at a billion cases.
    by_chance = np.outer(observed.sum(axis=1).astype(np.float64), observed.sum(axis=0))
    disagreement = float((cost * by_chance).sum())
    disagreed = float((cost * observed).sum()) * int(observed.sum())
    return 1 - disagreed / disagreement if disagreement else float("nan")
