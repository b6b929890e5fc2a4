import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from seattn.metrics import Estimate, clopper_pearson, roc_auc, roc_auc_interval
from seattn.metrics.delong import auc_estimate, delong_covariance
from seattn.metrics.distributions import normal_quantile, t_quantile
from tests import references
from tests.metrics.worked import PATIENTS, A, B, Y
from tests.strategies import labels_and_scores

Cases = tuple[list[int], list[float], list[int]]
POSITIVE = np.array(Y) == 1
CODES = np.array(PATIENTS) - 1
EACH_ITS_OWN = np.arange(len(Y))


def ends(estimate: Estimate) -> tuple[float, float]:
    return estimate.low, estimate.high


def variance_of(positive, scores, codes) -> float:
    return float(delong_covariance(positive, np.array([scores]), np.asarray(codes))[0, 0])


def logit_interval(value: float, variance: float, quantile: float) -> tuple[float, float]:
    """By the definition."""
    logit = math.log(value / (1 - value))
    half = quantile * math.sqrt(variance) / (value * (1 - value))
    return 1 / (1 + math.exp(half - logit)), 1 / (1 + math.exp(-half - logit))


@pytest.mark.parametrize(
    ("scores", "codes", "variance", "low", "high"),
    [
        (A, EACH_ITS_OWN, 0.0029988326691623396, 0.720457428, 0.984978939),
        (B, EACH_ITS_OWN, 0.0065209516, 0.622929266, 0.963282110),
        (A, CODES, 0.0033823294644, 0.699805800, 0.986393738),
        (B, CODES, 0.0042901502910, None, None),
    ],
)
def test_worked_variances_and_intervals_of_the_normal_quantile(
    scores, codes, variance: float, low, high
):
    found = variance_of(POSITIVE, scores, codes)
    assert found == pytest.approx(variance, abs=1e-10 if variance == 0.0065209516 else 1e-12)
    if low is not None:
        value = roc_auc(y_true=Y, y_score=scores)
        assert logit_interval(value, found, normal_quantile(0.95)) == (
            pytest.approx((low, high), abs=1e-9)
        )


def test_worked_covariances_of_two_models():
    clustered = delong_covariance(POSITIVE, np.array([A, B]), CODES)
    assert clustered.ravel() == pytest.approx(
        [0.0033823294644, 0.0036092911522, 0.0036092911522, 0.0042901502910], abs=1e-12
    )


def test_the_interval_of_independent_cases_is_the_worked_one():
    for scores, low, high in [
        (A, 0.720457428, 0.984978939),
        (B, 0.622929266, 0.963282110),
    ]:
        estimate = roc_auc_interval(y_true=Y, y_score=scores)
        assert ends(estimate) == pytest.approx((low, high), abs=1e-9)
        assert (estimate.method, estimate.n, estimate.n_patients) == ("DeLong, logit", 20, None)


def test_the_interval_of_patients_has_the_t_quantile_of_the_rarer_ones():
    estimate = roc_auc_interval(y_true=Y, y_score=A, patients=PATIENTS)
    assert estimate.value == 84.5 / 91
    assert (estimate.n, estimate.n_patients, estimate.reason) == (20, 10, None)
    assert estimate.method == "clustered DeLong, logit, t"
    # Patients 1, 2, 5 and 7 have a positive, eight have a negative.
    expected = logit_interval(84.5 / 91, 0.0033823294644, t_quantile(0.95, 3))
    assert ends(estimate) == pytest.approx(expected, abs=1e-9)
    swapped = [1 - label for label in Y]
    mirrored = roc_auc_interval(y_true=swapped, y_score=[-s for s in A], patients=PATIENTS)
    assert ends(mirrored) == pytest.approx(ends(estimate), abs=1e-12)


def asah() -> dict[str, np.ndarray]:
    """113 patients with subarachnoid haemorrhage, the example of R's pROC."""
    file = Path(__file__).parents[3] / "shared" / "facts" / "aSAH.csv"
    if not file.exists():
        pytest.skip("the aSAH data (../shared/facts/aSAH.csv) are not here")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    columns = {name: np.array([float(row[name]) for row in rows]) for name in ("s100b", "wfns")}
    return columns | {"poor": np.array([row["outcome"] == "Poor" for row in rows])}


def test_variance_and_wald_interval_of_asah_are_those_of_proc():
    data = asah()
    variance = variance_of(data["poor"], data["s100b"], np.arange(113))
    value = roc_auc(y_true=data["poor"], y_score=data["s100b"])
    assert value == pytest.approx(0.731368563686, abs=1e-9)
    assert variance == pytest.approx(0.00266868245717, abs=1e-12)
    half = normal_quantile(0.95) * math.sqrt(variance)
    assert (value - half, value + half) == pytest.approx((0.630118212, 0.832618916), abs=1e-9)


@given(labels_and_scores(min_each=2))
def test_independent_variance_is_delongs_definition(cases: Cases):
    labels, scores, _ = cases
    found = variance_of(np.array(labels) == 1, scores, np.arange(len(labels)))
    assert found == pytest.approx(references.roc_auc_variance(labels, scores), abs=1e-14)


