"""Solids and filters of the phantom against closed forms and scipy."""

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from seattn.data.phantom.shapes import (
    blend,
    capsule,
    coverage,
    ellipsoid,
    ramp,
    rotate,
    rotation,
    smooth_max,
    smooth_min,
)
from seattn.data.phantom.texture import (
    Waves,
    blur,
    running_mean,
    scanner_noise,
    trabeculae,
    upsample,
)

angles = st.tuples(*[st.floats(-180, 180)] * 3)


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(0, 20, (3, 500)).astype(np.float32)


def test_a_ball_is_a_capsule_and_an_ellipsoid(points):
    expected = np.linalg.norm(points - [[1], [2], [3]], axis=0) - 5
    ball = ellipsoid(points, (1, 2, 3), (5, 5, 5))
    np.testing.assert_allclose(ball, expected, atol=1e-3)
    rod = capsule(points, (1, 2, 3), (1, 2, 3.0001), (5, 5))
    np.testing.assert_allclose(rod, expected, atol=1e-3)


def test_a_capsule_is_measured_from_its_axis(points):
    t = np.linspace(0, 1, 2001)
    axis = np.array([[0], [0], [-10]]) * (1 - t) + np.array([[5], [0], [20]]) * t
    nearest = np.linalg.norm(points[:, :, None] - axis[:, None], axis=0).min(axis=1)
    np.testing.assert_allclose(
        capsule(points, (0, 0, -10), (5, 0, 20), (4, 4)), nearest - 4, atol=1e-2
    )


def test_a_squeezed_capsule_is_broader_across():
    surface = np.array([[6], [0], [0]], np.float32)
    assert capsule(surface, (0, 0, -9), (0, 0, 9), (3, 3), squeeze=(2, 1, 1))[0] == 0


def test_an_ellipsoid_vanishes_on_its_surface(points):
    radii = np.array([3, 5, 8], np.float32)
    on = points / np.linalg.norm(points, axis=0) * radii[:, None]
    np.testing.assert_allclose(ellipsoid(on, (0, 0, 0), radii), 0, atol=1e-4)


@given(st.floats(-9, 9), st.floats(-9, 9), st.floats(0.1, 6))
def test_smooth_union_is_within_a_quarter_width_of_the_minimum(a, b, width):
    a, b = np.float32([a]), np.float32([b])
    low = np.minimum(a, b)
    assert low - width / 4 - 1e-5 <= smooth_min(a, b, width) <= low + 1e-5
    assert smooth_max(a, b, width) == -smooth_min(-a, -b, width)


def test_coverage_of_a_straight_edge_conserves_area():
    x = np.arange(-20, 20, 0.25, dtype=np.float32)
    for edge in (0, 0.1, 0.37):
        assert coverage(x - edge, 1).sum() * 0.25 == pytest.approx(20 + edge, abs=0.13)


def test_ramp_and_blend_are_straight_lines():
    np.testing.assert_array_equal(ramp(np.float32([1, 2, 3, 4, 5]), 2, 2), [0, 0, 0.5, 1, 1])
    np.testing.assert_array_equal(
        blend(np.float32([2, 2, 2]), 6, np.float32([0, 0.5, 1])), [2, 4, 6]
    )


@given(angles)
def test_rotation_is_orthogonal_and_right_handed(degrees):
    matrix = rotation(degrees)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-5)


def test_rotations_apply_about_x_then_y_then_z():
    np.testing.assert_allclose(rotation((90, 0, 0)) @ [0, 1, 0], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(rotation((90, 90, 0)) @ [0, 1, 0], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(rotation((90, 90, 90)) @ [0, 1, 0], [0, 1, 0], atol=1e-6)


@given(angles)
def test_rotate_leaves_the_centre_and_is_undone_by_the_transpose(degrees):
    p = np.random.default_rng(0).normal(0, 20, (3, 10)).astype(np.float32)
    matrix, centre = rotation(degrees), (3.0, -4.0, 5.0)
    turned = rotate(p, matrix, centre)
    assert turned.dtype == np.float32
    np.testing.assert_allclose(rotate(turned, matrix.T, centre), p, atol=1e-4)
    np.testing.assert_allclose(turned.T - centre, (p.T - centre) @ matrix.T, atol=1e-4)


# --- fields and filters


def test_waves_are_smooth_with_unit_deviation():
    grid = np.random.default_rng(0).uniform(-300, 300, (3, 4000)).astype(np.float32)
    for seed in range(5):
        field = Waves.draw(np.random.default_rng(seed), (20, 60))
        assert np.std(field(grid)) == pytest.approx(1, abs=0.1)
        step = np.abs(field(grid + np.float32(0.1)) - field(grid)).max()
        assert step < 0.2  # at most 4 waves, each 0.707 * 2 pi / 20 per mm along the diagonal


@pytest.mark.parametrize("sigma", [0.35, 0.6, 0.9])
def test_blur_is_the_truncated_gaussian_of_scipy(sigma):
    image = np.random.default_rng(0).normal(size=(33, 33)).astype(np.float32)
    expected = scipy.ndimage.gaussian_filter(image, sigma, mode="nearest", radius=3)
    np.testing.assert_allclose(blur(image, sigma), expected, atol=1e-5)


@pytest.mark.parametrize("width", [5, 9])
def test_running_mean_is_the_uniform_filter_of_scipy(width):
    values = np.random.default_rng(0).normal(size=40).astype(np.float32)
    expected = scipy.ndimage.uniform_filter1d(values, width, mode="nearest")
    np.testing.assert_allclose(running_mean(values, width), expected, atol=1e-6)


@pytest.mark.parametrize(("step", "size"), [(1, 32), (2, 64), (2, 65), (4, 33), (7, 50)])
def test_upsampling_is_exact_on_a_bilinear_surface(step, size):
    def surface(n, spacing):
        y, x = np.mgrid[:n, :n] * np.float32(spacing)
        return (3 * y - 2 * x + 0.1 * x * y + 1).astype(np.float32)

    coarse = surface((size - 1) // step + 2, step)
    fine = upsample(coarse, step, size)
    assert fine.dtype == np.float32
    np.testing.assert_allclose(fine, surface(size, 1), rtol=1e-5, atol=1e-3)


def test_trabeculae_are_fixed_in_mm():
    fine, coarse = (trabeculae(n, spacing, (0.9, 0.3)) for n, spacing in ((128, 0.25), (64, 0.5)))
    np.testing.assert_array_equal(coarse, fine[::2, ::2])


@pytest.mark.parametrize("spacing", [0.2, 0.26, 0.6])
def test_trabeculae_are_about_a_millimetre_wide(spacing):
    texture = trabeculae(256, spacing, (0.9, 0.3))
    assert abs(texture.mean()) < 0.3
    lag = round(3 / spacing)  # at 3 mm the pattern has forgotten itself, at 0.6 mm it has not
    near = round(0.6 / spacing)
    assert abs(np.corrcoef(texture[:, lag:].ravel(), texture[:, :-lag].ravel())[0, 1]) < 0.15
    assert np.corrcoef(texture[:, near:].ravel(), texture[:, :-near].ravel())[0, 1] > 0.3


def test_scanner_noise_has_unit_deviation_and_wraps():
    noise = scanner_noise(512, (0.99, 0.5))
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.02)
