"""The fits of ``calibration.py``: log losses in one and in two parameters, both convex."""

import math

import numpy as np

from seattn.metrics.inputs import Flags, Labels, Scores

__all__ = ["inverse_temperature", "platt", "sigmoid", "softmax"]

_MAX_STEPS = 200  # either fit takes about ten


def inverse_temperature(labels: Labels, logits: Scores) -> float:
    """The a above 0 with the smallest mean of -log softmax(a * logits)[label].

    Args:
        labels: (N,) labels, of two classes or more.
        logits: (N, K), or (N,) of class 1 against logits 0 of class 0.

    Returns:
        1 / T, where the derivative of the loss is 0 up to rounding.
    """
    rows = np.column_stack([np.zeros_like(logits), logits]) if logits.ndim == 1 else logits
    above = rows - np.take_along_axis(rows, labels[:, None], axis=1)  # the label's logit
    scale = np.abs(above).max()
    # The loss is the mean of log(sum(exp(a * above))). At 0 it falls, and for large a it rises if
    # any logit is above the label's: then its minimum is between.
    if above.mean() >= 0:
        raise ValueError(
            "`y_score` ranks the labels of `y_true` no better than chance, so no temperature above "
            "0 has the smallest log loss; check the order of the classes and of the cases."
        )
    if above.max() <= 0:
        raise ValueError(
            f"`y_score` has its highest logit at the label for all {len(labels)} cases, so the log "
            "loss falls for ever as the temperature goes to 0; fit on more cases, or, with one "
            "logit per case, take `method='platt'`, which ends."
        )
    return _root(above / scale) / float(scale)


def platt(positive: Flags, logits: Scores) -> tuple[float, float]:
    """Slope and intercept with the smallest log loss against Platt's targets.

    Newton's steps on standardised logits, halved while the loss would rise.
    """
    centre, scale = logits.mean(), logits.std()
    if logits.min() == logits.max():
        raise ValueError(
            f"`y_score` is the same for all {len(logits)} cases; a slope needs logits that differ."
        )
    design = np.column_stack([(logits - centre) / scale, np.ones_like(logits)])
    positives = int(np.count_nonzero(positive))
    negatives = len(positive) - positives
    targets = np.where(positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(at: Scores) -> float:
        z = design @ at
        return float(np.mean(np.logaddexp(0, z) - targets * z))

    at = np.array([0.0, math.log(targets.mean() / (1 - targets.mean()))])
    for _ in range(_MAX_STEPS):
        p = sigmoid(design @ at)
        gradient = design.T @ (p - targets)
        hessian = design.T @ (design * (p * (1 - p))[:, None])
        step = np.linalg.solve(hessian, gradient)
        # Near the minimum losses differ by rounding only.
        while loss(at - step) > loss(at) + 1e-14:
            step /= 2
        at = at - step
        if np.abs(step).max() < 1e-12:
            break
    slope = float(at[0] / scale)
    if slope <= 0:
        raise ValueError(
            f"`y_score` falls where `y_true` is 1: the slope is {slope:.6g} and would turn the "
            "order of the cases round; pass the logits of class 1."
        )
    return slope, float(at[1] - slope * centre)


def sigmoid(z: Scores) -> Scores:
    """1 / (1 + exp(-z)), with every digit where it is small."""
    return np.exp(-np.logaddexp(0, -z))


def softmax(z: Scores) -> Scores:
    """Probabilities along the last axis."""
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _root(above: Scores) -> float:
    """Where the derivative of the loss is 0: by Newton's steps, or bisection where they fail."""
    low, high = 0.0, 1.0
    while _derivatives(above, high)[0] < 0:
        low, high = high, 2 * high
    a = high
    for _ in range(_MAX_STEPS):
        first, second = _derivatives(above, a)
        low, high = (a, high) if first < 0 else (low, a)
        newton = a - first / second if second > 0 else high
        new = newton if low < newton < high else (low + high) / 2
        moved, a = abs(new - a), new
        if moved <= 1e-15 * a:
            break
    return a


def _derivatives(above: Scores, a: float) -> tuple[float, float]:
    p = softmax(a * above)
    mean = np.sum(p * above, axis=1, keepdims=True)
    return float(mean.mean()), float(np.mean(np.sum(p * (above - mean) ** 2, axis=1)))
