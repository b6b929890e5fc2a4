"""What is not defined is nan, what is not meant is an error: the cases where libraries differ.

The comments say what scikit-learn 1.9 (s), torchmetrics 1.9 (t) and MONAI 1.6 (m) give.
"""

import math

import pytest
import torch

from seattn.metrics import (
    average_precision,
    binary_report,
    brier,
    ece,
    log_loss,
    mcc,
    precision,
    roc_auc,
    sensitivity,
)
from tests.metrics.worked import A, Y


@pytest.mark.parametrize(("label", "reason"), [(0, "no positives"), (1, "no negatives")])
def test_the_area_of_one_class(label: int, reason: str):  # s nan, t 0, m nan
    cases = {"y_true": [label, label], "y_score": [0.2, 0.7]}
    assert math.isnan(roc_auc(**cases))
    assert binary_report(**cases)["roc_auc"].reason == reason


def test_average_precision_without_positives():  # s 0, t -0, m nan
    assert math.isnan(average_precision(y_true=[0, 0], y_score=[0.2, 0.7]))


def test_mcc_of_labels_of_one_class():  # s 0, t -0.577, m nan
    assert math.isnan(mcc(y_true=[1, 1, 1, 1], y_pred=[1, 0, 0, 0]))


def test_nan_among_the_scores():  # s an error, t 1, m 1
    for metric in (roc_auc, average_precision):
        with pytest.raises(ValueError, match=r"`y_score` must be finite; 1 of 3.*index 1"):
            metric(y_true=[0, 1, 1], y_score=[0.1, math.nan, 0.9])


def test_scores_beyond_0_and_1_are_ranks_but_no_probabilities():  # t takes a sigmoid of all
    cases = {"y_true": [0, 1, 1], "y_score": [-2.0, 0.5, 3.0]}
    assert roc_auc(**cases) == 1.0
    for metric in (brier, log_loss, ece, binary_report):
        with pytest.raises(ValueError, match="must be probabilities in"):
            metric(**cases)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_large_logits(dtype: torch.dtype):  # s 1, t 0.75 (ties after a sigmoid in float32), m 1
    logits = torch.tensor([20, 25, 30, -3], dtype=dtype)
    assert roc_auc(y_true=[0, 1, 1, 0], y_score=logits) == 1.0


def test_precision_without_positive_predictions():  # s 0, t 0, m nan
    assert math.isnan(precision(y_true=[0, 1], y_pred=[0, 0]))


def test_a_constant_score():  # all 0.5
    assert roc_auc(y_true=Y, y_score=[0.3] * 20) == 0.5


def test_two_calibration_errors_of_the_same_scores():  # t gives one, by the number of columns
    assert ece(y_true=Y, y_score=A, kind="positive") == pytest.approx(0.21, abs=1e-12)
    assert ece(y_true=Y, y_score=A, kind="top") == pytest.approx(0.116, abs=1e-12)


def test_the_area_is_exact():  # t with thresholds=10 gives 0.9121
    assert roc_auc(y_true=Y, y_score=A) == 84.5 / 91


def test_swapped_arguments():  # s and t sometimes an error, m nan
    with pytest.raises(ValueError, match="arguments swapped"):
        roc_auc(y_true=A, y_score=Y)
    # Swapped hard labels cannot be told from others, which is why they go by keyword.
    with pytest.raises(TypeError):
        sensitivity(Y, [s >= 0.5 for s in A])
