"""One CT slice of one patient, drawn from a seed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seattn.data.phantom.anatomy import Ankle
from seattn.data.phantom.fracture import Break
from seattn.data.phantom.plane import VARIANTS, VIEWS, Plane, draw_planes
from seattn.data.phantom.scene import Painting, Scene
from seattn.data.phantom.texture import blur, running_mean, scanner_noise, trabeculae

__all__ = ["AnkleSlice", "check_request", "render_ankle"]

_MIN_VISIBLE_MM2 = 5.0


class AnkleSlice(NamedTuple):
    """A slice and the truth about it.

    Attributes:
        hu: int16 (size, size), Hounsfield units, -1024 to 3071.
        mask: uint8 (size, size), 1 in the fracture gap and within 1 mm of it.
        site: Row and column of the fracture; in a normal ankle of the place where one could be.
        plane: Where the slice lies, and the spacing of its pixels in mm.
        ankle: The anatomy that was drawn.
        injury: The break; in a normal ankle it is drawn and not used.
        cast: uint8 (size, size), 1 where a cast is; all 0 without one.

    Examples:
        >>> from seattn.data.phantom import render_ankle
        >>> image = render_ankle(0, fracture=True)
        >>> image.hu.shape, image.hu.dtype.name, bool(image.mask.any())
        ((64, 64), 'int16', True)
        >>> round(image.plane.spacing, 2)
        0.6
    """

    hu: npt.NDArray[np.int16]
    mask: npt.NDArray[np.uint8]
    site: tuple[float, float]
    plane: Plane
    ankle: Ankle
    injury: Break
    cast: npt.NDArray[np.uint8]


def render_ankle(
    seed: int,
    *,
    fracture: bool,
    patient: int = 0,
    view: str = "axial",
    variant: str = "roi",
    size: int | None = None,
    difficulty: float = 1.0,
    swelling: bool | None = None,
    confounder: float | None = None,
) -> AnkleSlice:
    """Render one slice of a synthetic ankle.

    Args:
        seed: Seed of the cohort, 0 or more.
        fracture: Whether the bone is broken. Anatomy, plane and noise are the same either way,
            but for the chance of swelling and, with ``confounder``, of a cast.
        patient: Number of the patient within the cohort, 0 or more.
        view: "axial", "coronal" or "sagittal".
        variant: "full", "study" or "roi"; see ``make_ankle_phantom``.
        size: Pixels along a side, 32 to 512; the variant's own (512, 224, 64) if None.
        difficulty: Divides the severity of the break; above 0. See ``make_ankle_phantom``.
        swelling: Force soft-tissue swelling on or off; by chance if None.
        confounder: Chance of a cast, 0 to 1, if the ankle is fractured, and 1 minus that if it is
            not; 15 % in either case if None. 1 and 0 put it on or leave it off.

    Returns:
        Hounsfield units, the mask of the fracture (all 0 in a normal ankle), and what was drawn.

    Raises:
        ValueError: If an argument is out of its range.

    Examples:
        >>> from seattn.data.phantom import render_ankle
        >>> image = render_ankle(0, fracture=True, view="coronal")
        >>> image.hu.shape, image.hu.dtype.name, int(image.mask.max())
        ((64, 64), 'int16', 1)
    """
    size = check_request([view], variant, size, difficulty, seed, confounder)
    if patient < 0:
        raise ValueError(f"`patient` (={patient}) must not be negative.")
    ankle = Ankle.draw(
        _stream(seed, patient, 1), fracture=fracture, swelling=swelling, confounder=confounder
    )
    injury = Break.draw(_stream(seed, patient, 2), difficulty=difficulty)
    rng = _stream(seed, patient, 3 + list(VIEWS).index(view))
    site = ankle.world(injury.centre)
    for plane in draw_planes(rng, ankle, site, view, variant, size):
        scene = Scene(ankle, plane)
        band = scene.band(injury)  # of a normal ankle too, so that its plane is chosen alike
        if len(band) * plane.spacing**2 >= _MIN_VISIBLE_MM2:
            break
    texture = trabeculae(size, plane.spacing, (rng.random(), rng.random()))
    painting = scene.paint(texture, injury if fracture else None, band)
    hu = _scan(rng, painting)
    mask = np.zeros((size, size), np.uint8)
    if fracture:
        mask.reshape(-1)[band] = 1
    cast = painting.cast.astype(np.uint8)
    return AnkleSlice(hu, mask, plane.pixel(site), plane, ankle, injury, cast)


def check_request(
    views: Sequence[str],
    variant: str,
    size: int | None,
    difficulty: float,
    seed: int,
    confounder: float | None,
) -> int:
    """Refuse what cannot be rendered; return the pixels along a side."""
    unknown = [view for view in views if view not in VIEWS]
    if unknown or not views or len(set(views)) < len(views):
        raise ValueError(f"`views` (={list(views)}) must be distinct names out of {list(VIEWS)}.")
    if variant not in VARIANTS:
        raise ValueError(f"`variant` (={variant!r}) must be one of {list(VARIANTS)}.")
    size = VARIANTS[variant] if size is None else size
    if not 32 <= size <= 512:
        raise ValueError(f"`size` (={size}) must be between 32 and 512 pixels.")
    if not difficulty > 0:
        raise ValueError(f"`difficulty` (={difficulty}) must be above 0; 1 is the standard.")
    if confounder is not None and not 0 <= confounder <= 1:
        raise ValueError(
            f"`confounder` (={confounder}) must be between 0 and 1, the chance of a cast on a "
            "fractured ankle; 0.5 tells nothing, None leaves casts to chance."
        )
    if seed < 0:
        raise ValueError(f"`seed` (={seed}) must not be negative.")
    return size


def _stream(seed: int, patient: int, purpose: int) -> np.random.Generator:
    """Separate randomness for the anatomy (1), the break (2) and each view (3 and on)."""
    return np.random.default_rng([seed, patient, purpose])


def _scan(rng: np.random.Generator, painting: Painting) -> npt.NDArray[np.int16]:
    """Reconstruction kernel, beam hardening, and noise that grows with the path through the leg."""
    hu, inside, bone, _ = painting
    sigma, noise, hardening = rng.uniform((0.35, 12, 0), (0.9, 40, 220)).tolist()
    path = running_mean(inside.mean(axis=1) + bone, 9)
    noise_sd = noise * np.exp(0.55 * (path - path.mean()))
    hu = blur(hu, sigma)
    hu = hu - hardening * running_mean(bone, 5)[:, None] * inside
    hu = hu + noise_sd[:, None] * scanner_noise(len(hu), (rng.random(), rng.random()))
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
