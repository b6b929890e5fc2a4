import pytest
from scipy import special, stats

from seattn.metrics.distributions import (
    beta_quantile,
    chi_squared_tail,
    incomplete_beta,
    normal_quantile,
    normal_two_sided,
    t_quantile,
)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9, 0.95, 0.99, 0.9999])
def test_quantiles_of_t_are_those_of_scipy(level: float):
    for df in (1, 2, 3, 4, 7, 16, 65, 300, 9_999, 10_001, 1_000_000):
        expected = stats.t.ppf((1 + level) / 2, df)
        assert t_quantile(level, df) == pytest.approx(expected, rel=1e-10)
    assert normal_quantile(level) == pytest.approx(stats.norm.ppf((1 + level) / 2), abs=1e-12)


@pytest.mark.parametrize("probability", [0.0005, 0.025, 0.5, 0.975, 0.9995])
def test_quantiles_of_beta_are_those_of_scipy(probability: float):
    for a in (1, 2, 7, 40, 3_000):
        for b in (1, 2, 15, 800, 100_000):
            expected = stats.beta.ppf(probability, a, b)
            assert beta_quantile(probability, a, b) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("x", [0.0, 1e-9, 0.2, 0.5, 0.7, 1.0])
def test_the_incomplete_beta_function_is_scipys(x: float):
    for a in (0.5, 1, 3.5, 60):
        for b in (0.5, 2, 11.5, 200):
            expected = special.betainc(a, b, x)
            assert incomplete_beta(a, b, x, 1 - x) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("x", [0.0, 0.3, 1.96, 5.0, 12.0])
def test_tails_are_those_of_scipy(x: float):
    assert normal_two_sided(-x) == pytest.approx(2 * stats.norm.sf(x), rel=1e-12)
    assert chi_squared_tail(x) == pytest.approx(stats.chi2.sf(x, 1), rel=1e-12)
