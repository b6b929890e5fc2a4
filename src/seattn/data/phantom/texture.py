"""Random fields and the small filters of the phantom, in numpy alone."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from seattn.data.phantom.shapes import Array, Vector

__all__ = ["Waves", "blur", "running_mean", "scanner_noise", "trabeculae", "upsample"]

_TILE = 1024


@dataclass(frozen=True, eq=False)
class Waves:
    """A smooth random field in space: a sum of plane waves with unit standard deviation."""

    wave_vectors: Array  # (k, 3), radians per mm
    phases: Array  # (k,)

    @classmethod
    def draw(cls, rng: np.random.Generator, wavelengths: tuple[float, float]) -> "Waves":
        """Four waves of random direction, with wavelengths (mm) uniform between two bounds."""
        direction = rng.normal(size=(4, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        vectors = direction * (2 * np.pi / rng.uniform(*wavelengths, size=(4, 1)))
        phases = rng.uniform(0, 2 * np.pi, size=4)
        return cls(vectors.astype(np.float32), phases.astype(np.float32))

    def __call__(self, p: Array) -> Array:
        """The field at points (3, n)."""
        total = np.zeros(p.shape[1:], np.float32)
        for (kx, ky, kz), phase in zip(self.wave_vectors, self.phases, strict=True):
            total += np.sin(kx * p[0] + ky * p[1] + kz * p[2] + phase)
        return total * np.float32(np.sqrt(2 / len(self.phases)))


def trabeculae(size: int, spacing: float, corner: tuple[float, float]) -> Array:
    """Cancellous bone: band-limited noise (0 mean, unit SD, skewed to bright), fixed in mm.

    Args:
        size: Pixels along either side.
        spacing: Pixel spacing in mm.
        corner: Where in the periodic tile the image begins, each in [0, 1).
    """
    pitch = 0.25
    steps = np.arange(size) * (spacing / pitch)
    rows, cols = (np.rint(steps + c * _TILE).astype(np.intp) % _TILE for c in corner)
    return _trabecular_tile()[rows[:, None], cols]


def scanner_noise(size: int, corner: tuple[float, float]) -> Array:
    """Noise with the spectrum of filtered back projection (0 mean, unit SD), fixed in pixels."""
    rows, cols = ((np.arange(size) + int(c * _TILE)) % _TILE for c in corner)
    return _noise_tile()[rows[:, None], cols]


def blur(image: Array, sigma: float) -> Array:
    """Gaussian blur by ``sigma`` pixels, edges repeated."""
    taps = np.arange(-3, 4)
    kernel = np.exp(-0.5 * (taps / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for _ in range(2):  # along the rows, and after the transpose along the columns
        padded = np.pad(image, ((3, 3), (0, 0)), mode="edge")
        rows = len(image)
        image = kernel[0] * padded[:rows]
        for i in range(1, len(kernel)):
            image += kernel[i] * padded[i : i + rows]
        image = image.T
    return image


def running_mean(values: Array, width: int) -> Array:
    """Mean over a sliding window of odd ``width``, edges repeated."""
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid").astype(np.float32)


def upsample(coarse: Array, step: int, size: int) -> Array:
    """Bilinear interpolation from every ``step``-th pixel to all ``size`` x ``size`` of them."""
    t = np.linspace(0, 1, step, endpoint=False, dtype=np.float32)
    steps = (coarse[1:] - coarse[:-1])[:, None] * t[:, None]
    rows = (coarse[:-1, None] + steps).reshape(-1, coarse.shape[1])[:size]
    steps = (rows[:, 1:] - rows[:, :-1])[..., None] * t
    return (rows[:, :-1, None] + steps).reshape(size, -1)[:, :size]


@cache
def _trabecular_tile() -> Array:
    fy, fx = _frequencies()
    tile = _filtered_noise(8, np.exp(-((1.3 * fy) ** 2 + fx**2) / 0.13**2) * (fy**2 + fx**2 > 1e-4))
    return tile + np.float32(0.35) * (tile * tile - 1)


@cache
def _noise_tile() -> Array:
    f = np.hypot(*_frequencies())
    return _filtered_noise(7, np.sqrt(f + 0.01) * np.exp(-((f / 0.28) ** 2)))


def _frequencies() -> tuple[Vector, Vector]:
    f = np.asarray(np.fft.fftfreq(_TILE), np.float64)
    return f[:, None], f[None, :]


def _filtered_noise(seed: int, response: Vector) -> Array:
    white = np.random.default_rng(seed).normal(size=(_TILE, _TILE))
    tile = np.fft.ifft2(np.fft.fft2(white) * response).real
    return (tile / tile.std()).astype(np.float32)