@given(labels_and_scores(min_each=2))
def test_clustered_variance_is_obuchowskis_definition(cases: Cases):
    labels, scores, patients = cases
    positive, codes = np.array(labels) == 1, np.unique(patients, return_inverse=True)[1]
    assume(len(set(codes[positive])) > 1 and len(set(codes[~positive])) > 1)
    expected = references.roc_auc_variance(labels, scores, patients)
    assert variance_of(positive, scores, codes) == pytest.approx(expected, abs=1e-14)


def test_covariances_are_those_of_the_definition_on_300_tied_sets():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = int(rng.integers(8, 40))
        labels = np.concatenate([[1, 1, 0, 0], rng.integers(0, 2, n - 4)])
        codes = np.concatenate([[0, 1, 2, 3], rng.integers(0, 6, n - 4)])
        codes = np.unique(codes, return_inverse=True)[1]
        a, b = rng.integers(0, 5, (2, n)) / 4
        for grouping in (None, codes.tolist()):
            alone = np.arange(n) if grouping is None else codes
            found = delong_covariance(labels == 1, np.array([a, b]), alone)
            given = (labels.tolist(), a.tolist(), b.tolist(), grouping)
            assert found[0, 1] == pytest.approx(references.roc_auc_covariance(*given), abs=1e-14)


@given(labels_and_scores(min_each=2))
def test_one_case_per_patient_is_the_form_without_patients(cases: Cases):
    labels, scores, _ = cases
    names = [f"p{i}" for i in range(len(labels))]
    without = roc_auc_interval(y_true=labels, y_score=scores)
    alone = roc_auc_interval(y_true=labels, y_score=scores, patients=names)
    assert ends(alone) == pytest.approx(ends(without), abs=1e-15, nan_ok=True)
    assert (alone.method, alone.reason) == (without.method, without.reason)


@given(labels_and_scores(min_each=2), st.randoms(use_true_random=False))
def test_neither_the_order_of_cases_nor_names_of_patients_matter(cases: Cases, random):
    labels, scores, patients = cases
    order = list(range(len(labels)))
    random.shuffle(order)
    names = [f"{17 * p % 7} x" for p in patients]
    one = roc_auc_interval(y_true=labels, y_score=scores, patients=patients)
    other = roc_auc_interval(
        y_true=[labels[i] for i in order],
        y_score=[scores[i] for i in order],
        patients=[names[i] for i in order],
    )
    # Rounding may differ; where the variance is near 0 it is stretched.
    assert ends(other) == pytest.approx(ends(one), abs=1e-12, nan_ok=True)
    assert (other.value, other.reason) == (one.value, one.reason)


@given(labels_and_scores(min_each=1))
def test_the_interval_of_an_area_holds_it_or_says_why_it_is_missing(cases: Cases):
    labels, scores, patients = cases
    codes = np.unique(patients, return_inverse=True)[1]
    for grouping in (None, codes):
        e = auc_estimate(np.array(labels) == 1, np.array(scores), grouping, level=0.95)
        if e.reason is None:
            assert 0 <= e.low < e.value < e.high <= 1
        elif e.value in (0, 1) and e.method:
            assert 0 <= e.low < e.high <= 1
        else:
            assert math.isnan(e.low)
            assert math.isnan(e.high)


@pytest.mark.parametrize(
    ("positive_patients", "negative_patients", "pairs"),
    [
        ([0, 1, 2], [3, 4, 5, 6], 3),
        ([0, 1, 2, 3, 4], [5, 6], 2),
        ([0, 0, 1, 2], [0, 1, 2], 1),  # three patients: a second pair would share one
        ([0, 1, 2, 3], [0, 1, 2, 3], 2),
    ],
)
def test_a_perfect_area_has_the_exact_bound_of_its_independent_pairs(
    positive_patients, negative_patients, pairs: int
):
    labels = [1] * len(positive_patients) + [0] * len(negative_patients)
    cases = {"y_true": labels, "patients": positive_patients + negative_patients}
    high = roc_auc_interval(y_score=labels, **cases)
    assert (high.value, high.high) == (1.0, 1.0)
    assert high.low == pytest.approx(clopper_pearson(pairs, pairs)[0], abs=1e-12)
    assert f"perfect separation: bound of {pairs} pairs" in (high.reason or "")
    low = roc_auc_interval(y_score=[-label for label in labels], **cases)
    assert (low.value, low.low) == (0.0, 0.0)
    assert low.high == pytest.approx(clopper_pearson(0, pairs)[1], abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "scores", "patients", "reason"),
    [
        ([1, 1], [0.2, 0.9], None, "no negatives"),
        ([0, 0, 0], [0.2, 0.9, 0.3], None, "no positives"),
        ([1, 0, 0], [0.2, 0.9, 0.1], None, "positives of one case only"),
        ([1, 1, 0, 0], [0.2, 0.9, 0.1, 0.5], [0, 0, 1, 2], "positives of one patient only"),
        ([1, 1, 0, 0], [0.5] * 4, None, "estimated variance 0"),
        # Two patients of the same four images: only rounding is left of the variance.
        ([1, 1, 0, 0, 0] * 2, [0.8, 0.3, 0.1, 0.5, 0.6] * 2, [0] * 5 + [1] * 5, "variance 0"),
    ],
)
def test_an_area_without_an_interval_says_why(labels, scores, patients, reason: str):
    codes = None if patients is None else np.array(patients)
    estimate = auc_estimate(np.array(labels) == 1, np.array(scores), codes, level=0.95)
    assert reason in (estimate.reason or "")
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert estimate.method is None
