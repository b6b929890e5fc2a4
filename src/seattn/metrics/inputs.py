"""What a metric accepts: the one place where labels, scores and patients are checked.

Lists, numpy arrays and torch tensors (any device, any dtype, with or without a gradient) become
numpy arrays of int64 labels and float64 scores, or an error that names the argument.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "Flags",
    "Labels",
    "Scores",
    "as_identifiers",
    "as_patients",
    "as_scores",
    "binary_scores",
    "check_level",
    "check_probabilities",
    "check_threshold",
    "class_scores",
    "column_scores",
    "flags",
    "label_columns",
    "label_pair",
]

_SHAPES = {1: "(N,)", 2: "(N, K), as the other argument has"}

Flags = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


def label_pair(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, num_classes: int | None = None
) -> tuple[Labels, Labels, int]:
    """True and predicted labels of the same cases, and the number of classes.

    Args:
        y_true: (N,) labels 0 .. num_classes - 1.
        y_pred: (N,) labels 0 .. num_classes - 1.
        num_classes: ``None`` counts up to the largest label of the two, and two classes at least.

    Returns:
        Both as int64, and ``num_classes``.
    """
    if num_classes is not None and num_classes < 2:
        raise ValueError(f"`num_classes` (={num_classes}) must be 2 or more.")
    true = _labels("y_true", y_true, num_classes)
    predicted = _labels("y_pred", y_pred, num_classes)
    _same_length(true, "y_pred", predicted)
    return true, predicted, num_classes or max(2, int(true.max()) + 1, int(predicted.max()) + 1)


def binary_scores(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> tuple[Flags, Scores]:
    """Which cases are positive, and the (N,) scores of all."""
    true = _labels("y_true", y_true, 2)
    scores = _scores(y_score)
    if scores.ndim != 1:
        raise ValueError(
            f"`y_score` has shape {scores.shape}; two classes need one score per case, shape (N,): "
            "pass the column of the positive class, or `average=` for one-vs-rest over columns."
        )
    _same_length(true, "y_score", scores)
    return true == 1, scores


def class_scores(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> tuple[Labels, Scores]:
    """The (N,) labels and the (N, K) scores of the same cases."""
    scores = _columns(y_score)
    true = _labels("y_true", y_true, scores.shape[1])
    _same_length(true, "y_score", scores)
    return true, scores


def column_scores(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> tuple[Flags, Scores]:
    """Which cases are positives of which column, (N, K), and their (N, K) scores.

    ``y_true`` is (N,) labels 0 .. K - 1, one class a case, or (N, K) labels 0 and 1.
    """
    if np.ndim(y_true) != 2:
        true, scores = class_scores(y_true, y_score)
        return true[:, None] == np.arange(scores.shape[1]), scores
    scores = _columns(y_score)
    flags = _labels("y_true", y_true, 2, ndim=2)
    _same_shape(flags, "y_score", scores)
    return flags == 1, scores


def label_columns(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[Flags, Flags]:
    """True and predicted labels of K findings that a case may have together, both (N, K)."""
    true = _labels("y_true", y_true, 2, ndim=2)
    predicted = _labels("y_pred", y_pred, 2, ndim=2)
    _same_shape(true, "y_pred", predicted)
    return true == 1, predicted == 1


def flags(name: str, values: npt.ArrayLike) -> Flags:
    """Flags of shape (N,), given as booleans or as 0 and 1."""
    return _labels(name, values, 2) == 1


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"`level` (={level}) must be between 0 and 1, for example 0.95.")


def check_threshold(threshold: float) -> None:
    """Refuse a threshold of nan, with which every score would be negative."""
    if math.isnan(threshold):
        raise ValueError(f"`threshold` (={threshold}) must be a number.")


def check_probabilities(scores: Scores) -> None:
    """Refuse scores outside [0, 1], and rows of (N, K) scores that do not sum to 1.

    A row may miss 1 by 0.01, which a softmax in bfloat16 does not.
    """
    outside = np.flatnonzero((scores < 0) | (scores > 1))
    if outside.size:
        raise ValueError(
            f"`y_score` must be probabilities in [0, 1]; {outside.size} are not, the first is "
            f"{scores.flat[outside[0]]:.6g}. Pass the sigmoid or the softmax of logits; none is "
            "applied here."
        )
    if scores.ndim == 2:
        sums = scores.sum(axis=1)
        wrong = np.flatnonzero(np.abs(sums - 1) > 0.01)
        if wrong.size:
            raise ValueError(
                f"`y_score` must be probabilities whose rows sum to 1; {wrong.size} rows do not, "
                f"the first is row {wrong[0]} with sum {sums[wrong[0]]:.6g}. Pass a softmax."
            )


def as_scores(y_score: npt.ArrayLike, *, columns: int | None) -> Scores:
    """Finite scores without labels: (N,), or (N, columns) where there are columns."""
    scores = _finite("y_score", y_score).astype(np.float64, copy=False)
    wanted = scores.shape[:1] if columns is None else (*scores.shape[:1], columns)
    if scores.ndim == 0 or scores.shape != wanted:
        shape = "(N,)" if columns is None else f"(N, {columns})"
        raise ValueError(f"`y_score` has shape {scores.shape}; it must have shape {shape} here.")
    return scores


def as_identifiers(name: str, values: npt.ArrayLike, cases: int) -> npt.NDArray[Any]:
    """Identifiers of cases, (N,), all numbers or all strings, none missing."""
    # Of a list of names numpy makes strings, and of nan among them a patient called "nan".
    listed = np.array(values, dtype=object) if isinstance(values, list | tuple) else None
    identifiers = _numpy(values) if listed is None or listed.ndim != 1 else listed
    if identifiers.shape != (cases,):
        raise ValueError(
            f"`{name}` has shape {identifiers.shape}; one identifier per case, shape ({cases},), "
            "is needed."
        )
    objects = identifiers.astype(object)
    try:
        missing = _missing(objects) | (objects == "")
        if not missing.any():
            np.unique(identifiers)
    except TypeError as error:
        raise TypeError(
            f"`{name}` must be all numbers or all strings; convert them, e.g. with str()."
        ) from error
    if missing.any():
        raise ValueError(
            f"`{name}` is missing for {missing.sum()} cases, the first at index "
            f"{np.flatnonzero(missing)[0]}; leave those cases out or give them identifiers."
        )
    if listed is None:
        return identifiers
    converted = np.asarray(values)
    if len(np.unique(converted)) < len(np.unique(listed)):
        raise ValueError(f"`{name}` holds numbers too large for float64; convert them with str().")
    return converted


def as_patients(patients: npt.ArrayLike, cases: int) -> Labels:
    """Patient identifiers, numbers or strings, as codes 0 .. patients - 1 of shape (N,)."""
    _, codes = np.unique(as_identifiers("patients", patients, cases), return_inverse=True)
    return codes.astype(np.int64)


def _labels(name: str, values: npt.ArrayLike, num_classes: int | None, *, ndim: int = 1) -> Labels:
    array = _finite(name, values)
    if array.ndim != ndim:
        raise ValueError(f"`{name}` has shape {array.shape}; labels need shape {_SHAPES[ndim]}.")
    rule = "labels are the integers 0, 1, ..." if num_classes is None else _classes(num_classes)
    if array.dtype.kind == "f" and (fractions := np.flatnonzero(array != np.floor(array))).size:
        raise ValueError(
            f"`{name}` holds {array.flat[fractions[0]]:.6g} at index {_place(array, fractions)}, "
            f"but {rule}; these look like scores: were the arguments swapped, or is a threshold "
            "missing?"
        )
    above = array.max() if num_classes is None else num_classes - 1
    if array.min() < 0 or array.max() > above:
        outside = np.flatnonzero((array < 0) | (array > above))
        raise ValueError(
            f"`{name}` holds {array.flat[outside[0]]:.6g} at index {_place(array, outside)}, but "
            f"{rule}; renumber the classes, or check whether the arguments were swapped."
        )
    return array.astype(np.int64, copy=False)


def _classes(num_classes: int) -> str:
    return "labels must be 0 or 1" if num_classes == 2 else f"labels must be 0 .. {num_classes - 1}"


def _scores(values: npt.ArrayLike) -> Scores:
    return _finite("y_score", values).astype(np.float64, copy=False)


def _finite(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Numbers of the dtype they came in, none of them NaN or infinite."""
    array = _numpy(values)
    if array.size == 0:
        raise ValueError(f"`{name}` is empty, shape {array.shape}; a metric needs a case.")
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"`{name}` must hold numbers, not dtype {array.dtype}; labels are 0, 1, ..., with none "
            "missing."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        wrong = np.flatnonzero(~np.isfinite(array))
        raise ValueError(
            f"`{name}` must be finite; {wrong.size} of {array.size} values are NaN or infinite, "
            f"the first at index {_place(array, wrong)}."
        )
    return array


