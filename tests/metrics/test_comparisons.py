import itertools
import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from seattn import metrics
from seattn.metrics import (
    compare_metric,
    crossed_bootstrap,
    delong_test,
    holm,
    mcnemar_test,
    permutation,
    permutation_test,
    resampling,
)
from tests import references
from tests.metrics.test_delong import asah
from tests.metrics.worked import P3, PATIENTS, Y3, A, B, Y
from tests.strategies import labels_and_scores

Cases = tuple[list[int], list[float], list[int]]
TWO = {"y_true": Y, "y_score_a": A, "y_score_b": B}
PREDICTED = {
    "y_true": Y,
    "y_pred_a": [int(s >= 0.5) for s in A],
    "y_pred_b": [int(s >= 0.5) for s in B],
}


# ---- DeLong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patients", "z", "p", "method"),
    [
        (None, 1.397001397, 0.162413151, "paired DeLong"),
        (PATIENTS, 2.836889535, 0.004555537, "clustered paired DeLong"),
    ],
)
def test_the_worked_delong_tests(patients, z: float, p: float, method: str):
    test = delong_test(**TWO, patients=patients)
    assert test.difference == pytest.approx(0.060439560, abs=1e-9)
    assert (test.statistic, test.p_value) == (
        pytest.approx(z, abs=1e-8),
        pytest.approx(p, abs=1e-8),
    )
    assert test.method == method
    # The interval holds 0 if and only if p is above 0.05.
    assert (test.low < 0) == (p > 0.05)
    se = test.difference / test.statistic
    reach = stats.norm.ppf(0.975) * se
    assert (test.low, test.high) == pytest.approx(
        (test.difference - reach, test.difference + reach), abs=1e-12
    )
    assert "see permutation_test" in (test.reason or "")


def test_asah_is_compared_as_by_proc():
    data = asah()
    test = delong_test(y_true=data["poor"], y_score_a=data["s100b"], y_score_b=data["wfns"])
    assert test.statistic == pytest.approx(-2.208983591, abs=1e-9)
    assert test.p_value == pytest.approx(0.02717578223, abs=1e-9)
    assert test.reason is None


@given(labels_and_scores(min_each=3), st.randoms(use_true_random=False))
def test_delong_is_its_definition_in_any_order(cases: Cases, random):
    labels, a, patients = cases
    b = random.sample(a, len(a))
    order = random.sample(range(len(labels)), len(labels))
    for given_patients in (None, patients):
        test = delong_test(y_true=labels, y_score_a=a, y_score_b=b, patients=given_patients)
        names = given_patients and [f"{17 * given_patients[i] % 7}" for i in order]
        shuffled = delong_test(
            y_true=[labels[i] for i in order],
            y_score_a=[a[i] for i in order],
            y_score_b=[b[i] for i in order],
            patients=names,
        )
        assert repr(shuffled) == repr(test)
        if not math.isnan(test.statistic):
            of = [(a, a), (b, b), (a, b)]
            v_a, v_b, c = (
                references.roc_auc_covariance(labels, x, y, given_patients) for x, y in of
            )
            z = test.difference / test.statistic if test.statistic else 0
            assert test.statistic == 0 or z**2 == pytest.approx(v_a + v_b - 2 * c, abs=1e-14)


def test_one_case_per_patient_is_the_delong_test_without_patients():
    alone = delong_test(**TWO, patients=[f"p{i}" for i in range(20)])
    without = delong_test(**TWO)
    assert alone.p_value == pytest.approx(without.p_value, abs=1e-15)
    assert (alone.low, alone.method) == (pytest.approx(without.low, abs=1e-15), without.method)


def test_models_that_rank_alike_have_p_1_and_no_interval():
    test = delong_test(y_true=Y, y_score_a=A, y_score_b=[s**3 for s in A])
    assert (test.difference, test.p_value) == (0, 1)
    assert math.isnan(test.statistic)
    assert math.isnan(test.low)
    assert test.reason == "estimated variance 0: the models rank alike"


@pytest.mark.parametrize(
    ("labels", "a", "b", "reason"),
    [
        ([1, 1, 1], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1], "no negatives"),
        ([1, 0, 0], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1], "no interval: positives of one case only"),
        ([1, 1, 0, 0], [0.8, 0.9, 0.1, 0.2], [0.1, 0.2, 0.8, 0.9], "estimated variance 0"),
    ],
)
def test_a_test_that_is_not_defined_says_why(labels, a, b, reason: str):
    test = delong_test(y_true=labels, y_score_a=a, y_score_b=b)
    assert test.reason == reason
    assert math.isnan(test.p_value)
    assert test.method is None


