"""The break: where it is, which way it runs, how far the fragment has moved.

Every patient has one. In a normal ankle it is virtual: it decides through where the slices are
taken and nothing else, so that neither position nor orientation of a slice tells the label.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from seattn.data.phantom.shapes import Array, Mask, Vector, rotate, rotation
from seattn.data.phantom.texture import Waves

__all__ = ["SITES", "Break"]

SITES = {  # name: share of the patients
    "weber_a": 0.15,  # fibula below the joint line
    "weber_b": 0.35,  # fibula at the joint line, oblique
    "weber_c": 0.12,  # fibula above the joint line
    "medial": 0.23,  # medial malleolus
    "posterior": 0.15,  # posterior lip of the tibia
}
_FIBULA = {  # height of the centre (mm) and tilt of the plane (radians), both uniform
    "weber_a": ((-17, -7), (-0.3, 0.3)),
    "weber_b": ((-4, 14), (0.5, 1.1)),
    "weber_c": ((22, 42), (0.1, 0.8)),
}


@dataclass(frozen=True, eq=False)
class Break:
    """A rough plane through one bone; the fragment on its far side is displaced rigidly."""

    site: str
    severity: float  # 0 hairline, 1 wide and displaced
    centre: Array
    normal: Array  # towards the fragment
    gap: float  # mm
    shift: Array
    turn: Array
    roughness: Waves
    roughness_mm: float
    flakes: tuple[tuple[Array, Array], ...]  # centre and radii of each

    @classmethod
    def draw(cls, rng: np.random.Generator, *, difficulty: float = 1.0) -> "Break":
        """Draw a site and a break; ``difficulty`` divides the severity, Beta(1.3, 1.6)."""
        site = str(rng.choice(list(SITES), p=list(SITES.values())))
        centre, normal = _place(rng, site)
        severity = min(float(rng.beta(1.3, 1.6)) / difficulty, 1.2)
        gap = 0.5 + 2.6 * severity * float(rng.uniform(0.6, 1))
        along = np.cross(normal, rng.normal(size=3))
        along /= np.linalg.norm(along)
        step = 4.2 * severity * rng.uniform(0.2, 1)
        turn = rotation(9 * severity * rng.normal(size=3))
        splintered = rng.random() < 0.1 + 0.3 * severity
        flakes = zip(
            (centre + rng.normal(0, 4, (3, 3))).astype(np.float32),
            rng.uniform(0.6, 1.6, (3, 3)).astype(np.float32),
            strict=True,
        )
        return cls(
            site=site,
            severity=severity,
            centre=centre.astype(np.float32),
            normal=normal.astype(np.float32),
            gap=gap,
            shift=(step * along + 0.5 * gap * normal).astype(np.float32),
            turn=turn,
            roughness=Waves.draw(rng, (3, 9)),
            roughness_mm=float(rng.uniform(0.3, 0.9)),
            flakes=tuple(flakes) if splintered else (),
        )

    @property
    def bone(self) -> str:
        """The bone that breaks."""
        return "fibula" if self.site in _FIBULA else "tibia"

    def band(self, p: Array, distance: Callable[[Array], Array], *, slack: float = 0.0) -> Mask:
        """Whether points lie in the gap or within 1 mm of it: the reference region.

        Args:
            p: Points (3, n) in the canonical frame.
            distance: Signed distance of the unbroken bone.
            slack: Widen the region by so many mm on every side.
        """
        q = self._before(p)
        reach = 0.5 * self.gap + 1 + slack
        near = np.minimum(np.abs(self._side(p)), np.abs(self._side(q))) < reach
        return near & (np.minimum(distance(p), distance(q)) < 1 + slack)

    def broken(
        self, p: Array, distance: Callable[[Array], Array], surface: Array | np.float32
    ) -> tuple[Array, Array]:
        """Signed distance of the broken bone, and depth below its *intact* surface.

        The two differ on the faces of the fracture, which therefore show trabecular bone.

        Args:
            p: Points (3, n).
            distance: Signed distance of the unbroken bone.
            surface: Unevenness to be added to it, mm.
        """
        q = self._before(p)
        shaft, fragment = distance(p) + surface, distance(q) + surface
        cut_shaft = np.maximum(shaft, self._side(p) + 0.35 * self.gap)
        cut_fragment = np.maximum(fragment, 0.35 * self.gap - self._side(q))
        moved = cut_fragment < cut_shaft
        return np.where(moved, cut_fragment, cut_shaft), -np.where(moved, fragment, shaft)

    def _before(self, p: Array) -> Array:
        """Where points of the displaced fragment were before."""
        return rotate(p - self.shift[:, None], self.turn.T, self.centre)

    def _side(self, p: Array) -> Array:
        """Signed distance from the rough plane, positive towards the fragment."""
        x, y, z = (v - c for v, c in zip(p, self.centre, strict=True))
        nx, ny, nz = self.normal
        return nx * x + ny * y + nz * z + np.float32(self.roughness_mm) * self.roughness(p)


def _place(rng: np.random.Generator, site: str) -> tuple[Vector, Vector]:
    a, b, c, d, sign = *rng.random(4), rng.choice([-1, 1])  # as many draws whatever the site

    def between(low: float, high: float, u: float) -> float:
        return low + (high - low) * u

    if site in _FIBULA:
        heights, tilts = _FIBULA[site]
        tilt, heading = between(*tilts, b), between(-0.6, 0.6, c)
        centre = [20.5, -8.5, between(*heights, a)]
        across = np.sin(tilt)
        normal = [across * np.sin(heading), sign * across * np.cos(heading), -np.cos(tilt)]
    elif site == "medial":
        tilt = between(0.2, 1.0, b)
        centre = [-15.5, 4, between(-4, 4, a)]
        normal = [-np.sin(tilt), between(-0.25, 0.25, c), -np.cos(tilt)]
    else:
        tilt = between(0.35, 0.8, b)
        centre = [between(-6, 2, d), between(-11, -6, a), 2]
        normal = [between(-0.3, 0.3, c), -np.cos(tilt), -np.sin(tilt)]
    return np.array(centre), np.array(normal) / np.linalg.norm(normal)
