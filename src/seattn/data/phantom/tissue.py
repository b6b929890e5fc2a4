"""Hounsfield units of what the ankle is made of."""

import numpy as np

from seattn.data.phantom.anatomy import Ankle, Bone
from seattn.data.phantom.shapes import Array, blend, capsule, coverage, ramp

__all__ = ["bone_hu", "soft_tissue_hu"]

_TENDONS = ((-20, -10), (-22, -16), (22, -20), (18, -21), (-8, 24), (6, 25))  # x, y in the leg


def soft_tissue_hu(ankle: Ankle, p: Array, skin: Array) -> Array:
    """HU inside the skin: fat, muscle, tendons, oedema, skin; ``skin`` is its distance at p."""
    x, y, z = p
    wobble = 1.2 * ankle.surface(2.5 * p)
    muscle = coverage(skin + ankle.fat_mm + wobble, 2)
    kager = np.exp(-(((x / 13) ** 2 + ((y + 27) / 9) ** 2 + ((z + 3) / 26) ** 2) ** 2))
    hu = -95 + muscle * (150 + 12 * ankle.surface(p)) * (1 - 0.93 * kager)
    achilles = capsule(p, (0, -40, 200), (1, -40, -45), (4.5, 5.5), squeeze=(1.3, 0.8, 1))
    hu = blend(hu, 95, coverage(achilles, 2))
    for tx, ty in _TENDONS:
        tendon = coverage(np.hypot(x - tx, y - ty) - 2.8, 2) * (z > -15)
        hu = blend(hu, 90, tendon)
    if ankle.swelling:
        hu = hu + 55 * ankle.swollen(p, 14, 20, 22) * (hu < 0)
    return blend(hu, 25, 0.8 * coverage(np.abs(skin + 0.9) - 0.9, 1))


def bone_hu(
    ankle: Ankle, bone: Bone, p: Array, *, depth: Array, texture: Array, surface: Array
) -> Array:
    """HU inside a bone: trabecular bone or marrow within a cortex.

    Args:
        ankle: The patient.
        bone: One of its bones.
        p: Points (3, n).
        depth: Below the intact surface, mm.
        texture: Trabecular pattern, unit SD.
        surface: Smooth field that varies the thickness of the cortex, unit SD.
    """
    z = p[2]
    shaft = ramp(z, bone.shaft, 30)
    cortex = ankle.cortex_factor * (bone.cortex + 3.2 * shaft) * (1 + 0.35 * surface)
    hu = ankle.trabecular_hu * bone.density + 75 * (1.15 - 0.5 * ankle.age) * texture
    hu = hu + 110 * ramp(-depth, -6, 6)  # denser towards the surface
    if ankle.physis_z is not None and np.isfinite(bone.shaft):
        scar = (z - ankle.physis_z - 0.8 * surface) / 0.7
        hu = hu + 260 * np.exp(-scar * scar)
    marrow = ramp(z, bone.shaft + 8, 20) * ramp(depth - cortex, 1, 2)
    hu = blend(hu, -30 + 8 * texture, marrow)
    return blend(hu, ankle.cortical_hu, ramp(cortex - depth, -0.35, 0.7))