# ---- swaps ----------------------------------------------------------------------------------


def by_all_swaps(metric, labels, a, b, patients) -> float:
    """By definition: the share of all swaps with a difference as large."""
    everyone = sorted(set(patients))
    found = abs(metric(labels, a) - metric(labels, b))
    as_far = 0
    for swap in itertools.product([False, True], repeat=len(everyone)):
        swapped = [swap[everyone.index(p)] for p in patients]
        x = [t if s else u for s, u, t in zip(swapped, a, b, strict=True)]
        y = [u if s else t for s, u, t in zip(swapped, a, b, strict=True)]
        as_far += abs(metric(labels, x) - metric(labels, y)) >= found - 1e-12
    return as_far / 2 ** len(everyone)


def test_the_worked_swaps():
    test = permutation_test("roc_auc", **TWO, patients=PATIENTS)
    assert test.p_value == 0.1015625
    assert test.method == "exact swaps of 10 patients"
    assert test.difference == pytest.approx(0.060439560, abs=1e-9)
    assert (test.undefined, test.reason, test.n_patients) == (0, None, 10)


@given(labels_and_scores(min_each=1), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_exact_swaps_are_their_definition(cases: Cases, random):
    labels, a, patients = cases
    b = random.sample(a, len(a))
    ranks_a, ranks_b = stats.rankdata(a).tolist(), stats.rankdata(b).tolist()
    cases_of = {"y_true": labels, "y_score_a": a, "y_score_b": b, "patients": patients}
    area = permutation_test("roc_auc", **cases_of)
    assert area.p_value == by_all_swaps(references.roc_auc, labels, ranks_a, ranks_b, patients)
    brier = permutation_test("brier", **cases_of)

    def squared(y_true, y_score):
        return float(np.mean((np.asarray(y_true) - np.asarray(y_score)) ** 2))

    assert brier.p_value == by_all_swaps(squared, labels, a, b, patients)
    looped = permutation_test(squared, **cases_of)
    assert looped.p_value == brier.p_value


def test_random_swaps_come_close_to_the_exact_ones(monkeypatch):
    monkeypatch.setattr(permutation, "_EXACT", 9)
    test = permutation_test("roc_auc", **TWO, patients=PATIENTS)
    assert test.method == "100000 random swaps of patients"
    assert test.p_value == pytest.approx(0.1015625, abs=0.004)
    assert (test.p_value * 100_001) % 1 == pytest.approx(0, abs=1e-6)
    again = permutation_test("roc_auc", **TWO, patients=PATIENTS, seed=1)
    assert again.p_value != test.p_value
    few = permutation_test("roc_auc", **TWO, patients=PATIENTS, swaps=1000)
    monkeypatch.setattr(resampling, "_CHUNK", 3 * 40)  # three swaps, 30 patients
    assert permutation_test("roc_auc", **TWO, patients=PATIENTS, swaps=1000).p_value == few.p_value
    monkeypatch.undo()
    monkeypatch.setattr(permutation, "_EXACT", 9)
    order = np.random.default_rng(0).permutation(20)
    shuffled = {name: np.array(column)[order] for name, column in TWO.items()}
    names = [f"{17 * p % 23}" for p in np.array(PATIENTS)[order]]
    assert repr(permutation_test("roc_auc", **shuffled, patients=names)) == repr(test)


def test_a_random_p_is_never_0():
    y = [1, 0] * 30
    a, b = [float(label) for label in y], [0.5] * 60
    test = permutation_test("accuracy", y_true=y, y_score_a=a, y_score_b=b, swaps=200)
    assert test.p_value == 1 / 201
    assert test.method == "200 random swaps of cases"


def test_only_ranks_within_a_model_can_be_mixed_across_scales():
    scaled = TWO | {"y_score_b": [100 * s - 7 for s in B]}
    assert permutation_test("roc_auc", **scaled, patients=PATIENTS).p_value == 0.1015625
    raw = permutation_test("roc_auc", **scaled, patients=PATIENTS, ranks=False)
    assert raw.p_value != 0.1015625


def test_undefined_swaps_count_against_the_difference():
    test = permutation_test(
        "ppv", y_true=[1, 1, 0], y_score_a=[0.9, 0.1, 0.1], y_score_b=[0.1, 0.1, 0.9]
    )
    # A calls case 0 and B case 2. Swapped in one of the two, one model calls both, the other none.
    assert (test.difference, test.undefined, test.p_value) == (1, 4, 1)
    none = permutation_test("ppv", y_true=[1, 0], y_score_a=[0.1, 0.1], y_score_b=[0.9, 0.1])
    assert math.isnan(none.p_value)
    assert (none.method, none.reason) == (None, "not defined on these cases")


def test_swaps_of_columns_of_classes():
    def found(*, y_true, y_score) -> float:
        return float((y_score.argmax(axis=1) == y_true).mean())

    reversed_columns = [row[::-1] for row in P3]
    for ranks in (None, True):
        test = permutation_test(
            found, y_true=Y3, y_score_a=P3, y_score_b=reversed_columns, ranks=ranks
        )
        assert (test.metric, test.n_patients) == ("found", None)
        assert 0 < test.p_value < 1
    with pytest.raises(ValueError, match="`swaps`"):
        permutation_test("roc_auc", **TWO, swaps=0)


# ---- which method ---------------------------------------------------------------------------


def test_few_patients_are_swapped_and_drawn():
    both = compare_metric("roc_auc", **TWO, patients=PATIENTS)
    drawn = metrics.paired_bootstrap("roc_auc", **TWO, patients=PATIENTS)
    assert (both.low, both.high, both.p_value) == (drawn.low, drawn.high, 0.1015625)
    assert both.method == f"{drawn.method}; exact swaps of 10 patients"


def test_areas_of_thirty_patients_are_compared_by_delong():
    stream = np.random.default_rng(0)
    codes = np.repeat(np.arange(30), 2)
    a, b = stream.standard_normal((2, 60)) + codes % 2
    cases = {"y_true": codes % 2, "y_score_a": a, "y_score_b": b, "patients": codes}
    both = compare_metric("roc_auc", **cases)
    assert both == delong_test(**cases)
    assert (both.method, both.reason) == ("clustered paired DeLong", None)
    fewer = {name: values[:58] for name, values in cases.items()}
    assert "swaps of patients" in (compare_metric("roc_auc", **fewer, swaps=200).method or "")
    other = compare_metric("accuracy", **cases, threshold=0.5, swaps=200)
    assert other.method == (
        "paired stratified patient bootstrap, 2000 resamples, percentile; "
        "200 random swaps of patients"
    )


# ---- McNemar --------------------------------------------------------------------------------


def differing(b: int, c: int) -> dict[str, list[int]]:
    """b cases that only A has right, c that only B has, and three where they agree."""
    return {
        "y_true": [1] * (b + c + 3),
        "y_pred_a": [1] * b + [0] * c + [1, 1, 0],
        "y_pred_b": [0] * b + [1] * c + [1, 1, 0],
    }


@pytest.mark.parametrize(
    ("b", "c", "method", "p"),
    [
        (2, 0, "exact", 0.5),
        (2, 0, "mid-p", 0.25),
        (10, 2, "exact", 0.03857421875),
        (2, 10, "exact", 0.03857421875),
        (10, 2, "mid-p", 0.0224609375),
        (5, 5, "exact", 1.0),
        (5, 5, "mid-p", 0.75390625),
        (0, 0, "exact", 1.0),
        (0, 0, "mid-p", 1.0),
        (0, 0, "chi2", 1.0),
    ],
)
def test_worked_mcnemar_tests(b: int, c: int, method, p: float):
    test = mcnemar_test(**differing(b, c), method=method)
    assert test.p_value == p
    assert (test.only_a, test.only_b, test.n) == (b, c, b + c + 3)
    assert test.difference == pytest.approx((b - c) / (b + c + 3), abs=1e-15)
    assert math.isnan(test.statistic) or method == "chi2"


def test_worked_mcnemar_chi_squared():
    plain = mcnemar_test(**differing(10, 2), method="chi2")
    assert (plain.statistic, plain.p_value) == pytest.approx((5.3333, 0.020921), abs=1e-4)
    corrected = mcnemar_test(**differing(10, 2), method="chi2-corrected")
    assert corrected.statistic == pytest.approx(4.083333, abs=1e-6)
    assert corrected.p_value == pytest.approx(0.043308143, abs=1e-9)
    assert mcnemar_test(**differing(3, 3), method="chi2-corrected").p_value == 1
    assert mcnemar_test(**differing(0, 0), method="chi2").reason == (
        "the models are right in the same cases"
    )


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test_of_scipy(b: int, c: int):
    exact = mcnemar_test(**differing(b, c))
    mid = mcnemar_test(**differing(b, c), method="mid-p")
    if b + c:
        assert exact.p_value == pytest.approx(stats.binomtest(b, b + c).pvalue, rel=1e-12)
        half = stats.binom.pmf(b, b + c, 0.5)
        assert mid.p_value == pytest.approx(exact.p_value - half, abs=1e-12)


def test_mcnemar_of_the_worked_set():
    alone = mcnemar_test(**PREDICTED)
    assert (alone.only_a, alone.only_b, alone.p_value) == (2, 0, 0.5)
    assert (alone.value_a, alone.value_b) == (0.85, 0.75)
    swapped = mcnemar_test(**PREDICTED, patients=PATIENTS)
    assert (swapped.p_value, swapped.method) == (0.5, "McNemar, sign-flip")
    durkalski = mcnemar_test(**PREDICTED, patients=PATIENTS, method="durkalski")
    assert durkalski.statistic == pytest.approx(1.923077, abs=1e-6)
    assert durkalski.p_value == pytest.approx(0.165518, abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 5)), min_size=1))
