"""Bands of curves: the vectorised resamples beside a loop over the same patients, and the rules."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings

from seattn.metrics import (
    bootstrap,
    decision_curve,
    net_benefit,
    net_benefit_band,
    pr_band,
    pr_curve,
    roc_band,
    roc_curve,
    share_interval,
)
from seattn.metrics.cases import as_cases
from seattn.metrics.resampling import resampled_counts
from tests.metrics.worked import PATIENTS, A, Y
from tests.strategies import labels_and_scores

WORKED = {"y_true": Y, "y_score": A, "patients": PATIENTS}


def sensitivities(y_true, y_score, at):
    curve = roc_curve(y_true=y_true, y_score=y_score)
    return np.interp(at, curve.fpr, curve.tpr)


def precisions(y_true, y_score, at):
    curve = pr_curve(y_true=y_true, y_score=y_score)
    strictest = [np.flatnonzero(curve.recall >= recall)[-1] for recall in at]
    return curve.precision[strictest]


def benefits(y_true, y_score, at):
    return decision_curve(y_true=y_true, y_score=y_score, thresholds=at).model


def joined(curve, percentiles, ends):
    """The outer ends; those of an ROC curve never fall."""
    low, high = np.fmin(percentiles[0], ends[0]), np.fmax(percentiles[1], ends[1])
    if curve is sensitivities:
        low = np.array([low[: k + 1].max() for k in range(len(low))])
        high = np.array([high[k:].min() for k in range(len(high))])
    return low, high


BANDS = [(roc_band, sensitivities), (pr_band, precisions), (net_benefit_band, benefits)]


def share_ends(curve, y_true, y_score, patients, at, level):
    """Both ends of ``share_interval`` at every place; nan for net benefit, which is no share."""
    labels, scores = np.array(y_true), np.array(y_score)
    of = np.array(patients)
    ends = np.full((2, len(at)), np.nan)
    if curve is sensitivities:
        drawn, among = roc_curve(y_true=labels, y_score=scores), labels == 1
        for k, rate in enumerate(at[:-1]):
            point = np.flatnonzero(drawn.fpr <= rate)[-1]
            for end, place in enumerate((point, point + 1)):
                found = scores[among] >= drawn.thresholds[place]
                share = share_interval(found, patients=of[among], level=level)
                ends[end, k] = (share.low, share.high)[end]
        ends[:, -1] = 1
    if curve is precisions:
        drawn = pr_curve(y_true=labels, y_score=scores)
        for k, recall in enumerate(at):
            strictest = np.flatnonzero(drawn.recall >= recall)[-1]
            called = scores >= drawn.thresholds[strictest]
            share = share_interval(labels[called], patients=of[called], level=level)
            ends[:, k] = share.low, share.high
    return ends


def looped(curve, y_true, y_score, patients, at, resamples):
    """The curve of each resample, its cases written out one by one."""
    cases = as_cases(y_true, {"y_score": y_score}, patients)
    counts = resampled_counts(cases.strata(True), resamples=resamples, seed=0, width=len(y_true))
    rows = []
    for drawn in np.concatenate(list(counts)):
        repeated = np.repeat(np.arange(len(y_true)), drawn[cases.codes].astype(int))
        labels, scores = cases.labels[repeated], cases.scores[0][repeated]
        if 0 < labels.sum() < len(labels) or (curve is not sensitivities and labels.any()):
            rows.append(curve(labels, scores, at))
    return np.array(rows)


@pytest.mark.parametrize(("band_of", "curve"), BANDS)
def test_the_worked_band_is_that_of_a_loop(band_of, curve):
    band = band_of(**WORKED, level=0.9, resamples=1000)
    rows = looped(curve, Y, A, PATIENTS, band.at, 1000)
    ends = share_ends(curve, Y, A, PATIENTS, band.at, 0.9)
    low, high = joined(curve, np.quantile(rows, [0.05, 0.95], axis=0), ends)
    assert band.value == pytest.approx(curve(Y, A, band.at), abs=1e-15)
    assert band.low == pytest.approx(low, abs=1e-14)
    assert band.high == pytest.approx(high, abs=1e-14)
    assert (band.n, band.n_patients, band.level, band.undefined) == (20, 10, 0.9, 0)
    wider = "" if band_of is net_benefit_band else ", Wilson where wider"
    assert band.method == (
        f"stratified patient bootstrap, 1000 resamples, pointwise percentiles{wider}"
    )
    assert band.reason is None


@pytest.mark.parametrize(("band_of", "curve"), BANDS)
@settings(max_examples=40, deadline=None)
@given(cases=labels_and_scores(min_each=3))
def test_every_band_is_that_of_a_loop(band_of, curve, cases):
    labels, scores, of_case = cases
    band = band_of(y_true=labels, y_score=scores, patients=of_case, resamples=100)
    if band.reason is not None:
        assert np.isnan(band.low).all()
        assert np.isnan(band.high).all()
        return
    rows = looped(curve, labels, scores, of_case, band.at, 100)
    ends = share_ends(curve, labels, scores, of_case, band.at, 0.95)
    low, high = joined(curve, np.quantile(rows, [0.025, 0.975], axis=0), ends)
    assert band.undefined == 100 - len(rows)
    assert band.low == pytest.approx(low, abs=1e-13)
    assert band.high == pytest.approx(high, abs=1e-13)


def test_a_band_is_the_bootstrap_interval_at_each_of_its_places():
    band = net_benefit_band(**WORKED, thresholds=[0.3], resamples=200)
    alone = bootstrap(
        lambda *, y_true, y_score: net_benefit(y_true=y_true, y_score=y_score, threshold=0.3),
        **WORKED,
        resamples=200,
    )
    assert (band.value[0], band.low[0], band.high[0]) == (alone.value, alone.low, alone.high)


def test_no_end_of_an_roc_band_falls():
    # Up to a rate of 0.5 one of 60 images is missed, then none: Wilson's interval of 20 patients,
    # of whom nobody is missed, reaches lower than that of 59 of 60 images.
    y_true = [1] * 60 + [0] * 60
    y_score = [0.9] * 59 + [0.5] + [k / 100 for k in range(20, 80)]
    patients = [k // 3 for k in range(120)]
    band = roc_band(y_true=y_true, y_score=y_score, patients=patients)
    wilson = share_ends(sensitivities, y_true, y_score, patients, band.at, 0.95)
    assert np.diff(wilson[0]).min() < -0.05
    assert np.diff(band.low).min() >= 0
    assert np.diff(band.high).min() >= 0


@pytest.mark.parametrize("patients", [66, 200])
def test_the_roc_band_covers_near_a_sensitivity_of_1_too(patients):
    """Of 100 studies with a true area of 0.956; percentiles alone cover in 64 and 86 of 100."""
    rng = np.random.default_rng(0)
    normal, covered = NormalDist(), 0
    shift = math.sqrt(2) * normal.inv_cdf(0.956)
    truth = normal.cdf(shift - normal.inv_cdf(1 - 0.4))
    of_case = np.repeat(np.arange(patients), 3)
    for _ in range(100):
        y_true = (of_case < 0.26 * patients) & (rng.random(3 * patients) < 0.75)
        noise = rng.normal(size=patients)[of_case] + rng.normal(size=3 * patients)
        y_score = noise / math.sqrt(2) + shift * y_true
        band = roc_band(y_true=y_true, y_score=y_score, patients=of_case, resamples=100)
        covered += band.low[40] <= truth <= band.high[40]
    assert covered >= 93


def test_rates_on_a_point_of_the_curve_take_its_upper_end():
    # 1 of 10 negatives above the first positive: at a rate of 0.1 the curve rises.
    band = roc_band(y_true=[0, 1, 1] + 9 * [0], y_score=[3, 2, 2] + 9 * [1])
    assert band.at[9:11].tolist() == [0.09, 0.1]
    assert band.value[9:11].tolist() == [0, 1]


@pytest.mark.parametrize("band_of", [roc_band, pr_band, net_benefit_band])
def test_neither_the_order_of_cases_nor_names_of_patients_nor_chunks_matter(band_of, monkeypatch):
    band = band_of(**WORKED, resamples=100)
    turned = band_of(
        y_true=Y[::-1],
        y_score=A[::-1],
        patients=[f"p{name}" for name in PATIENTS[::-1]],
        resamples=100,
    )
    monkeypatch.setattr("seattn.metrics.resampling._CHUNK", 60)
    cut = band_of(**WORKED, resamples=100)
    for other in (turned, cut):
        assert band.low.tobytes() == other.low.tobytes()
        assert band.high.tobytes() == other.high.tobytes()
    assert band_of(**WORKED, resamples=100, seed=1).low.tobytes() != band.low.tobytes()


def test_without_patients_cases_are_drawn():
    band = roc_band(y_true=Y, y_score=A, resamples=100)
    rows = looped(sensitivities, Y, A, None, band.at, 100)
    ends = share_ends(sensitivities, Y, A, range(20), band.at, 0.95)
    low, high = joined(sensitivities, np.quantile(rows, [0.025, 0.975], axis=0), ends)
    assert band.low == pytest.approx(low, abs=1e-14)
    assert band.high == pytest.approx(high, abs=1e-14)
    assert band.method.startswith("stratified bootstrap of cases, 100 resamples, ")
    assert band.n_patients is None


@pytest.mark.parametrize("band_of", [roc_band, pr_band, net_benefit_band])
@pytest.mark.parametrize(
    ("y_true", "y_score", "patients", "reason"),
    [
        ([1, 1, 0, 0], [0.9, 0.2, 0.4, 0.1], "aabc", "positives of one patient only"),
        ([1, 1, 0, 0], [0.9, 0.2, 0.4, 0.1], "abcc", "negatives of one patient only"),
        ([1, 0, 1, 0, 0], [0.9, 0.2, 0.4, 0.6, 0.1], "aabbc", "one patient alone has no positives"),
        ([1, 0, 0], [0.3, 0.2, 0.4], None, "positives of one case only"),
        ([0, 0, 0], [0.3, 0.2, 0.4], "abc", "no positives"),
        ([1, 1, 1], [0.3, 0.2, 0.4], "abc", "no negatives"),
        ([1, 1, 0, 0], [0.9, 0.9, 0.001, 0.001], "abcd", "the same curve in every resample"),
    ],
)
def test_where_nothing_can_be_drawn_again_there_is_no_band(
    band_of, y_true, y_score, patients, reason
):
    of_case = None if patients is None else list(patients)
    band = band_of(y_true=y_true, y_score=y_score, patients=of_case)
    assert band.reason == reason
    assert band.method is None
    assert np.isnan(band.low).all()
    assert np.isnan(band.high).all()


def test_an_undefined_curve_is_nan():
    assert np.isnan(roc_band(y_true=[0, 0], y_score=[0.1, 0.2]).value).all()
    assert np.isnan(roc_band(y_true=[1, 1], y_score=[0.1, 0.2]).value).all()
    assert np.isnan(pr_band(y_true=[0, 0], y_score=[0.1, 0.2]).value).all()


def test_resamples_without_negatives_are_counted_and_left_out():
    # Every patient has a positive, and only two have a negative.
    cases = {"y_true": [1, 0, 1, 0, 1, 1], "y_score": [0.9, 0.3, 0.6, 0.7, 0.8, 0.2]}
    band = roc_band(**cases, patients=list("aabbcd"))
    assert band.undefined == pytest.approx(2000 * 0.5**4, rel=0.3)
    assert not np.isnan(band.low).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": 1.0}, r"`level` \(=1.0\)"),
        ({"resamples": 10}, r"`resamples` \(=10\)"),
        ({"y_score": [math.nan] * 20}, "`y_score` must be finite"),
        ({"y_score": np.zeros((20, 2))}, "`y_score` has shape"),
        ({"patients": PATIENTS[1:]}, "`patients` has shape"),
    ],
)
def test_what_a_band_cannot_be_made_of_is_an_error(arguments, message):
    for band_of in (roc_band, pr_band, net_benefit_band):
        with pytest.raises(ValueError, match=message):
            band_of(**{**WORKED, **arguments})


def test_a_band_of_net_benefit_needs_probabilities_and_thresholds():
    with pytest.raises(ValueError, match="must be probabilities"):
        net_benefit_band(y_true=[0, 1], y_score=[-1.0, 2.0])
    with pytest.raises(ValueError, match=r"`thresholds` \(=1\)"):
        net_benefit_band(**WORKED, thresholds=[0.5, 1])
    with pytest.raises(ValueError, match="`thresholds` is empty"):
        net_benefit_band(**WORKED, thresholds=[])
