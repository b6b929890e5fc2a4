"""The slice: a square grid of pixels in the patient, as DICOM places it (PS3.3 C.7.6.2.1.1)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from seattn.data.phantom.anatomy import Ankle
from seattn.data.phantom.shapes import Array, Pixels, Vector

__all__ = ["VARIANTS", "VIEWS", "Plane", "draw_planes"]

VARIANTS = {"full": 512, "study": 224, "roi": 64}  # name: pixels along a side
VIEWS = {  # directions of the columns to the right and of the rows downwards, in patient axes
    "axial": ((1, 0, 0), (0, 1, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
}
_SPREAD = {"axial": 2.5, "coronal": 1.6, "sagittal": 1.4}  # SD of the slice about the site, mm
_MARGIN = 0.15  # of the side of a region of interest, free of sites


@dataclass(frozen=True, eq=False)
class Plane:
    """Pixel (row r, column c) lies at ``origin + spacing * (c * right + r * down)``.

    Coordinates are the patient's of DICOM, in mm: x to the left, y backwards, z to the head.
    """

    origin: Vector
    right: Vector
    down: Vector
    spacing: float
    size: int

    def every(self, step: int) -> "Plane":
        """The coarse grid of each ``step``-th pixel, reaching past the last one."""
        return replace(self, spacing=self.spacing * step, size=(self.size - 1) // step + 2)

    def points(self, ankle: Ankle, pixels: Pixels | None = None) -> Array:
        """Pixel centres (3, n) in the ankle's canonical frame.

        Args:
            ankle: Whose frame.
            pixels: Flat indices of the pixels wanted; all of them if None.
        """
        start = ankle.canonical(self.origin)
        right = ankle.canonical(self.origin + self.spacing * self.right) - start
        down = ankle.canonical(self.origin + self.spacing * self.down) - start
        if pixels is None:
            pixels = np.arange(self.size**2)
        rows, cols = (v.astype(np.float32) for v in np.divmod(pixels, self.size))
        axes = (v.astype(np.float32) for v in (start, right, down))
        return np.stack([s + r * cols + d * rows for s, r, d in zip(*axes, strict=True)])

    def pixel(self, position: Vector) -> tuple[float, float]:
        """Row and column nearest to a position in the patient, as real numbers."""
        offset = (position - self.origin) / self.spacing
        return float(offset @ self.down), float(offset @ self.right)


def draw_planes(
    rng: np.random.Generator, ankle: Ankle, site: Vector, view: str, variant: str, size: int
) -> Iterator[Plane]:
    """A slice near the site, then the same slice moved towards the site until it passes through.

    A full image is centred on the ankle. In a region of interest the site is uniform over the
    central 70 % x 70 % of the image.
    """
    right, down = (np.array(v, np.float64) for v in VIEWS[view])
    offset, across, along, zoom = _SPREAD[view] * rng.normal(), *rng.random(3)
    if variant == "full":
        low, high = (105, 145) if view == "axial" else (130, 165)
        spacing = (low + (high - low) * zoom) / size
        ahead = {"axial": -5, "coronal": 0, "sagittal": 8}[view]
        jitter = 10 * (across - 0.5) * right + 10 * (along - 0.5) * down
        centre = ankle.world(np.array([0.0, ahead, 0.0])) + jitter
        row = col = (size - 1) / 2
    else:
        spacing = 58 / size if variant == "study" else 0.6
        centre = site
        row, col = ((size - 1) * (_MARGIN + (1 - 2 * _MARGIN) * u) for u in (along, across))
    corner = centre - spacing * (col * right + row * down)
    normal = np.cross(right, down)
    corner = corner + normal * ((site - corner) @ normal)
    for share in np.linspace(1, 0, 9):
        yield Plane(corner + share * offset * normal, right, down, spacing, size)