def test_sign_flips_are_swaps_of_patients(rows):
    a, b, patients = (list(column) for column in zip(*rows, strict=True))
    cases = {"y_true": [1] * len(rows), "patients": patients}
    test = mcnemar_test(**cases, y_pred_a=a, y_pred_b=b)
    swaps = permutation_test("accuracy", **cases, y_score_a=a, y_score_b=b)
    assert test.p_value == pytest.approx(swaps.p_value, abs=1e-12)
    alone = {"y_true": cases["y_true"], "y_pred_a": a, "y_pred_b": b}
    each = mcnemar_test(**alone, patients=[str(i) for i in range(len(a))])
    assert each.p_value == pytest.approx(mcnemar_test(**alone).p_value, abs=1e-15)


def test_durkalski_of_gains_that_cancel_within_patients():
    test = mcnemar_test(
        y_true=[1] * 4,
        y_pred_a=[1, 0, 1, 0],
        y_pred_b=[0, 1, 0, 1],
        patients=[1, 1, 2, 2],
        method="durkalski",
    )
    assert (test.statistic, test.p_value) == (0, 1)


@pytest.mark.parametrize(("patients", "method"), [(None, "sign-flip"), (PATIENTS, "exact")])
def test_mcnemar_methods_fit_the_patients(patients, method):
    with pytest.raises(ValueError, match=r"`method`.*patients"):
        mcnemar_test(**PREDICTED, patients=patients, method=method)


