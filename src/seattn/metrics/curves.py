"""ROC and precision-recall curves: one point for every distinct score, none left out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seattn.metrics.inputs import Scores, binary_scores
from seattn.metrics.ranking import cumulative_counts

__all__ = ["PrecisionRecallCurve", "RocCurve", "partial_roc_auc", "pr_curve", "roc_curve"]


@dataclass(frozen=True, eq=False)
class RocCurve:
    """The rates at every threshold, from the strictest; float64 arrays of shape (T + 1,).

    Args:
        fpr: Share of the negatives with ``score >= threshold``; nan without negatives.
        tpr: Share of the positives with ``score >= threshold``; nan without positives.
        thresholds: Infinity, at which nothing is positive, then the T distinct scores, falling.

    Examples:
        >>> from seattn.metrics import roc_curve
        >>> curve = roc_curve(y_true=[0, 0, 1, 1], y_score=[0.1, 0.4, 0.35, 0.8])
        >>> for fpr, tpr, threshold in zip(curve.fpr, curve.tpr, curve.thresholds):
        ...     print(f"sensitivity {tpr:.1f}, specificity {1 - fpr:.1f} at {threshold}")
        sensitivity 0.0, specificity 1.0 at inf
        sensitivity 0.5, specificity 1.0 at 0.8
        sensitivity 0.5, specificity 0.5 at 0.4
        sensitivity 1.0, specificity 0.5 at 0.35
        sensitivity 1.0, specificity 0.0 at 0.1
    """

    fpr: Scores
    tpr: Scores
    thresholds: Scores


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall at every threshold, from the most lenient; float64 arrays.

    Args:
        precision: (T + 1,) share of the cases with ``score >= threshold`` that are positive; a
            last 1, which has no threshold, begins the plot at recall 0 by convention.
        recall: (T + 1,) share of the positives among those cases, and a last 0; nan without
            positives.
        thresholds: (T,) distinct scores, rising.

    Examples:
        >>> from seattn.metrics import pr_curve
        >>> curve = pr_curve(y_true=[0, 0, 1, 1], y_score=[0.1, 0.4, 0.35, 0.8])
        >>> for ppv, recall, threshold in zip(curve.precision, curve.recall, curve.thresholds):
        ...     print(f"recall {recall:.1f}, precision {ppv:.2f} at {threshold}")
        recall 1.0, precision 0.50 at 0.1
        recall 1.0, precision 0.67 at 0.35
        recall 0.5, precision 0.50 at 0.4
        recall 0.5, precision 1.00 at 0.8
    """

    precision: Scores
    recall: Scores
    thresholds: Scores


def roc_curve(*, y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> RocCurve:
    """The true and false positive rates at every distinct score.

    The arrays of scikit-learn's ``roc_curve(..., drop_intermediate=False)``.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Any finite scores, higher for the positive class.

    Shape:
        Both (N,).

    Returns:
        The curve from (0, 0) to (1, 1).

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: If either is empty, not finite, of another shape or length, or a label is not
            0 or 1.

    Examples:
        >>> from seattn.metrics import roc_curve
        >>> curve = roc_curve(y_true=[0, 0, 1, 1], y_score=[0.1, 0.4, 0.4, 0.8])
        >>> curve.fpr.tolist(), curve.tpr.tolist()
        ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
        >>> curve.thresholds.tolist()
        [inf, 0.8, 0.4, 0.1]
    """
    tp, fp, thresholds = cumulative_counts(*binary_scores(y_true, y_score))
    return RocCurve(
        fpr=_share(fp, fp[-1]), tpr=_share(tp, tp[-1]), thresholds=np.append(np.inf, thresholds)
    )


def pr_curve(*, y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> PrecisionRecallCurve:
    """The precision and the recall at every distinct score.

    The arrays of scikit-learn's ``precision_recall_curve``. The area under it is
    ``average_precision``, a sum of steps: do not join the points by lines.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Any finite scores, higher for the positive class.

    Shape:
        Both (N,).

    Returns:
        The curve, from the lowest threshold.

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: If either is empty, not finite, of another shape or length, or a label is not
            0 or 1.

    Examples:
        >>> from seattn.metrics import pr_curve
        >>> curve = pr_curve(y_true=[0, 0, 1, 1], y_score=[0.1, 0.4, 0.4, 0.8])
        >>> curve.precision.round(3).tolist(), curve.recall.tolist()
        ([0.5, 0.667, 1.0, 1.0], [1.0, 1.0, 0.5, 0.0])
    """
    tp, fp, thresholds = cumulative_counts(*binary_scores(y_true, y_score))
    return PrecisionRecallCurve(
        precision=np.append((tp[1:] / (tp[1:] + fp[1:]))[::-1], 1.0),
        recall=_share(tp, tp[-1])[::-1],
        thresholds=thresholds[::-1],
    )


def partial_roc_auc(*, y_true: npt.ArrayLike, y_score: npt.ArrayLike, max_fpr: float) -> float:
    """The area under the ROC curve up to a false positive rate, from 0.5 (chance) to 1 (perfect).

    The area itself lies between ``max_fpr**2 / 2`` and ``max_fpr``, and is mapped to 0.5 and 1:
    McClish, "Analyzing a portion of the ROC curve", Med Decis Making 9:190, 1989. The curve is
    interpolated at ``max_fpr``, as in scikit-learn's ``roc_auc_score(max_fpr=)``.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Any finite scores, higher for the positive class.
        max_fpr: The largest false positive rate that matters, above 0 and up to 1.

    Shape:
        Both (N,).

    Returns:
        A number up to 1, below 0.5 for a score worse than chance; nan without positives or without
        negatives.

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: If either is empty, not finite, of another shape or length, a label is not 0 or
            1, or ``max_fpr`` is out of its range.

    Examples:
        >>> from seattn.metrics import partial_roc_auc
        >>> partial_roc_auc(y_true=[0, 0, 1, 1], y_score=[0.1, 0.4, 0.35, 0.8], max_fpr=0.5)
        0.6666666666666666
    """
    if not 0 < max_fpr <= 1:
        raise ValueError(f"`max_fpr` (={max_fpr}) must be above 0 and up to 1, for example 0.1.")
    curve = roc_curve(y_true=y_true, y_score=y_score)
    inside = ~(curve.fpr > max_fpr)  # keeps nan
    fpr = np.append(curve.fpr[inside], max_fpr)
    tpr = np.append(curve.tpr[inside], np.interp(max_fpr, curve.fpr, curve.tpr))
    area = float((fpr[1:] - fpr[:-1]) @ (tpr[1:] + tpr[:-1])) / 2
    least = max_fpr**2 / 2
    return (1 + (area - least) / (max_fpr - least)) / 2


def _share(counted: npt.NDArray[np.int64], total: np.int64) -> Scores:
    return counted / total if total else np.full(counted.shape, np.nan)
