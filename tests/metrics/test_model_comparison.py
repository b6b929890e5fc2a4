import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seattn import metrics
from seattn.metrics import (
    choose_threshold,
    compare_metric,
    compare_models,
    crossed_bootstrap,
    holm,
    mcnemar_test,
    paired_bootstrap,
)
from tests.metrics.shown import check_shown
from tests.metrics.worked import PATIENTS, A, B, Y
from tests.strategies import labels_and_scores

C = [round((a + 2 * b) / 3 + 0.05 * (i % 3), 3) for i, (a, b) in enumerate(zip(A, B, strict=True))]
TWO = {"y_true": Y, "scores": {"A": A, "B": B}, "patients": PATIENTS}


def study(patients: int, seed: int, *models: str) -> dict[str, object]:
    """Two images of each patient, and models of different skill."""
    rng = np.random.default_rng(seed)
    of_case = np.repeat(np.arange(patients), 2)
    labels = (np.arange(patients) % 3 == 0)[of_case].astype(int)
    shared = rng.normal(size=patients)[of_case]
    scores = {
        name: 1 / (1 + np.exp(-(2 + k) * (labels - 0.5) - shared - rng.normal(size=2 * patients)))
        for k, name in enumerate(models)
    }
    return {"y_true": labels, "scores": scores, "patients": of_case}


def test_the_worked_comparison():
    """Few patients: the area has the exact p of swapping them, and McNemar's is exact too."""
    found = compare_models(**TWO)
    (area,), (accuracy,) = found["roc_auc"], found["accuracy"]
    assert area.difference == pytest.approx(0.060439560, abs=1e-9)
    assert area.p_value == area.p_holm == 0.1015625
    assert area.method == (
        "paired stratified patient bootstrap, 2000 resamples, percentile; "
        "exact swaps of 10 patients"
    )
    assert accuracy.p_value == 0.5
    assert accuracy.difference == pytest.approx(0.1)
    assert accuracy.method.endswith("; McNemar, sign-flip")
    assert (found["f1"][0].value_a, found["f1"][0].value_b) == pytest.approx((0.8, 2 / 3))
    assert str(found).splitlines()[0] == "20 cases of 10 patients; 7 positive"
    check_shown(found)


@pytest.mark.parametrize("patients", [PATIENTS, None])
def test_the_differences_are_those_of_the_single_functions(patients):
    asked = {"level": 0.9, "seed": 5, "resamples": 300}
    names = ["roc_auc", *metrics.model_differences._METRICS[1:], "kappa", "calibration_slope"]
    found = compare_models(
        y_true=Y, scores={"A": A, "B": B}, patients=patients, metrics=names, swaps=500, **asked
    )
    pair = {"y_true": Y, "y_score_a": A, "y_score_b": B, "patients": patients}
    assert [d.metric for d in found.differences] == names
    for d in found.differences:
        if d.metric == "roc_auc":
            alone = compare_metric("roc_auc", **pair, **asked, swaps=500)
            assert (d.p_value, d.method, d.reason) == (alone.p_value, alone.method, alone.reason)
        else:
            alone = paired_bootstrap(d.metric, **pair, **asked)
        for field in ("value_a", "value_b", "difference", "low", "high"):
            expected = getattr(alone, field)
            assert getattr(d, field) == pytest.approx(expected, abs=0, nan_ok=True), d.metric
        assert d.undefined == alone.undefined
        assert (d.method or "").startswith(alone.method or "")
        assert d.variance_seeds is d.variance_patients is None


def test_each_model_has_its_threshold_and_rates_have_mcnemars_p():
    cases, at = study(25, 3, "A", "B"), {"A": 0.3, "B": 0.7}
    found = compare_models(**cases, threshold=at, resamples=200)
    labels, patients = cases["y_true"], cases["patients"]
    a, b = (cases["scores"][name] >= at[name] for name in ("A", "B"))
    p_values = set()
    for metric, among in {
        "accuracy": labels >= 0,
        "sensitivity": labels == 1,
        "specificity": labels == 0,
    }.items():
        test = mcnemar_test(
            y_true=labels[among],
            y_pred_a=a[among],
            y_pred_b=b[among],
            patients=patients[among],
        )
        (d,) = found[metric]
        assert d.p_value == test.p_value
        p_values.add(d.p_value)
        value = getattr(metrics, metric)
        assert d.value_a == value(y_true=labels, y_pred=a)
        assert d.value_b == value(y_true=labels, y_pred=b)
    assert len(p_values) == 3
    assert found.table().caption[1:] == ("A: score >= 0.3", "B: score >= 0.7")


