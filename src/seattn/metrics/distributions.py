"""Quantiles and tails of the normal, t, beta and chi-squared distributions, without scipy."""

import math
from statistics import NormalDist

__all__ = [
    "beta_quantile",
    "chi_squared_tail",
    "incomplete_beta",
    "normal_quantile",
    "normal_two_sided",
    "t_quantile",
]


def normal_quantile(level: float) -> float:
    """The z for which a standard normal lies in [-z, z] with probability ``level``."""
    return NormalDist().inv_cdf((1 + level) / 2)


def normal_two_sided(z: float) -> float:
    """The probability that a standard normal is as far from 0 as z, or farther."""
    return math.erfc(abs(z) / math.sqrt(2))


def chi_squared_tail(x: float) -> float:
    """The probability that a chi-squared variable of one degree of freedom exceeds x."""
    return math.erfc(math.sqrt(x / 2))


def t_quantile(level: float, df: float) -> float:
    """The t for which Student's t of ``df`` degrees of freedom lies in [-t, t] with ``level``."""
    z = normal_quantile(level)
    if df > 1e4:  # Cornish and Fisher's expansion, where the gamma functions lose digits
        return z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)
    # The tail is convex, and z lies below t: Newton's steps from there rise to the root.
    t, outside = z, 1 - level
    log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    for _ in range(100):
        tail = incomplete_beta(df / 2, 0.5, df / (df + t * t), t * t / (df + t * t))
        density = math.exp(log_scale - (df + 1) / 2 * math.log1p(t * t / df))
        step = (tail - outside) / (2 * density)
        t += step
        if abs(step) <= 1e-14 * t:
            break
    return t


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The x below which a beta variable lies with this probability, for a and b of 1 or more."""
    low, high, x = 0.0, 1.0, a / (a + b)
    log_scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    for _ in range(100):
        excess = incomplete_beta(a, b, x, 1 - x) - probability
        low, high = (low, x) if excess > 0 else (x, high)
        log_density = log_scale + (a - 1) * math.log(x) + (b - 1) * math.log1p(-x)
        new = x - excess / math.exp(log_density) if log_density > -700 else -1.0
        new = new if low < new < high else (low + high) / 2
        done = abs(new - x) <= 1e-15 * x
        x = new
        if done:
            break
    return x


def incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction.

    Both x and y = 1 - x are given, so that neither loses digits near 1. NIST DLMF 8.17.22.
    """
    if x <= 0 or y <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, that of the other side
        return 1 - incomplete_beta(b, a, y, x)
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y)
    )
    # Lentz's evaluation from the front: numerators d_1, d_2, ..., all denominators 1.
    fraction, c, d = 1.0, 1.0, 0.0
    for k in range(1, 10_000):
        m, odd = divmod(k, 2)
        top = -(a + m) * (a + b + m) if odd else m * (b - m)
        numerator = top * x / ((a + k - 1) * (a + k))
        d, c = 1 / (1 + numerator * d), 1 + numerator / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return math.exp(log_front) / (a * fraction)
