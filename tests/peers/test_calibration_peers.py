"""Platt scaling is scikit-learn's, temperature is scipy's minimum of torch's cross-entropy."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.calibration import _SigmoidCalibration
from sklearn.linear_model import LogisticRegression

from seattn.metrics import fit_calibrator


def studies(seed: int, classes: int | None):
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(20, 300)), classes or 2
    labels = rng.integers(0, k, n)
    rows = rng.normal(0, 2, (n, k))
    rows[np.arange(n), labels] += 2
    rows *= rng.choice([0.1, 1.0, 8.0])
    return labels, rows if classes else rows[:, 1] - rows[:, 0]


@pytest.mark.parametrize("seed", range(20))
def test_platt_is_scikit_learns(seed):
    labels, logits = studies(seed, None)
    ours = fit_calibrator(y_true=labels, y_score=logits, method="platt")
    peer = _SigmoidCalibration().fit(logits, labels)  # L-BFGS to a gradient of about 1e-6
    assert ours.apply(logits) == pytest.approx(peer.predict(logits), abs=2e-4)


@pytest.mark.parametrize("seed", range(20))
def test_platt_is_the_logistic_regression_of_its_targets(seed):
    labels, logits = studies(seed, None)
    positives = int(labels.sum())
    t = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    # Each case twice: positive with weight t, negative with weight 1 - t.
    spread = logits.std()
    peer = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=200).fit(
        np.tile(logits / spread, 2)[:, None],
        np.repeat([1, 0], len(t)),
        sample_weight=np.concatenate([t, 1 - t]),
    )
    ours = fit_calibrator(y_true=labels, y_score=logits, method="platt")
    assert ours.slope == pytest.approx(peer.coef_[0, 0] / spread, rel=1e-8)
    assert ours.intercept == pytest.approx(peer.intercept_[0], rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("classes", [None, 2, 5])
@pytest.mark.parametrize("seed", range(10))
def test_temperature_is_the_minimum_of_torchs_cross_entropy(seed, classes):
    labels, logits = studies(seed, classes)
    rows = np.stack([0 * logits, logits], axis=1) if classes is None else logits
    z, y = torch.tensor(rows), torch.tensor(labels)

    def loss(log_temperature: float) -> float:
        return torch.nn.functional.cross_entropy(z / np.exp(log_temperature), y).item()

    peer = minimize_scalar(loss, bounds=(-5, 8), method="bounded", options={"xatol": 1e-10})
    ours = fit_calibrator(y_true=labels, y_score=logits)
    assert np.log(ours.temperature) == pytest.approx(peer.x, abs=1e-6)
    assert loss(np.log(ours.temperature)) <= peer.fun + 1e-15
    p = torch.tensor(ours.apply(logits))
    expected = (z / ours.temperature).softmax(1)
    assert p.numpy() == pytest.approx((expected[:, 1] if classes is None else expected).numpy())
