"""The ankle on the pixels of one plane: Hounsfield units before the scanner touches them.

Soft tissue is evaluated on a grid of about 1 mm and interpolated; the same grid tells which
pixels a solid can reach, and only these are evaluated at full resolution.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from seattn.data.phantom.anatomy import Ankle
from seattn.data.phantom.fracture import Break
from seattn.data.phantom.plane import Plane
from seattn.data.phantom.shapes import Array, Mask, Pixels, blend, coverage, ellipsoid
from seattn.data.phantom.texture import upsample
from seattn.data.phantom.tissue import bone_hu, soft_tissue_hu

__all__ = ["Painting", "Scene"]

_AIR, _HAEMATOMA = -1000.0, 55.0


class Painting(NamedTuple):
    """What the scanner sees."""

    hu: Array  # (size, size)
    inside: Array  # (size, size), share of each pixel within the skin
    bone: Array  # (size,), share of bone in each row, of the unbroken ankle
    cast: Mask  # (size, size), the shell around the skin; all False without one


class Scene:
    """One patient cut by one plane."""

    def __init__(self, ankle: Ankle, plane: Plane) -> None:
        self._ankle, self._plane = ankle, plane
        self._bones = ankle.bones()
        self._step = max(1, round(1 / plane.spacing))
        self._coarse = plane.every(self._step)
        self._points = self._coarse.points(ankle)
        self._ramp = 1.1 * max(plane.spacing, 0.45)  # partial volume, mm
        self._margin = 1.8 * self._coarse.spacing + self._ramp + 1  # of the coarse search, mm

    def band(self, fracture: Break) -> Pixels:
        """The reference region of a (possibly virtual) break: flat indices of its pixels."""
        distance = self._bones[fracture.bone].distance
        near = self._pixels(fracture.band(self._points, distance, slack=self._margin + 1))
        return near[fracture.band(self._plane.points(self._ankle, near), distance)]

    def paint(self, texture: Array, fracture: Break | None, band: Pixels) -> Painting:
        """Paint every tissue.

        Args:
            texture: Trabecular texture (size, size).
            fracture: The break; None for an unbroken ankle.
            band: Its reference region, where blood replaces soft tissue.
        """
        ankle, texture = self._ankle, texture.reshape(-1)
        soft, inside, cast = self._soft_tissue()
        hu = soft.reshape(-1)
        surface = self._upsample(ankle.surface(self._points)).reshape(-1)
        grain = self._upsample(ankle.roughness(self._points)).reshape(-1)
        uneven = np.float32(ankle.surface_mm) * surface + np.float32(0.1) * grain
        bone_found = np.zeros(self._coarse.size**2, bool)
        for name, bone in self._bones.items():
            cut = fracture.broken if fracture and fracture.bone == name else _intact
            bone_found |= bone.distance(self._points) < 0
            search, _ = cut(self._points, bone.distance, np.float32(0))
            pixels = self._pixels(search < self._margin)
            p = self._plane.points(ankle, pixels)
            distance, depth = cut(p, bone.distance, uneven[pixels])
            painted = bone_hu(
                ankle, bone, p, depth=depth, texture=texture[pixels], surface=surface[pixels]
            )
            hu[pixels] = blend(hu[pixels], painted, coverage(distance, self._ramp))
        for solid, solid_hu in ankle.inclusions():
            self._add(hu, solid, solid_hu)
        if fracture:
            gap = band[(hu[band] > -300) & (hu[band] < 60)]
            hu[gap] = _HAEMATOMA + 10 * texture[gap]
            for centre, radii in fracture.flakes:
                flake = partial(ellipsoid, centre=centre, radii=radii)
                self._add(hu, flake, 0.7 * ankle.cortical_hu)
        size = self._plane.size
        rows = bone_found.reshape(self._coarse.size, -1).mean(axis=1, dtype=np.float32)
        rows = np.repeat(rows, self._step)[:size]
        return Painting(hu.reshape(size, size), inside, rows, cast)

    def _soft_tissue(self) -> tuple[Array, Array, Mask]:
        skin = self._ankle.skin(self._points)
        soft = self._upsample(soft_tissue_hu(self._ankle, self._points, skin))
        skin = self._upsample(skin)
        inside = coverage(skin, max(1.0, self._ramp))
        hu = blend(np.full_like(soft, _AIR), soft, inside)
        cast = np.zeros(hu.shape, bool)
        if self._ankle.cast_hu is not None:
            shell = coverage(np.abs(skin - np.float32(6)) - np.float32(2.2), max(0.8, self._ramp))
            hu = np.maximum(hu, blend(np.full_like(soft, _AIR), self._ankle.cast_hu, shell))
            cast = shell >= 0.5
        return hu, inside, cast

    def _add(self, hu: Array, solid: Callable[[Array], Array], solid_hu: float) -> None:
        pixels = self._pixels(solid(self._points) < self._margin)
        distance = solid(self._plane.points(self._ankle, pixels))
        hu[pixels] = blend(hu[pixels], solid_hu, coverage(distance, self._ramp))

    def _pixels(self, coarse: Mask) -> Pixels:
        """Flat indices of the pixels in the cells of the coarse grid that are true."""
        n, size = self._coarse.size, self._plane.size
        fine = coarse.reshape(n, n).repeat(self._step, axis=0).repeat(self._step, axis=1)
        return np.flatnonzero(fine[:size, :size])

    def _upsample(self, coarse: Array) -> Array:
        n = self._coarse.size
        return upsample(coarse.reshape(n, n), self._step, self._plane.size)


def _intact(
    p: Array, distance: Callable[[Array], Array], surface: Array | np.float32
) -> tuple[Array, Array]:
    """Signed distance and depth of a bone that is whole, as ``Break.broken`` of one that is not."""
    whole = distance(p) + surface
    return whole, -whole
