"""Implicit solids: functions from points to signed distances in mm, negative inside.

Points are float32 arrays of shape (3, n). The distances are exact for spheres and capsules and
close to it near the surface of everything else, which is all that a partial-volume ramp needs.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = [
    "Array",
    "Mask",
    "Pixels",
    "Triple",
    "Vector",
    "blend",
    "capsule",
    "coverage",
    "ellipsoid",
    "ramp",
    "rotate",
    "rotation",
    "smooth_max",
    "smooth_min",
]

Array = npt.NDArray[np.float32]  # values at points
Vector = npt.NDArray[np.float64]  # a position or a direction
Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.intp]  # flat indices into a square image
Triple = Sequence[float] | Array | Vector


def capsule(
    p: Array,
    start: Triple,
    end: Triple,
    radii: tuple[float, float],
    *,
    squeeze: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Array:
    """A rod with a radius at either end, its cross-section stretched by ``squeeze``."""
    axis = [b - a for a, b in zip(start, end, strict=True)]
    offset = [x - a for x, a in zip(p, start, strict=True)]
    along = sum(a * x for a, x in zip(axis, offset, strict=True)) / sum(a * a for a in axis)
    along = np.clip(along, 0, 1)
    across = [(x - a * along) / s for a, x, s in zip(axis, offset, squeeze, strict=True)]
    return np.sqrt(_norm2(across)) - (radii[0] + (radii[1] - radii[0]) * along)


def ellipsoid(p: Array, centre: Triple, radii: Triple) -> Array:
    """An ellipsoid with its axes along x, y and z."""
    unit = [(x - c) / r for x, c, r in zip(p, centre, radii, strict=True)]
    length = np.sqrt(_norm2(unit))
    gradient = np.sqrt(_norm2([u / r for u, r in zip(unit, radii, strict=True)]))
    return length * (length - 1) / (gradient + 1e-6)


def smooth_min(a: Array, b: Array, width: float) -> Array:
    """The union of two solids, with a fillet of ``width`` mm where they meet."""
    h = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    return b + (a - b) * h - width * h * (1 - h)


def smooth_max(a: Array, b: Array, width: float) -> Array:
    """The intersection of two solids, with its edge rounded over ``width`` mm."""
    return -smooth_min(-a, -b, width)


def coverage(distance: Array, width: float) -> Array:
    """The part of a pixel that lies inside: partial volume as a ramp of ``width`` mm."""
    return np.clip(0.5 - distance / width, 0, 1)


def blend(under: Array, over: Array | float, opacity: Array | float) -> Array:
    """``over`` laid on ``under``."""
    return under + (over - under) * opacity


def ramp(x: Array, start: float, length: float) -> Array:
    """0 up to ``start``, 1 from ``start + length`` on, straight in between."""
    return np.clip((x - start) / length, 0, 1)


def rotation(degrees: Triple) -> Array:
    """The 3 x 3 matrix that turns about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return (about_z @ about_y @ about_x).astype(np.float32)


def rotate(p: Array, matrix: Array, centre: Triple) -> Array:
    """Turn points about ``centre``; written out, since BLAS may round by the number of threads."""
    x, y, z = (v - c for v, c in zip(p, centre, strict=True))
    return np.stack(
        [m[0] * x + m[1] * y + m[2] * z + c for m, c in zip(matrix, centre, strict=True)]
    )


def _norm2(parts: Sequence[Array]) -> Array:
    x, y, z = parts
    return x * x + y * y + z * z
