import math

import numpy as np
import pytest
from scipy import stats

from seattn.metrics import Estimate, clopper_pearson, share_interval, wilson
from seattn.metrics.proportion import share_estimate
from tests.metrics.worked import PATIENTS, A, Y

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


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (6, 7, 0.421276803, 0.996389703),
        (17, 20, 0.621073173, 0.967929063),
        (0, 10, 0.0, 0.308497108),
        (184, 198, 0.884210566, 0.960807035),
    ],
)
def test_worked_clopper_pearson_intervals(k: int, n: int, low: float, high: float):
    assert clopper_pearson(k, n) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 20, 198, 5000])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_clopper_pearson_has_the_quantiles_of_scipy(n: int, level: float):
    for k in {0, 1, n // 3, n // 2, n - 1, n}:
        low, high = clopper_pearson(k, n, level=level)
        tail = (1 - level) / 2
        assert low == pytest.approx(stats.beta.ppf(tail, k, n - k + 1) if k else 0.0, abs=1e-12)
        assert high == pytest.approx(
            stats.beta.ppf(1 - tail, k + 1, n - k) if k < n else 1.0, abs=1e-12
        )


def test_clopper_pearson_wants_whole_cases():
    with pytest.raises(ValueError, match="must be integers"):
        clopper_pearson(1.5, 3)  # type: ignore[arg-type]


def test_a_higher_level_is_wider():
    low, high = wilson(6, 7, level=0.99)
    assert low < wilson(6, 7)[0]
    assert high > wilson(6, 7)[1]


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_counts_that_make_no_share_are_errors(k: int, n: int):
    for interval in (wilson, clopper_pearson):
        with pytest.raises(ValueError, match="`successes`"):
            interval(k, n)


@pytest.mark.parametrize("level", [0, 1, 95, math.nan])
def test_levels_outside_0_to_1_are_errors(level: float):
    for interval in (wilson, clopper_pearson):
        with pytest.raises(ValueError, match=r"`level` \(=.*\) must be between 0 and 1"):
            interval(1, 2, level=level)
    with pytest.raises(ValueError, match="`level`"):
        share_interval([1, 0], level=level)


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


def test_share_interval_takes_names_and_any_order():
    right = ((np.array(A) >= 0.5) == POSITIVE).astype(int)
    names = [f"patient {10 - p}" for p in PATIENTS]
    found = share_interval(right[::-1], patients=names[::-1])
    assert ends(found) == pytest.approx(ends(share(right, CODES)), abs=1e-15)
    assert (found.n, found.n_patients) == (20, 10)


def test_share_interval_refuses_what_is_no_flag():
    with pytest.raises(ValueError, match=r"`counted`.*labels must be 0 or 1"):
        share_interval([0, 1, 2])
    with pytest.raises(ValueError, match="`counted` is empty"):
        share_interval([])
