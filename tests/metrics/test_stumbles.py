"""What a user's list or typing error must not turn into a number without a word."""

import json
import math

import numpy as np
import pytest
from matplotlib.text import Text

from seattn.metrics import (
    OperatingPoint,
    Predictions,
    binary_report,
    bootstrap,
    by_patient,
    by_subgroup,
    choose_threshold,
    compare_models,
    permutation_test,
    plot_roc,
    share_interval,
)

Y, A, B = [1, 1, 0, 0], [0.9, 0.4, 0.2, 0.6], [0.7, 0.8, 0.3, 0.1]


@pytest.mark.parametrize("missing", [math.nan, None, ""])
def test_a_missing_patient_in_a_list_of_names_is_an_error(missing):
    patients = ["a", missing, missing, "b"]
    for call in (
        lambda: share_interval([1, 0, 1, 0], patients=patients),
        lambda: binary_report(y_true=Y, y_score=A, patients=patients, resamples=None),
        lambda: by_patient(y_true=Y, y_score=A, patients=patients),
        lambda: Predictions().update(y_true=Y, y_score=A, patients=patients),
    ):
        with pytest.raises(ValueError, match="`patients` is missing for 2 cases, the first at ind"):
            call()
    with pytest.raises(ValueError, match="`subgroups` is missing"):
        by_subgroup(y_true=Y, y_score=A, subgroups=patients)


def test_names_and_numbers_in_one_list_are_an_error():
    with pytest.raises(TypeError, match="`patients` must be all numbers or all strings"):
        binary_report(y_true=Y, y_score=A, patients=[1, "1", 2, 3], resamples=None)
    with pytest.raises(TypeError, match="all numbers or all strings"):
        Predictions().update(y_true=Y, y_score=A, patients=("1", 1, 2, 3))


def test_large_numbers_beside_a_fraction_do_not_become_one_patient():
    with pytest.raises(ValueError, match="`patients` holds numbers too large"):
        share_interval([1, 0, 1], patients=[2**60 + 1, 2**60 + 2, 3.5])
    assert share_interval([1, 0, 1], patients=[2**60 + 1, 2**60 + 2, 3]).n_patients == 3


def test_a_threshold_of_nan_is_an_error():
    point = choose_threshold(y_true=Y, y_score=A).to_dict()
    for call in (
        lambda: bootstrap("f1", y_true=Y, y_score=A, threshold=math.nan, resamples=100),
        lambda: permutation_test(
            "accuracy", y_true=Y, y_score_a=A, y_score_b=B, threshold=math.nan, swaps=100
        ),
        lambda: compare_models(y_true=Y, scores={"a": A, "b": B}, threshold=math.nan),
        lambda: plot_roc(y_true=Y, y_score=A, threshold=math.nan),
        lambda: OperatingPoint.from_dict({**point, "threshold": math.nan}),
    ):
        with pytest.raises(ValueError, match=r"`threshold` \(=nan\)"):
            call()


def test_numbers_of_numpy_go_to_json():
    report = binary_report(
        y_true=Y, y_score=A, seed=np.int64(3), prevalence=np.float32(0.1), resamples=100
    )
    assert json.loads(report.to_json())["prevalence"] == pytest.approx(0.1)


def test_an_operating_point_is_marked_like_its_threshold():
    point = choose_threshold(y_true=Y, y_score=A)
    figures = [
        plot_roc(y_true=Y, y_score={"a": A, "b": B}, threshold={"a": each}, resamples=100)
        for each in (point, point.threshold)
    ]
    legends = [[text.get_text() for text in figure.findobj(Text)] for figure in figures]
    assert legends[0] == legends[1]
    assert any("sensitivity" in text for text in legends[0])
