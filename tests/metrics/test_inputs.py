import math

import numpy as np
import pytest
import torch

from seattn.metrics import (
    accuracy,
    average_precision,
    balanced_accuracy,
    binary_report,
    brier,
    brier_skill,
    classification_report,
    confusion,
    confusion_matrix,
    decision_curve,
    ece,
    f1,
    kappa,
    log_loss,
    mcc,
    negative_likelihood_ratio,
    npv,
    positive_likelihood_ratio,
    pr_curve,
    precision,
    recalibration,
    recall,
    reliability,
    roc_auc,
    roc_auc_ovo,
    roc_curve,
    specificity,
    youden_j,
)
from tests.metrics.worked import P3, PATIENTS, Y3, A, Y

OF_LABELS = (
    accuracy,
    balanced_accuracy,
    mcc,
    kappa,
    precision,
    npv,
    recall,
    specificity,
    f1,
    youden_j,
    positive_likelihood_ratio,
    negative_likelihood_ratio,
)
TABLES = (confusion, confusion_matrix)
OF_SCORES = (roc_auc, average_precision, brier, brier_skill, log_loss, ece)
CURVES = (roc_curve, pr_curve, reliability, recalibration, decision_curve)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_tensors_of_any_dtype_give_what_their_values_give(dtype: torch.dtype):
    scores = torch.tensor(A, dtype=dtype, requires_grad=True)
    labels = torch.tensor(Y)
    for metric in OF_SCORES:
        value = metric(y_true=labels, y_score=scores)
        assert type(value) is float
        assert value == metric(y_true=Y, y_score=scores.tolist())
    for curve in CURVES:
        of_tensors = vars(curve(y_true=labels, y_score=scores))
        of_lists = vars(curve(y_true=Y, y_score=scores.tolist()))
        assert all(np.array_equal(of_tensors[name], of_lists[name]) for name in of_lists)
    report = binary_report(y_true=labels, y_score=scores, patients=torch.tensor(PATIENTS))
    assert report == binary_report(y_true=Y, y_score=scores.tolist(), patients=PATIENTS)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int32, torch.int64, torch.float32, torch.bfloat16]
)
@pytest.mark.parametrize("metric", OF_LABELS)
def test_labels_of_any_dtype_are_labels(metric, dtype: torch.dtype):
    predicted = [score >= 0.5 for score in A]
    value = metric(y_true=torch.tensor(Y).to(dtype), y_pred=torch.tensor(predicted).to(dtype))
    assert type(value) is float
    assert value == metric(y_true=np.array(Y, np.int8), y_pred=predicted)


def test_probabilities_of_classes_may_be_a_bfloat16_softmax():
    rows = torch.tensor(P3).log().bfloat16().softmax(1)
    for metric, options in (
        (roc_auc, {"average": None}),
        (roc_auc_ovo, {}),
        (log_loss, {}),
        (ece, {"kind": "top"}),
    ):
        value = metric(y_true=torch.tensor(Y3), y_score=rows, **options)
        assert value == metric(y_true=Y3, y_score=rows.tolist(), **options)
    report = classification_report(y_true=torch.tensor(Y3), y_score=rows)
    assert report == classification_report(y_true=Y3, y_score=rows.tolist())


def test_the_inputs_are_left_alone():
    labels, scores = np.array([1.0, 0.0, 1.0]), np.array([0.9, 0.1, 0.4])
    binary_report(y_true=labels, y_score=scores)
    assert labels.tolist() == [1, 0, 1]
    assert scores.tolist() == [0.9, 0.1, 0.4]


@pytest.mark.parametrize("metric", [*OF_LABELS, *TABLES])
@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([], [], "`y_true` is empty"),
        ([1, 0], [1], "`y_true` has 2 cases and `y_pred` 1"),
        ([[1, 0]], [1, 0], r"`y_true` has shape \(1, 2\); labels need shape \(N,\)"),
        ([1, math.nan, math.nan], [1, 0, 1], "2 of 3 values are NaN or infinite.*index 1"),
        ([1, 0], [0.2, 0.7], "`y_pred` holds 0.2 at index 0.*is a threshold missing"),
        ([0.9, 0.7], [1, 0], "`y_true` holds 0.9 at index 0.*arguments swapped"),
        ([1, -1], [1, 0], "`y_true` holds -1 at index 1"),
    ],
)
def test_labels_that_are_none_are_errors(metric, true, predicted, message: str):
    with pytest.raises(ValueError, match=message):
        metric(y_true=true, y_pred=predicted)