# ---- several models, several seeds ----------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_bonferroni_test(p_values: list[float]):
    indices = range(len(p_values))
    sets = [s for k in indices for s in itertools.combinations(indices, k + 1)]
    closed = [
        max(min(1.0, len(s) * min(p_values[j] for j in s)) for s in sets if i in s) for i in indices
    ]
    assert holm(p_values) == pytest.approx(tuple(closed), abs=1e-15)


def test_holm_leaves_tests_out_that_are_none():
    assert holm([0.01, math.nan, 0.04]) == pytest.approx((0.02, math.nan, 0.04), nan_ok=True)
    assert holm([]) == ()
    with pytest.raises(ValueError, match=r"`p_values` holds 1.2 at index 1"):
        holm([0.1, 1.2])


def seeds_and_patients(seeds: int, patients: int, between_seeds: float):
    """Scores of trainings whose quality differs between seeds, on patients of two images."""
    stream = np.random.default_rng(3)
    codes = np.repeat(np.arange(patients), 2)
    labels = (codes % 2).astype(int)
    quality = 1.5 + between_seeds * np.linspace(-1, 1, seeds)[:, None]
    noise = stream.standard_normal(len(codes)) + 0.2 * stream.standard_normal((seeds, len(codes)))
    return labels, quality * labels + noise, codes


def test_both_variances_of_a_crossed_bootstrap():
    labels, scores, codes = seeds_and_patients(4, 60, between_seeds=0.8)
    cases = {"y_true": labels, "patients": codes}
    found = crossed_bootstrap("roc_auc", **cases, y_score=scores)
    of_seeds = [metrics.roc_auc(y_true=labels, y_score=row) for row in scores]
    assert found.of_seeds == pytest.approx(of_seeds, abs=1e-15)
    assert found.value == pytest.approx(np.mean(of_seeds), abs=1e-15)
    assert found.variance_seeds == pytest.approx(np.var(of_seeds, ddof=1) / 4, abs=1e-15)

    def mean_area(*, y_true, y_score) -> float:
        return float(np.mean([metrics.roc_auc(y_true=y_true, y_score=s) for s in y_score.T]))

    of_patients = metrics.bootstrap(mean_area, **cases, y_score=scores.T, resamples=500)
    spread = (of_patients.high - of_patients.low) / (2 * 1.96)
    assert math.sqrt(found.variance_patients) == pytest.approx(spread, rel=0.15)
    total = math.sqrt(found.variance_seeds + found.variance_patients)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(total, rel=0.2)
    assert found.method == "crossed bootstrap of seeds and patients, 2000 resamples, percentile"


