"""Two perceptually uniform colour maps, as tables of control points.

Inferno and viridis are by Stéfan van der Walt and Nathaniel Smith (CC0). Linear interpolation
between 33 of their 256 colours stays within 2/255 of the originals.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["colourise"]

_TABLES = {
    "inferno": (
        "0000040403120b0724150b37210c4a2e0a5a3c09654a0c6b57106d63146e70196e7d1e6d89226a962766a32b61"
        "af315cbb3755c63e4dd14644db4f3be35932eb6528f1711ef67f14f98d0afb9c06fcab0ffbba1ff9ca32f5d949"
        "f2e865f3f586fcffa4"
    ),
    "viridis": (
        "440154470d6048186a482374472d7b4536814240863f49893b528b375a8d33638d2f6a8e2c728e297a8e26818e"
        "23898e21908c1f988b1f9f8821a68528ae8031b57b3ebc744cc26c5dc9636ece5882d34c96d83fabdc32c0df24"
        "d5e21aeae51afde725"
    ),
}


def colourise(values: NDArray[np.floating], cmap: str) -> NDArray[np.float64]:
    """Return the colours, (*shape, 3) in 0..1, of ``values`` in 0..1.

    Raises:
        ValueError: ``cmap`` is not ``"inferno"`` or ``"viridis"``.
    """
    if cmap not in _TABLES:
        raise ValueError(f"`cmap` {cmap!r} not found; choose one of {sorted(_TABLES)}")
    table = np.frombuffer(bytes.fromhex(_TABLES[cmap]), np.uint8).reshape(-1, 3) / 255
    points = np.linspace(0, 1, len(table))
    return np.stack([np.interp(values, points, channel) for channel in table.T], axis=-1)
