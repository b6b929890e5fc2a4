import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seattn import metrics
from seattn.metrics import bootstrap, paired_bootstrap, resampling, weighted_line
from seattn.metrics.calibration_line import fit_line
from seattn.metrics.cases import as_cases
from seattn.metrics.clusters import canonical_order
from seattn.metrics.count_metrics import COUNT_METRICS
from seattn.metrics.resampling import resampled_counts
from seattn.metrics.weighted import metric_name, weighted_metric
from tests.metrics.worked import P3, PATIENTS, Y3, A, B, Y
from tests.strategies import labels_and_scores

Cases = tuple[list[int], list[float], list[int]]
WORKED = {"y_true": Y, "y_score": A, "patients": PATIENTS}
PAIRED = {"y_true": Y, "y_score_a": A, "y_score_b": B, "patients": PATIENTS}
OF_SCORES = ["roc_auc", "average_precision", "brier", "brier_skill", "log_loss"]
NAMES = [*OF_SCORES, *COUNT_METRICS]
POINTS = [name for name in NAMES if hasattr(metrics, name)]


def point(name: str, labels, scores) -> float:
    """The metric's own function."""
    given_to = {"y_score": scores} if name in OF_SCORES else {"y_pred": np.asarray(scores) >= 0.5}
    return getattr(metrics, name)(y_true=labels, **given_to)


@given(labels_and_scores(), st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6)))
def test_the_fast_forms_are_the_functions_on_repeated_cases(cases: Cases, draws):
    labels, scores, patients = cases
    codes = np.array(patients)
    forms = {
        name: weighted_metric(name, np.array(labels), np.array(scores), codes, threshold=None)
        for name in POINTS
    }
    for draw in [*draws, [1] * 6]:
        counts = np.array([draw], dtype=float)[:, : codes.max() + 1]
        rows = np.repeat(np.arange(len(labels)), counts[0, codes].astype(int))
        for name, form in forms.items():
            expected = math.nan
            if rows.size:
                expected = point(name, np.array(labels)[rows], np.array(scores)[rows])
            if math.isinf(expected):  # the log loss, which has no difference then
                expected = math.nan
            assert form(counts)[0] == pytest.approx(expected, abs=1e-12, nan_ok=True), name


@given(labels_and_scores(), st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6)))
def test_lines_and_benefits_are_those_of_repeated_cases(cases: Cases, draws):
    labels, scores, patients = (np.array(each) for each in cases)
    for these in (scores, 0.02 + 0.96 * scores):  # with and without infinite logits
        forms = {
            name: weighted_metric(name, labels, these, patients, threshold=0.3)
            for name in ("calibration_intercept", "calibration_slope", "net_benefit")
        }
        for draw in [*draws, [1] * 6]:
            counts = np.array([draw, draw], dtype=float)[:, : patients.max() + 1]
            rows = np.repeat(np.arange(len(labels)), counts[0, patients].astype(int))
            intercept = slope = benefit = math.nan
            if rows.size:
                repeated = {"y_true": labels[rows], "y_score": these[rows]}
                line = metrics.recalibration(**repeated)
                intercept, slope = line.intercept, line.slope
                benefit = metrics.net_benefit(**repeated, threshold=0.3)
            found = [form(counts) for form in forms.values()]
            expected = [intercept, slope, benefit]
            for pair, value in zip(found, expected, strict=True):
                assert pair == pytest.approx([value] * 2, rel=1e-6, abs=1e-7, nan_ok=True)


def test_a_fit_that_the_shared_steps_do_not_find_is_made_by_itself(monkeypatch):
    """The shared steps begin among many wrong cases; the resample has one, and a steep slope."""
    labels = np.array([0] * 30 + [1] * 30)
    logits = np.where(labels == 1, 1, -1) * np.tile(np.linspace(0.5, 12, 30), 2)
    logits[0], logits[1:20] = 0.6, -logits[1:20]
    scores = 1 / (1 + np.exp(-logits))
    form = weighted_metric("calibration_slope", labels, scores, np.arange(60), threshold=None)
    fits = []
    monkeypatch.setattr(
        weighted_line, "fit_line", lambda *cases: fits.append(cases) or fit_line(*cases)
    )
    kept = np.delete(np.arange(60), np.arange(1, 20))
    counts = np.isin(np.arange(60), kept).astype(float)[None]
    expected = metrics.recalibration(y_true=labels[kept], y_score=scores[kept]).slope
    assert form(counts)[0] == pytest.approx(expected, rel=1e-9)
    assert len(fits) == 1