def test_seeds_that_agree_leave_the_bootstrap_of_patients():
    labels, scores, codes = seeds_and_patients(1, 40, between_seeds=0)
    cases = {"y_true": labels, "patients": codes}
    crossed = crossed_bootstrap("brier", **cases, y_score=np.repeat(scores > 1, 3, axis=0))
    alone = metrics.bootstrap("brier", **cases, y_score=(scores > 1)[0])
    assert crossed.variance_seeds == pytest.approx(0, abs=1e-30)
    assert (crossed.low, crossed.high) == pytest.approx((alone.low, alone.high), abs=1e-12)


def test_a_crossed_difference_is_of_the_same_patients():
    labels, scores, codes = seeds_and_patients(4, 60, between_seeds=0.1)
    cases = {"y_true": labels, "patients": codes}
    found = crossed_bootstrap("roc_auc", **cases, y_score=scores, y_score_b=scores[:3] - labels)
    assert len(found.of_seeds_b) == 3
    assert found.value == pytest.approx(np.mean(found.of_seeds) - np.mean(found.of_seeds_b))
    expected = np.var(found.of_seeds, ddof=1) / 4 + np.var(found.of_seeds_b, ddof=1) / 3
    assert found.variance_seeds == pytest.approx(expected, abs=1e-15)
    of_a = crossed_bootstrap("roc_auc", **cases, y_score=scores)
    of_b = crossed_bootstrap("roc_auc", **cases, y_score=scores[:3] - labels)
    assert found.variance_patients < of_a.variance_patients + of_b.variance_patients
    assert found.low < found.value < found.high
    same = crossed_bootstrap("roc_auc", **cases, y_score=scores)
    assert same == of_a


def test_the_unevenness_of_few_seeds_is_not_understated():
    """With all of the variance between seeds, resamples of S seeds have that of S new seeds."""
    labels = np.arange(400) % 2
    scores = [labels * (0.6 + 0.1 * k) + 0.1 for k in range(3)]  # Brier scores differ, areas not
    found = crossed_bootstrap("brier", y_true=labels, y_score=scores, resamples=20_000, level=0.6)
    assert found.variance_patients == pytest.approx(0, abs=1e-30)
    values = np.array(found.of_seeds)
    assert found.variance_seeds == pytest.approx(values.var(ddof=1) / 3)
    # The quintiles of the means of three drawn seeds, stretched by sqrt(3 / 2).
    means = [np.mean(s) for s in itertools.product(values, repeat=3)]
    stretched = values.mean() + math.sqrt(1.5) * (np.array(means) - values.mean())
    assert (found.low, found.high) == pytest.approx(np.quantile(stretched, [0.2, 0.8]), abs=1e-9)


def test_one_training_is_an_error():
    with pytest.raises(ValueError, match=r"`y_score` has shape \(1, 20\).*two trainings or more"):
        crossed_bootstrap("roc_auc", y_true=Y, y_score=[A])
    with pytest.raises(ValueError, match=r"`y_score_b` has shape \(20,\)"):
        crossed_bootstrap("roc_auc", y_true=Y, y_score=[A, B], y_score_b=B)
    with pytest.raises(ValueError, match=r"`y_score\[1\]` must be finite"):
        crossed_bootstrap("roc_auc", y_true=Y, y_score=[A, [math.nan] * 20])


def test_results_are_frozen_and_of_plain_types():
    results = [
        delong_test(**TWO, patients=PATIENTS),
        mcnemar_test(**PREDICTED, patients=PATIENTS),
        permutation_test("roc_auc", **TWO, patients=PATIENTS),
        metrics.paired_bootstrap("roc_auc", **TWO, patients=PATIENTS),
        metrics.bootstrap("roc_auc", y_true=Y, y_score=A, patients=PATIENTS),
        metrics.roc_auc_interval(y_true=Y, y_score=A, patients=PATIENTS),
        crossed_bootstrap("roc_auc", y_true=Y, y_score=[A, B], patients=PATIENTS),
    ]
    for result in results:
        json.dumps(asdict(result))
        with pytest.raises(AttributeError):
            result.n = 3  # type: ignore[misc]
        hash(result)