@pytest.mark.parametrize("metric", [*OF_SCORES, *CURVES, binary_report])
@pytest.mark.parametrize(
    ("true", "scores", "message"),
    [
        ([], [], "`y_true` is empty"),
        ([1, 0], [0.5, 0.1, 0.3], "`y_true` has 2 cases and `y_score` 3"),
        ([1, 0, 1], [0.5, math.nan, 0.3], "`y_score` must be finite; 1 of 3.*index 1"),
        ([1, 0, 1], [0.5, 0.1, math.inf], "`y_score` must be finite; 1 of 3.*index 2"),
        ([0.5, 0.1], [1, 0], "`y_true` holds 0.5 at index 0.*arguments swapped"),
        ([1, 2], [0.5, 0.1], "`y_true` holds 2 at index 1, but labels must be 0 or 1"),
        ([[1], [0]], [0.5, 0.1], r"`y_true` has shape \(2, 1\)"),
    ],
)
def test_scores_that_are_none_are_errors(metric, true, scores, message: str):
    with pytest.raises(ValueError, match=message):
        metric(y_true=true, y_score=scores)


def test_the_place_of_nan_among_columns_is_row_and_column():
    with pytest.raises(ValueError, match="first at index 1, 2"):
        roc_auc(y_true=[0, 1], y_score=[[1, 2, 3], [1, 2, math.nan]], average="macro")


@pytest.mark.parametrize("scores", [[[0.1], [0.2]], [[[0.1, 0.9]], [[0.1, 0.9]]]])
def test_scores_of_another_shape_are_errors(scores):
    for metric in (binary_report, classification_report, *OF_SCORES):
        with pytest.raises(ValueError, match="`y_score` has shape"):
            metric(y_true=[0, 1], y_score=scores)


def test_labels_beyond_the_columns_are_errors():
    with pytest.raises(
        ValueError, match=r"`y_true` holds 3 at index 1, but labels must be 0 \.\. 2"
    ):
        classification_report(y_true=[0, 3], y_score=P3[:2])


def test_labels_beyond_num_classes_are_errors():
    with pytest.raises(ValueError, match="`y_pred` holds 2 at index 1"):
        confusion_matrix(y_true=[0, 1], y_pred=[0, 2], num_classes=2)
    with pytest.raises(ValueError, match=r"`num_classes` \(=1\) must be 2 or more"):
        confusion_matrix(y_true=[0], y_pred=[0], num_classes=1)


@pytest.mark.parametrize("labels", [["no", "yes"], [0, None], [1 + 1j, 0]])
def test_labels_that_are_no_numbers_are_type_errors(labels):
    with pytest.raises(TypeError, match="`y_true` must hold numbers"):
        roc_auc(y_true=labels, y_score=[0.1, 0.2])


@pytest.mark.parametrize("metric", [*OF_SCORES, *CURVES, *OF_LABELS, *TABLES])
def test_labels_and_scores_go_by_keyword(metric):
    with pytest.raises(TypeError):
        metric([0, 1], [0, 1])


def test_patients_may_be_numbers_or_strings():
    reports = [
        binary_report(y_true=Y, y_score=A, patients=patients)
        for patients in (
            PATIENTS,
            [f"patient {p}" for p in PATIENTS],
            np.array(PATIENTS, dtype=object),
            torch.tensor(PATIENTS) + 2**62,  # float64 would take these for one patient
        )
    ]
    for report in reports:
        assert report.n_patients == 10
        assert report["roc_auc"].low == pytest.approx(reports[0]["roc_auc"].low, abs=1e-15)


@pytest.mark.parametrize("missing", [None, math.nan])
def test_missing_patients_are_errors(missing):
    for patients in ([7, missing, missing], np.array(["a", missing, missing], dtype=object)):
        with pytest.raises(ValueError, match="missing for 2 cases, the first at index 1"):
            binary_report(y_true=[0, 1, 1], y_score=[0.1, 0.2, 0.3], patients=patients)


def test_patients_of_another_length_are_errors():
    with pytest.raises(ValueError, match=r"`patients` has shape \(2,\).*shape \(3,\)"):
        binary_report(y_true=[0, 1, 1], y_score=[0.1, 0.2, 0.3], patients=["a", "b"])


def test_patients_of_mixed_types_are_errors():
    with pytest.raises(TypeError, match="all numbers or all strings"):
        binary_report(y_true=[0, 1], y_score=[0.1, 0.2], patients=np.array(["a", 1], dtype=object))