def test_from_thirty_patients_on_the_area_has_delongs_p():
    cases = study(30, 0, "plain", "se")
    (area,) = compare_models(**cases, metrics=["roc_auc"])["roc_auc"]
    assert area.method == "clustered paired DeLong"
    alone = metrics.delong_test(
        y_true=cases["y_true"],
        y_score_a=cases["scores"]["plain"],
        y_score_b=cases["scores"]["se"],
        patients=cases["patients"],
    )
    assert area.p_value == pytest.approx(alone.p_value, abs=1e-12)


def test_three_models_are_compared_in_pairs_and_adjusted():
    scores = {"A": A, "B": B, "C": C}
    found = compare_models(y_true=Y, scores=scores, patients=PATIENTS, resamples=200)
    pairs = [("A", "B"), ("A", "C"), ("B", "C")]
    for metric in ("roc_auc", "accuracy", "f1"):
        rows = found[metric]
        assert [(d.model_a, d.model_b) for d in rows] == pairs
        adjusted = holm([d.p_value for d in rows])
        assert [d.p_holm for d in rows] == pytest.approx(adjusted, nan_ok=True)
        for d in rows:
            two = {name: scores[name] for name in (d.model_a, d.model_b)}
            (alone,) = compare_models(
                y_true=Y, scores=two, patients=PATIENTS, metrics=[metric], resamples=200
            )[metric]
            assert (d.low, d.high, d.method) == (alone.low, alone.high, alone.method)
            assert d.p_value == pytest.approx(alone.p_value, nan_ok=True)
    assert "p, Holm" in found.table().head
    assert found.table().notes[0] == "Holm: of the 3 comparisons of a metric"
    check_shown(found)


def test_a_reference_is_what_the_others_are_less():
    scores = {"A": A, "B": B, "C": C}
    found = compare_models(y_true=Y, scores=scores, patients=PATIENTS, reference="B", resamples=200)
    assert [(d.model_a, d.model_b) for d in found["brier"]] == [("A", "B"), ("C", "B")]
    assert found["roc_auc"][0].difference == pytest.approx(0.060439560, abs=1e-9)
    assert found.table().notes[0] == "Holm: of the 2 comparisons of a metric"


def test_models_trained_several_times_have_both_variances():
    rng = np.random.default_rng(0)
    a = np.clip(np.array([A, A, A]) + rng.normal(0, 0.05, (3, 20)), 0, 1)
    b = np.clip(np.array([B, B]) + rng.normal(0, 0.05, (2, 20)), 0, 1)
    found = compare_models(
        y_true=Y, scores={"A": a, "B": b}, patients=PATIENTS, resamples=200, threshold=0.45
    )
    assert found.trainings == {"A": 3, "B": 2}
    for d in found.differences:
        alone = crossed_bootstrap(
            d.metric,
            y_true=Y,
            y_score=a,
            y_score_b=b,
            patients=PATIENTS,
            threshold=0.45,
            resamples=200,
        )
        assert (d.difference, d.low, d.high) == pytest.approx(
            (alone.value, alone.low, alone.high), abs=1e-12, nan_ok=True
        )
        assert d.variance_seeds == pytest.approx(alone.variance_seeds, abs=1e-15)
        assert d.variance_patients == pytest.approx(alone.variance_patients, abs=1e-15)
        assert d.value_a == pytest.approx(np.mean(alone.of_seeds))
        assert d.value_a - d.value_b == pytest.approx(d.difference)
        assert math.isnan(d.p_value)
    table = found.table()
    assert table.caption[1] == "A: score >= 0.45; trained 3 times"
    assert {"sd, seeds", "sd, patients"} < set(table.head)
    assert "p" not in table.head
    sd = table.rows[0][table.head.index("sd, seeds")]
    assert sd == f"{math.sqrt(found.differences[0].variance_seeds):.3f}"
    check_shown(found)