def test_more_undefined_resamples_than_a_tail_leave_no_interval():
    """Without a false positive the ratio has no bound: what is left out is one tail."""
    ratio = bootstrap("positive_likelihood_ratio", **WORKED)
    assert ratio.undefined > 50
    assert math.isnan(ratio.low)
    assert ratio.reason == f"no interval: {ratio.undefined} of 2000 resamples undefined"
    wide = bootstrap("positive_likelihood_ratio", **WORKED, level=0.5)
    assert wide.reason == f"{ratio.undefined} resamples undefined, left out"


def test_likelihood_ratios_youden_and_kappa_of_the_worked_table():
    tp, fp, tn, fn = (np.array([a, b], float) for a, b in [(6, 5), (2, 3), (11, 10), (1, 2)])
    for name, expected in {
        "positive_likelihood_ratio": [5.571428571, 3.095238095],
        "negative_likelihood_ratio": [0.168831169, 0.371428571],
        "youden_j": [0.703296703, 0.483516484],
        "kappa": [0.680851064, 0.468085106],
    }.items():
        assert COUNT_METRICS[name](tp, fp, tn, fn) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("patients", [PATIENTS, None])
def test_names_functions_and_loops_agree(name: str, patients):
    cases = {"y_true": Y, "y_score": A, "patients": patients, "resamples": 150}
    fast = bootstrap(name, **cases)
    looped = bootstrap(lambda y_true, y_score: point(name, y_true, y_score), **cases)
    ours = bootstrap(getattr(metrics, name), **cases)
    assert ours == fast
    for found, expected in [(fast.value, looped.value), (fast.low, looped.low)]:
        assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert fast.high == pytest.approx(looped.high, abs=1e-12, nan_ok=True)
    assert fast.undefined == looped.undefined


def test_the_worked_intervals():
    """Published for another stream of random numbers: the ends differ by a step or two."""
    stratified = bootstrap("roc_auc", **WORKED)
    assert stratified.value == 84.5 / 91
    assert (stratified.low, stratified.high) == pytest.approx((0.77762, 1.0), abs=0.02)
    assert (stratified.undefined, stratified.reason) == (0, None)
    assert stratified.method == "stratified patient bootstrap, 2000 resamples, percentile"
    plain = bootstrap("roc_auc", **WORKED, stratified=False)
    assert (plain.low, plain.high) == pytest.approx((0.75, 1.0), abs=0.02)
    # No patient with a positive is drawn in 0.6 ** 10 = 0.6 % of the resamples, 12.1 of 2000.
    assert 2 <= plain.undefined <= 25
    assert plain.reason == f"{plain.undefined} resamples undefined, left out"
    difference = paired_bootstrap("roc_auc", **PAIRED, stratified=False)
    assert difference.difference == pytest.approx(0.060439560, abs=1e-9)
    assert (difference.low, difference.high) == pytest.approx((-0.01204, 0.11905), abs=0.01)
    assert math.isnan(difference.p_value)


def test_strata_keep_their_sizes_and_patients_are_drawn_alike():
    strata = np.arange(12) < 4
    counts = np.concatenate(list(resampled_counts(strata, resamples=4000, seed=5, width=12)))
    assert (counts[:, :4].sum(axis=1) == 4).all()
    assert (counts[:, 4:].sum(axis=1) == 8).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(12), abs=0.06)
    for members, size in [(counts[:, :4], 4), (counts[:, 4:], 8)]:
        assert members.var(axis=0) == pytest.approx(np.full(size, 1 - 1 / size), abs=0.08)
        assert np.corrcoef(members.T)[0, 1] == pytest.approx(-1 / (size - 1), abs=0.06)


