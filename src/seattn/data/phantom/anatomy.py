"""One random patient's ankle: pose, bones and soft tissue as implicit solids.

The canonical frame is that of a right-handed textbook ankle, in mm: x to the fibula (lateral),
y to the toes (anterior), z up the leg (proximal), origin at the centre of the joint line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from seattn.data.phantom.shapes import (
    Array,
    Vector,
    capsule,
    ellipsoid,
    rotate,
    rotation,
    smooth_max,
    smooth_min,
)
from seattn.data.phantom.texture import Waves

__all__ = ["Ankle", "Bone"]

_TALAR_DOME = (0.0, 2.0, -21.0)  # the axis of flexion passes here, along x


@dataclass(frozen=True, eq=False)
class Bone:
    """A solid with a cortex of ``cortex`` mm, thickening to a hollow shaft above ``shaft``."""

    distance: Callable[[Array], Array]
    cortex: float
    density: float = 1.0  # of its trabecular bone, relative to the patient's
    shaft: float = np.inf  # z in mm


@dataclass(frozen=True, eq=False)
class Ankle:
    """What nature draws once per patient; of a fracture only ``swelling`` and a cast may know."""

    left: bool
    turn: Array  # (3, 3), posed = turn @ (scale * canonical) + shift
    scale: Array
    shift: Array
    foot_turn: Array
    age: float  # 0 young and dense, 1 osteopenic
    cortical_hu: float
    trabecular_hu: float
    cortex_factor: float
    joint_space: float
    fibula_calibre: float
    malleolus_calibre: float
    surface: Waves
    surface_mm: float
    roughness: Waves
    leg_radii: tuple[float, float]
    fat_mm: float
    swelling: float  # mm, 0 for none
    swelling_side: int
    cast_hu: float | None
    physis_z: float | None
    canal: tuple[float, float, float] | None
    cyst: tuple[float, float, float, float] | None  # centre in the foot's frame, radius
    ossicle: tuple[float, float, float, float] | None

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        *,
        fracture: bool,
        swelling: bool | None = None,
        confounder: float | None = None,
    ) -> "Ankle":
        """Draw a patient; the number and order of draws depend on none of the arguments.

        Args:
            rng: Source of randomness.
            fracture: Only sets the chance of soft-tissue swelling: 65 % if true, else 35 %; and
                that of a cast, where there is a ``confounder``.
            swelling: Force the swelling on or off.
            confounder: Chance of a cast on a fractured ankle; on a normal one it is 1 minus that.
                If None it is 15 % on either.
        """

        def uniform(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        def chance(p: float) -> bool:
            return bool(rng.random() < p)

        casts = (0.15, 0.15) if confounder is None else (1 - confounder, confounder)
        age = uniform(0, 1)
        swollen = chance(0.65 if fracture else 0.35)
        amount = uniform(2, 8)
        cast, cast_hu = chance(casts[fracture]), uniform(100, 350)
        physis, physis_z = chance(0.35), uniform(7, 14)
        canal, canal_at = chance(0.5), (uniform(-8, 4), uniform(-15, -9), uniform(18, 45))
        cyst, cyst_at = chance(0.25), (uniform(-10, 8), uniform(-8, 12), uniform(-30, -12))
        cyst_radius = uniform(1.5, 4)
        ossicle, below_fibula = chance(0.22), chance(0.5)
        ossicle_mean = (19, -6, -27) if below_fibula else (0, -23, -30)
        ossicle_at = rng.normal(ossicle_mean, 2).tolist()
        ossicle_radius = uniform(1.8, 3.6)
        return cls(
            left=chance(0.5),
            turn=rotation(rng.normal(0, (5, 5, 9))),
            scale=np.clip(
                1 + 0.05 * rng.normal() + rng.normal(0, (0.06, 0.06, 0.036)), 0.82, 1.2
            ).astype(np.float32),
            shift=rng.normal(0, (6, 6, 5)).astype(np.float32),
            foot_turn=rotation(rng.normal((-4, 0, 0), (9, 3, 3))),
            age=age,
            cortical_hu=uniform(1250, 1650) - 350 * age,
            trabecular_hu=uniform(230, 420) - 170 * age,
            cortex_factor=uniform(0.85, 1.2) * (1 - 0.25 * age),
            joint_space=uniform(1.9, 3.4),
            fibula_calibre=uniform(0.88, 1.15),
            malleolus_calibre=uniform(0.9, 1.15),
            surface=Waves.draw(rng, (22, 60)),
            surface_mm=uniform(0.25, 0.6),
            roughness=Waves.draw(rng, (3, 9)),
            leg_radii=(uniform(31, 36), uniform(37, 45)),
            fat_mm=uniform(2.5, 9),
            swelling=amount if (swollen if swelling is None else swelling) else 0.0,
            swelling_side=1 if chance(0.5) else -1,
            cast_hu=cast_hu if cast else None,
            physis_z=physis_z if physis else None,
            canal=canal_at if canal else None,
            cyst=(*cyst_at, cyst_radius) if cyst else None,
            ossicle=(*ossicle_at, ossicle_radius) if ossicle else None,
        )

    def bones(self) -> dict[str, Bone]:
        """The bones by name, in the order in which they are painted."""
        return {
            "talus": Bone(self.talus, cortex=1.0, density=1.25),
            "calcaneus": Bone(self.calcaneus, cortex=0.9, density=0.75),
            "navicular": Bone(self.navicular, cortex=0.8),
            "cuboid": Bone(self.cuboid, cortex=0.8),
            "cuneiforms": Bone(self.cuneiforms, cortex=0.8),
            "metatarsals": Bone(self.metatarsals, cortex=1.4, density=0.7),
            "tibia": Bone(self.tibia, cortex=1.1, shaft=14),
            "fibula": Bone(self.fibula, cortex=1.2, density=0.95, shaft=5),
        }

    def inclusions(self) -> list[tuple[Callable[[Array], Array], float]]:
        """Signed distance and HU of what may lie in or beside the bones of anybody."""
        found: list[tuple[Callable[[Array], Array], float]] = []
        if self.canal is not None:
            x, y, z = self.canal
            canal = partial(capsule, start=(x, y, z), end=(x, y + 7, z - 9), radii=(0.6, 0.5))
            found.append((lambda p: np.maximum(canal(p), self.tibia(p)), 60))
        if self.cyst is not None:
            *centre, r = self.cyst
            cyst = partial(ellipsoid, centre=centre, radii=(r, r, r))
            found.append((lambda p: np.maximum(cyst(self.foot(p)), self.talus(p) + 1.5), 40))
        if self.ossicle is not None:
            *centre, r = self.ossicle
            ossicle = partial(ellipsoid, centre=centre, radii=(r, 0.8 * r, 0.9 * r))
            found.append((ossicle, 0.8 * self.cortical_hu))
        return found

    def canonical(self, position: Vector) -> Vector:
        """A position in the patient (DICOM: left, posterior, superior) in the canonical frame."""
        posed = position * self._mirror - self.shift
        return (posed @ self.turn) / self.scale

    def world(self, position: Vector | Array) -> Vector:
        """The inverse of ``canonical``."""
        return (self.turn @ (position * self.scale) + self.shift) * self._mirror

    @property
    def _mirror(self) -> Vector:
        return np.array([1.0 if self.left else -1.0, -1.0, 1.0])

    def foot(self, p: Array) -> Array:
        """Points in the frame of the flexed foot."""
        return rotate(p, self.foot_turn, _TALAR_DOME)

    def trochlea(self, f: Array) -> Array:
        """The pulley of the talus, from points in the foot's frame: broader below and in front."""
        x, y, z = f
        dome = np.sqrt((y - _TALAR_DOME[1]) ** 2 + (z - _TALAR_DOME[2]) ** 2) - 17.5
        dome = dome + 0.06 * np.maximum(np.abs(x) - 8, 0) ** 1.5
        half_width = 11 + 0.18 * np.clip(-(z + 6), 0, 14) + 0.06 * np.clip(y, -12, 12)
        flank = np.abs(x + 0.5) - half_width
        corner = np.sqrt(np.maximum(dome, 0) ** 2 + np.maximum(flank, 0) ** 2)
        return np.minimum(np.maximum(dome, flank), 0) + corner - 2.2

    def talus(self, p: Array) -> Array:
        """Trochlea, neck and head."""
        f = self.foot(p)
        body = smooth_max(self.trochlea(f), -(f[2] + 33 + 0.25 * (f[1] - 2)), 4)
        return smooth_min(body, _talar_head(f), 5)

    def tibia(self, p: Array) -> Array:
        """Shaft, flare and medial malleolus, hollowed for the talus and notched for the fibula."""
        shaft = capsule(p, (-3, -4, 200), (-3, -3, 40), (11, 12))
        flare = capsule(p, (-3, -3, 44), (-3, -1, 6), (10, 16.5), squeeze=(1.22, 1.08, 1))
        body = smooth_max(smooth_min(shaft, flare, 14), -(p[2] + 6), 3)
        radii = (7.5 * self.malleolus_calibre, 5.0 * self.malleolus_calibre)
        malleolus = capsule(p, (-17, 2, 12), (-19.5, 4, -10), radii, squeeze=(0.85, 1.3, 1))
        whole = smooth_min(body, malleolus, 6)
        notched = smooth_max(whole, 2.2 - self._fibula(p), 1)
        return smooth_max(notched, self.joint_space - self.trochlea(self.foot(p)), 1.2)

    def fibula(self, p: Array) -> Array:
        """Shaft and lateral malleolus, hollowed for the talus."""
        return smooth_max(self._fibula(p), 0.8 * self.joint_space - self.trochlea(self.foot(p)), 1)

    def _fibula(self, p: Array) -> Array:
        k = self.fibula_calibre
        shaft = capsule(p, (21, -9, 200), (21.5, -9.5, 12), (5.6 * k, 6 * k))
        radii = (6.2 * k, 7.4 * k)
        malleolus = capsule(p, (21.5, -9.5, 14), (20, -8, -17), radii, squeeze=(0.85, 1.15, 1))
        return smooth_min(shaft, malleolus, 4)

    def calcaneus(self, p: Array) -> Array:
        """Tuber, body and anterior process under the talus."""
        f = self.foot(p)
        tuber = capsule(f, (3, -33, -55), (5, 0, -50), (15, 12), squeeze=(0.95, 1, 1.12))
        process = capsule(f, (4, -6, -48), (10, 20, -50), (12, 10.5), squeeze=(1.1, 1, 1))
        return smooth_max(smooth_min(tuber, process, 6), 2.4 - self.talus(p), 1)

    def navicular(self, p: Array) -> Array:
        """The cup in front of the talar head."""
        f = self.foot(p)
        return smooth_max(ellipsoid(f, (-6, 42, -29), (15, 9, 11.5)), 2 - _talar_head(f), 1)

    def cuboid(self, p: Array) -> Array:
        """In front of the calcaneus."""
        f = self.foot(p)
        return smooth_max(ellipsoid(f, (16, 43, -51), (11, 15, 11)), 33 - f[1], 2)

    def cuneiforms(self, p: Array) -> Array:
        """Three wedges between navicular and metatarsals."""
        f = self.foot(p)
        rows = [
            ((-16, 60, -36), (8, 10, 12)),
            ((-4, 60, -31), (6, 8.5, 10)),
            ((8, 59, -35), (7, 9, 11)),
        ]
        wedges = [ellipsoid(f, centre, radii) for centre, radii in rows]
        joint = 2 - ellipsoid(f, (-6, 42, -29), (15, 9, 11.5))
        return np.maximum(np.minimum.reduce(wedges), joint)

    def metatarsals(self, p: Array) -> Array:
        """Five rods that leave the picture in front."""
        f = self.foot(p)
        bases = [(-20, 79, -42), (-7, 77, -36), (5, 77, -38), (15, 70, -46), (25, 66, -54)]
        return np.minimum.reduce(
            [capsule(f, b, (1.5 * b[0] - 4, 140, -66), (6.5, 4.5)) for b in bases]
        )

    def skin(self, p: Array) -> Array:
        """The surface of leg, heel and foot, swelling included."""
        f = self.foot(p)
        rx, ry = self.leg_radii
        leg = (np.hypot((p[0] - 1) / rx, (p[1] + 9) / ry) - 1) * rx
        leg = smooth_max(leg, -(p[2] + 35), 10)
        sole = capsule(f, (2, -27, -50), (0, 110, -56), (31, 26), squeeze=(1.1, 1, 1))
        instep = capsule(f, (0, 5, -22), (0, 100, -52), (30, 24), squeeze=(1.1, 1, 1))
        body = smooth_min(leg, smooth_min(sole, instep, 12), 16) + 1.2 * self.surface(p)
        return body - self.swelling * self.swollen(p, 16, 22, 24)

    def swollen(self, p: Array, rx: float, ry: float, rz: float) -> Array:
        """How much of the swelling reaches points: a bump of the given radii, 1 at its middle."""
        x, y, z = p[0] - 24 * self.swelling_side, p[1] + 3, p[2] + 2
        return np.exp(-((x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2))


def _talar_head(f: Array) -> Array:
    return capsule(f, (0, 10, -24), (-5, 29, -27), (11, 11))