def test_each_model_trained_several_times_keeps_its_threshold():
    a, b = np.array([A, A, A]), np.array([B, B])
    found = compare_models(
        y_true=Y,
        scores={"A": a, "B": b},
        threshold={"A": 0.42, "B": 0.6},
        metrics=["sensitivity"],
        resamples=100,
    )
    (d,) = found["sensitivity"]
    assert (d.value_a, d.value_b) == pytest.approx((1.0, 4 / 7))


def test_a_threshold_chosen_on_these_cases_is_called_so():
    points = {
        "A": choose_threshold(y_true=Y, y_score=A),
        "B": choose_threshold(y_true=[0, 1], y_score=[0.2, 0.4], fitted_on="site B"),
    }
    found = compare_models(**TWO, threshold=points, resamples=100)
    assert found.chosen_here == ("A",)
    assert found.table().caption[1:] == (
        "A: score >= 0.42, youden on validation (20 cases)",
        "B: score >= 0.4, youden on site B (2 cases)",
        "of A the threshold was chosen on THESE VERY CASES: what holds at it here is optimistic",
    )
    check_shown(found)


def test_scores_of_any_scale_can_be_ranked():
    logits = {"A": [10 * a - 5 for a in A], "B": B}
    found = compare_models(y_true=Y, scores=logits, metrics=["roc_auc", "average_precision"])
    assert found["roc_auc"][0].value_a == 84.5 / 91
    at = {"A": -0.8, "B": 0.47}
    (d,) = compare_models(y_true=Y, scores=logits, threshold=at, metrics=["f1"])["f1"]
    assert d.value_a == metrics.f1(y_true=Y, y_pred=np.array(A) >= 0.42)
    with pytest.raises(ValueError, match=r"`scores\['A'\]` must be probabilities.*`threshold=`"):
        compare_models(y_true=Y, scores=logits, metrics=["f1"])
    with pytest.raises(ValueError, match=r"`scores\['A'\]` must be probabilities"):
        compare_models(y_true=Y, scores=logits, threshold=at, metrics=["brier"])


def test_tensors_and_html_names():
    found = compare_models(
        y_true=torch.tensor(Y),
        scores={"<A & co>": torch.tensor(A, dtype=torch.float64), "B": torch.tensor(B).double()},
        patients=torch.tensor(PATIENTS),
        resamples=100,
        metrics=["accuracy"],
    )
    assert found["accuracy"][0].difference == pytest.approx(0.1)
    assert "<A" not in found.to_html()
    assert "&lt;A &amp; co&gt;" in found.to_html()
    check_shown(found)


@settings(max_examples=40)
@given(labels_and_scores(), st.randoms(use_true_random=False), st.booleans())
def test_nothing_raises_and_what_is_missing_has_a_reason(cases, random, clustered: bool):
    labels, a, patients = cases
    scores = {name: random.sample(a, len(a)) for name in ("x", "y", "z")}
    found = compare_models(
        y_true=labels,
        scores=scores,
        patients=patients if clustered else None,
        resamples=100,
        swaps=100,
    )
    for d in found.differences:
        missing = any(map(math.isnan, (d.difference, d.low, d.p_value)))
        assert d.reason or not missing
        assert d.method or math.isnan(d.low)
    assert json.loads(found.to_json())["models"] == ["x", "y", "z"]
    check_shown(found)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scores": {"A": A}}, r"`scores` holds \['A'\]; a comparison needs two"),
        ({"reference": "C"}, r"`reference` \(='C'\) must be one of"),
        ({"threshold": {"A": 0.5}}, r"`threshold` has the names \['A'\]"),
        ({"metrics": ["auc"]}, "`metric` 'auc' is not one of"),
        ({"metrics": [len]}, r"`metrics` holds .*; name them"),
        ({"metrics": []}, r"`metrics` holds \[\]; name them"),
        ({"scores": {"A": A, "B": [B, B]}}, r"`scores` of 'A' are of one training"),
        ({"scores": {"A": A, "B": B[:-1]}}, r"20 cases and `scores\['B'\]` 19"),
        ({"level": 95}, "`level`"),
        ({"resamples": 10}, "`resamples`"),
        ({"swaps": 10}, "`swaps`"),
    ],
)
def test_wrong_arguments_are_errors(changed, message: str):
    with pytest.raises(ValueError, match=message):
        compare_models(**(TWO | changed))


def test_an_unknown_metric_is_a_key_error():
    with pytest.raises(KeyError, match="npv"):
        compare_models(**TWO, metrics=["ppv"], resamples=100)["npv"]