def test_strata_are_drawn_apart():
    strata = np.arange(10) < 5
    counts = np.concatenate(list(resampled_counts(strata, resamples=500, seed=5, width=10)))
    assert not (counts[:, :5] == counts[:, 5:]).all(axis=1).mean() > 0.1


@pytest.mark.parametrize("width", [1, 2**17 // 3, 2**17 // 7, 2**17])
def test_counts_do_not_depend_on_chunks(width: int):
    strata = np.arange(10) < 3  # odd numbers of draws, of which a generator may keep a half
    drawn = resampled_counts(strata, resamples=50, seed=5, width=width)
    whole = resampled_counts(strata, resamples=50, seed=5, width=1)
    assert (np.concatenate(list(drawn)) == np.concatenate(list(whole))).all()


@pytest.mark.parametrize("name", NAMES)
def test_values_do_not_depend_on_how_many_are_computed_together(name: str):
    stream = np.random.default_rng(0)
    labels, scores = stream.integers(0, 2, 600), stream.random(600)
    form = weighted_metric(name, labels, scores, np.arange(600) // 3, threshold=None)
    counts = stream.integers(0, 4, (64, 200)).astype(float)
    one_by_one = [form(row[None])[0] for row in counts]
    assert form(counts).tolist() == one_by_one


@pytest.mark.parametrize(
    "name", ["roc_auc", "average_precision", "log_loss", "brier_skill", "calibration_slope", "f1"]
)
@pytest.mark.parametrize("chunk", [1, 20 * 7, 2**20])
def test_chunks_do_not_change_a_bit(name: str, chunk: int, monkeypatch):
    rng = np.random.default_rng(1)
    cases = {"y_true": Y, "y_score": rng.random(20), "patients": PATIENTS, "resamples": 333}
    expected = bootstrap(name, **cases)
    monkeypatch.setattr(resampling, "_CHUNK", chunk)
    assert bootstrap(name, **cases) == expected


def test_another_process_gives_the_same_bits():
    program = (
        "from seattn.metrics import bootstrap; from tests.metrics.worked import PATIENTS, A, Y\n"
        "for name in ('roc_auc', 'brier'):\n"
        "    e = bootstrap(name, y_true=Y, y_score=A, patients=PATIENTS, seed=7)\n"
        "    print(e.low.hex(), e.high.hex())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    here = [bootstrap(name, **WORKED, seed=7) for name in ("roc_auc", "brier")]
    assert ran.stdout.split() == [end.hex() for e in here for end in (e.low, e.high)]
    assert bootstrap("brier", **WORKED, seed=8) != dataclasses.replace(here[1], seed=8)


@given(labels_and_scores(min_each=2), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_neither_the_order_of_cases_nor_names_of_patients_change_a_bit(cases: Cases, random):
    labels, scores, patients = cases
    order = list(range(len(labels)))
    random.shuffle(order)
    names = [f"{17 * p % 7} x" for p in patients]
    for name in ("roc_auc", "brier"):
        for given_patients, given_names in [(patients, names), (None, None)]:
            one = bootstrap(
                name, y_true=labels, y_score=scores, patients=given_patients, resamples=100
            )
            other = bootstrap(
                name,
                y_true=[labels[i] for i in order],
                y_score=[scores[i] for i in order],
                patients=given_names and [given_names[i] for i in order],
                resamples=100,
            )
            assert repr(other) == repr(one)


@given(labels_and_scores())
def test_the_canonical_order_keeps_cases_and_patients_together(cases: Cases):
    labels, scores, patients = (np.array(column) for column in cases)
    order, codes = canonical_order(np.unique(patients, return_inverse=True)[1], labels, scores)
    assert sorted(order) == list(range(len(labels)))
    pairs = set(zip(codes, patients[order], strict=True))
    assert len(pairs) == len(set(patients)) == codes.max() + 1


def test_a_function_gets_the_columns_of_classes():
    def found(*, y_true, y_score) -> float:
        return float((y_score.argmax(axis=1) == y_true).mean())

    estimate = bootstrap(found, y_true=Y3, y_score=P3, resamples=200)
    assert estimate.value == 0.75
    assert 0 < estimate.low < 0.75 < estimate.high <= 1
    assert estimate.method == "stratified bootstrap of cases, 200 resamples, percentile"
    assert estimate.n_patients is None


@pytest.mark.parametrize(
    ("metric", "labels", "scores", "patients", "reason"),
    [
        ("roc_auc", [1, 1, 0, 0], [0.8, 0.9, 0.1, 0.5], None, "same value in every resample"),
        ("roc_auc", [1, 1, 1], [0.8, 0.9, 0.1], None, "not defined on these cases"),
        ("roc_auc", [1, 1, 0, 0], [0.2, 0.9, 0.1, 0.5], [0, 0, 1, 2], "a stratum of one patient"),
        ("ppv", [1, 1, 0, 0], [0.2, 0.3, 0.1, 0.4], None, "not defined on these cases"),
    ],
)
def test_an_interval_that_is_missing_says_why(metric: str, labels, scores, patients, reason: str):
    estimate = bootstrap(metric, y_true=labels, y_score=scores, patients=patients)
    assert reason in (estimate.reason or "")
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert estimate.method is None


def test_both_models_are_drawn_together():
    gain = paired_bootstrap("accuracy", **PAIRED)
    alone = bootstrap("accuracy", **WORKED)
    assert (gain.value_a, gain.value_b) == (0.85, 0.75)
    assert gain.high - gain.low < alone.high - alone.low
    same = paired_bootstrap("brier", **(PAIRED | {"y_score_b": A}))
    assert same.difference == 0
    assert same.reason == "no interval: the same value in every resample"


def test_a_threshold_is_of_any_scores_when_it_is_given():
    logits = [math.log(s / (1 - s)) for s in A]
    given_threshold = bootstrap("f1", **(WORKED | {"y_score": logits}), threshold=0.0)
    assert given_threshold == bootstrap("f1", **WORKED)
    with pytest.raises(ValueError, match=r"probabilities in \[0, 1\]"):
        bootstrap("f1", **(WORKED | {"y_score": logits}))
    with pytest.raises(ValueError, match=r"probabilities in \[0, 1\]"):
        bootstrap("brier", **(WORKED | {"y_score": logits}), threshold=0.0)


def test_arguments_that_are_wrong_are_named():
    with pytest.raises(ValueError, match="`metric` 'auroc' is not one of roc_auc, average_prec"):
        bootstrap("auroc", **WORKED)
    with pytest.raises(ValueError, match=r"`resamples` \(=99\) must be 100 or more"):
        bootstrap("roc_auc", **WORKED, resamples=99)
    with pytest.raises(ValueError, match="`level`"):
        bootstrap("roc_auc", **WORKED, level=95)
    with pytest.raises(ValueError, match="`metric` 'roc_auc' needs one score per case"):
        bootstrap("roc_auc", y_true=Y3, y_score=P3)
    with pytest.raises(ValueError, match="`y_score_b` must be finite"):
        paired_bootstrap("roc_auc", **(PAIRED | {"y_score_b": [math.nan, *B[1:]]}))
    with pytest.raises(ValueError, match=r"one shape, not `y_score_a` \(20, 2\), `y_score_b`"):
        paired_bootstrap(len, **(PAIRED | {"y_score_a": [[1 - s, s] for s in A]}))


def test_a_function_of_somebody_else_is_called_whatever_its_name():
    def roc_auc(*, y_true, y_score) -> float:
        return float(y_score[0] * 0 + 0.25)

    assert metric_name(roc_auc) is None
    assert bootstrap(roc_auc, **WORKED, resamples=100).value == 0.25
    assert metric_name(metrics.sensitivity) == metric_name("recall") == "sensitivity"
    assert metric_name(metrics.ppv) == "ppv"


def test_cases_share_one_order():
    cases = as_cases(Y, {"y_score_a": A, "y_score_b": B}, PATIENTS)
    assert cases.n_patients == 10
    together = sorted(zip(Y, A, B, strict=True))
    found = zip(cases.labels.tolist(), *(s.tolist() for s in cases.scores), strict=True)
    assert sorted(found) == together
