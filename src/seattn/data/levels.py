"""The distinct values that an image can hold, so that what depends on them is computed once each.

A 512 x 512 CT has 262,144 pixels and some 3,000 different values. Every step of the grayscale
pipeline is a function of the stored value alone: it is evaluated in float64 for each value between
the smallest and the largest, and looked up for the pixels.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["Levels"]

_MANY_PIXELS = 2**14  # from here on a line pays
Image = npt.NDArray[np.generic]
Float = npt.NDArray[np.float64]


class Levels:
    """The values of an image: each once, where they are integers closer than there are pixels.

    Args:
        image: The stored values, in any shape.

    Attributes:
        values: All values from the smallest to the largest, or those of the pixels, flat.
    """

    def __init__(self, image: Image) -> None:
        self._image = image
        self._first: int | None = None
        self.values = image.reshape(-1)
        if image.dtype.kind in "iu":
            first, last = int(image.min()), int(image.max())
            if last - first < image.size:
                self._first = first
                self.values = np.arange(first, last + 1).astype(image.dtype)

    @cached_property
    def _positions(self) -> npt.NDArray[np.intp]:
        """The place of each pixel among the values."""
        positions = self._image.astype(np.intp)
        positions -= self._first or 0
        return positions

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many pixels hold each of the values; some between the ends may be absent."""
        if self._first is None:
            return np.ones(self.values.size, np.int64)
        return np.bincount(self._positions.reshape(-1), minlength=self.values.size)

    def image(self, function: Float, *, tolerance: float = 0) -> npt.NDArray[np.float32]:
        """Give every pixel what ``function`` holds for its value, as float32.

        Where a clipped straight line in float32 agrees with the function at every value, within
        ``tolerance``, the line is computed: that takes half the time of looking up.
        """
        table = function.astype(np.float32)
        if self._first is None:
            return table.reshape(self._image.shape)
        line = _fit(self.values, function) if self._image.size >= _MANY_PIXELS else None
        if line is not None and np.abs(line(self.values) - table).max() <= tolerance:
            return line(self._image)
        return table.take(self._positions, mode="clip")


def _fit(x: npt.NDArray[np.generic], y: Float) -> Callable[[Image], npt.NDArray[np.float32]] | None:
    """The line through the first and the last point between the ends of a function, clipped."""
    low, high = y.min(), y.max()
    between = np.flatnonzero((y > low) & (y < high))
    if between.size < 2:
        return None
    first, last = between[0], between[-1]
    slope = float(y[last] - y[first]) / float(last - first)
    offset = torch.tensor(y[first] - slope * int(x[first]), dtype=torch.float32)
    flat = first > 1 or last < y.size - 2  # at one end or both

    def line(image: Image) -> npt.NDArray[np.float32]:
        out = image.astype(np.float32)
        pixels = torch.from_numpy(out)  # which multiplies and adds in one pass, in place
        torch.add(offset, pixels, alpha=slope, out=pixels)
        if flat:
            pixels.clamp_(low, high)
        return out

    return line
