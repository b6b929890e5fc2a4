import math

import numpy as np
import pytest
from hypothesis import assume, given

from seattn.metrics import Estimate, wilson
from seattn.metrics.intervals import auc_estimate, delong_variance, share_estimate
from tests import references
from tests.metrics.worked import PATIENTS, A, B, Y
from tests.strategies import labels_and_scores

Cases = tuple[list[int], list[float], list[int]]
POSITIVE = np.array(Y) == 1
CODES = np.array(PATIENTS) - 1
EACH_ITS_OWN = np.arange(len(Y))


def ends(estimate: Estimate) -> tuple[float, float]:
    return estimate.low, estimate.high


def share(counted, patients=None) -> Estimate:
    codes = None if patients is None else np.array(patients)
    return share_estimate(np.array(counted, bool), codes, level=0.95, undefined="no positives")


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (6, 7, 0.486872171, 0.974320376),
        (11, 13, 0.577653690, 0.956741822),
        (17, 20, 0.639581135, 0.947631254),
        (184, 198, 0.884827905, 0.957417296),
        (0, 10, 0.0, 0.277532800),
        (10, 10, 0.722467200, 1.0),
    ],
)
def test_worked_wilson_intervals(k: int, n: int, low: float, high: float):
    assert wilson(k, n) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("n", [1, 3, 10, 97, 1000])
def test_wilson_ends_are_exactly_0_and_1(n: int):
    assert wilson(0, n)[0] == 0.0
    assert wilson(n, n)[1] == 1.0


def test_a_higher_level_is_wider():
    low, high = wilson(6, 7, level=0.99)
    assert low < wilson(6, 7)[0]
    assert high > wilson(6, 7)[1]


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_counts_that_make_no_share_are_errors(k: int, n: int):
    with pytest.raises(ValueError, match="`successes`"):
        wilson(k, n)


@pytest.mark.parametrize("level", [0, 1, 95, math.nan])
def test_levels_outside_0_to_1_are_errors(level: float):
    with pytest.raises(ValueError, match=r"`level` \(=.*\) must be between 0 and 1"):
        wilson(1, 2, level=level)


@pytest.mark.parametrize(
    ("among", "low", "high"),
    [
        (POSITIVE, 0.472893, 0.975685),
        (~POSITIVE, 0.555364, 0.960347),
        (POSITIVE | ~POSITIVE, 0.639581, 0.947631),  # a design effect below 1 counts as 1
    ],
)
def test_worked_shares_of_patients(among, low: float, high: float):
    right = (np.array(A) >= 0.5) == POSITIVE
    estimate = share(right[among], CODES[among])
    assert estimate.method == "clustered Wilson"
    assert ends(estimate) == pytest.approx((low, high), abs=1e-6)


def test_one_case_per_patient_is_plain_wilson():
    right = (np.array(A) >= 0.5) == POSITIVE
    assert ends(share(right, EACH_ITS_OWN)) == ends(share(right))
    assert share(right, EACH_ITS_OWN).method == "Wilson"


def test_repeated_images_add_no_certainty():
    flags, patients = [1, 0, 1, 1, 0, 1], [0, 1, 2, 3, 4, 5]
    once, thrice = share(flags, patients), share(flags * 3, patients * 3)
    assert share(flags * 3).high - share(flags * 3).low < once.high - once.low
    assert thrice.high - thrice.low > once.high - once.low


def test_a_share_of_all_counts_patients():
    estimate = share([1, 1, 1, 1, 1], [0, 0, 1, 1, 2])
    assert (estimate.low, estimate.high) == wilson(3, 3)
    assert estimate.method == "Wilson, n = patients"
    assert (estimate.n, estimate.n_patients) == (5, 3)


def test_cases_of_one_patient_that_differ_have_no_interval():
    estimate = share([1, 0], [4, 4])
    assert estimate.value == 0.5
    assert math.isnan(estimate.low)
    assert estimate.reason == "all cases of one patient"


def test_a_share_of_nothing_is_nan_with_the_reason():
    estimate = share([])
    assert math.isnan(estimate.value)
    assert estimate.reason == "no positives"


@pytest.mark.parametrize(
    ("scores", "patients", "variance", "low", "high"),
    [
        (A, EACH_ITS_OWN, 0.0029988326691623396, 0.720457428, 0.984978939),
        (B, EACH_ITS_OWN, 0.0065209516, 0.622929266, 0.963282110),
        (A, CODES, 0.0033823294644, 0.699805800, 0.986393738),
        (B, CODES, 0.0042901502910, None, None),
    ],
)
def test_worked_variances_of_the_area(scores, patients, variance: float, low, high):
    found = delong_variance(POSITIVE, np.array(scores), patients)
    assert found == pytest.approx(variance, abs=1e-10)
    if low is not None:
        estimate = auc_estimate(POSITIVE, np.array(scores), patients, level=0.95)
        assert ends(estimate) == pytest.approx((low, high), abs=1e-9)


@given(labels_and_scores(min_each=2))
def test_independent_variance_is_delongs_definition(cases: Cases):
    labels, scores, _ = cases
    found = delong_variance(np.array(labels) == 1, np.array(scores), np.arange(len(labels)))
    assert found == pytest.approx(references.roc_auc_variance(labels, scores), abs=1e-15)


@given(labels_and_scores(min_each=2))
def test_clustered_variance_is_obuchowskis_definition(cases: Cases):
    labels, scores, patients = cases
    positive, codes = np.array(labels) == 1, np.array(patients)
    assume(len(set(codes[positive])) > 1 and len(set(codes[~positive])) > 1)
    codes = np.unique(codes, return_inverse=True)[1]
    found = delong_variance(positive, np.array(scores), codes)
    expected = references.roc_auc_variance(labels, scores, patients)
    assert found == pytest.approx(expected, abs=1e-15)


def test_without_patients_every_case_is_its_own():
    alone = auc_estimate(POSITIVE, np.array(A), None, level=0.95)
    own = auc_estimate(POSITIVE, np.array(A), EACH_ITS_OWN, level=0.95)
    assert ends(alone) == pytest.approx(ends(own), abs=1e-15)
    assert alone.method == "DeLong, logit"
    assert own.method == "clustered DeLong, logit"


@given(labels_and_scores(min_each=1))
def test_the_interval_of_an_area_holds_it_or_says_why_it_is_missing(cases: Cases):
    labels, scores, patients = cases
    codes = np.unique(patients, return_inverse=True)[1]
    for grouping in (None, codes):
        e = auc_estimate(np.array(labels) == 1, np.array(scores), grouping, level=0.95)
        if e.reason is None:
            assert 0 <= e.low < e.value < e.high <= 1
        else:
            assert math.isnan(e.low)
            assert math.isnan(e.high)


@pytest.mark.parametrize(
    ("labels", "scores", "patients", "reason"),
    [
        ([1, 1], [0.2, 0.9], None, "no negatives"),
        ([0, 0, 0], [0.2, 0.9, 0.3], None, "no positives"),
        ([1, 0, 0], [0.2, 0.9, 0.1], None, "positives of one case only"),
        ([1, 1, 0, 0], [0.2, 0.9, 0.1, 0.5], [0, 0, 1, 2], "positives of one patient only"),
        ([1, 1, 0, 0], [0.8, 0.9, 0.1, 0.5], None, "estimated variance 0"),
        ([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.5], None, "estimated variance 0"),
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