def _place(array: npt.NDArray[Any], found: npt.NDArray[np.intp]) -> str:
    """The index of the first of the elements found, as "1, 2" where there are rows."""
    return ", ".join(str(i) for i in np.unravel_index(found[0], array.shape))


def _columns(y_score: npt.ArrayLike) -> Scores:
    scores = _scores(y_score)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(
            f"`y_score` has shape {scores.shape}; one score per case and class, shape (N, K) "
            "with K of 2 or more, is needed here; of a single column pass (N,), e.g. squeeze(1)."
        )
    return scores


def _same_shape(true: Labels, name: str, other: npt.NDArray[Any]) -> None:
    if true.shape != other.shape:
        raise ValueError(
            f"`y_true` has shape {true.shape} and `{name}` {other.shape}; both must hold the same "
            "cases and the same columns."
        )


def _same_length(true: Labels, name: str, other: npt.NDArray[Any]) -> None:
    if len(true) != len(other):
        raise ValueError(
            f"`y_true` has {len(true)} cases and `{name}` {len(other)}; both must hold the same "
            "cases in the same order."
        )


def _missing(values: npt.NDArray[np.object_]) -> Flags:
    return np.not_equal(values, values) | np.equal(values, None)  # type: ignore[call-overload]


def _numpy(values: Any) -> npt.NDArray[Any]:
    if hasattr(values, "detach"):  # a torch tensor; numpy has no bfloat16, float64 holds it exactly
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
    return np.asarray(values)
