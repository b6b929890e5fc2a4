"""Random changes of a batch, each a pure function of (seed, epoch, position, row).

The augmentation of Wang et al. (2024, Fig. 2b): random rotation, scaling and contrast, and Gaussian
noise. The paper states no ranges; the defaults are this library's.
"""

import hashlib
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F

from seattn.data.arguments import check_number
from seattn.data.sample import Sample, to_float

__all__ = ["RandomAffine", "RandomContrast", "RandomFlip", "RandomNoise", "augment"]

Transform = Callable[[Sample, Sequence[torch.Generator]], Sample]

_ROUNDING = 1e-3  # how far beyond 0..1 a value may lie, as after a rotation


def augment(batch: Sample, transforms: Sequence[Transform], *, seed: int, epoch: int) -> Sample:
    """Apply random transforms to a batch, one after the other.

    What happens to an image depends on ``seed``, ``epoch``, the position of the transform in the
    list and the row of the image, and on nothing else: not on the size or the order of the batch,
    the number of workers, the device, or the global random state, which stays as it was. The random
    numbers are drawn on the CPU.

    The row is the position of the image in its ``DicomDataset``. So torch's ``Subset`` and any
    sampler leave the draws of an image as they are; a dataset of ``index.subset(...)`` counts its
    rows anew, and draws anew.

    Args:
        batch: A batch as ``DicomDataset.batch`` or a ``DataLoader`` yields it, on any device. It is
            not changed. Its image is float32 or float64; float16 and bfloat16 are transformed in
            float32, and rounded at the end; uint8 becomes float32 first, as by ``to_float``.
        transforms: Callables of (batch, generators) that return a batch; ``generators`` holds one
            random generator for each row of the batch.
        seed: The seed of the experiment.
        epoch: The number of the epoch; another epoch gives other draws.

    Returns:
        The transformed batch.

    Raises:
        ValueError: ``batch`` is a single sample, or a transform refuses it.
        TypeError: ``batch`` is no ``Sample``, or ``seed`` or ``epoch`` no whole number.

    Examples:
        >>> import torch
        >>> from seattn.data.sample import Sample
        >>> from seattn.data.transforms import RandomAffine, RandomNoise, augment
        >>> images, masks = torch.rand(4, 1, 32, 32), torch.zeros(4, 1, 32, 32, dtype=torch.uint8)
        >>> batch = Sample(images, torch.zeros(4, dtype=torch.int64), masks, torch.arange(4))
        >>> once = augment(batch, [RandomAffine(), RandomNoise()], seed=0, epoch=3)
        >>> again = augment(batch, [RandomAffine(), RandomNoise()], seed=0, epoch=3)
        >>> torch.equal(once.image, again.image)
        True
    """
    if not isinstance(batch, Sample):
        raise TypeError(
            f"`batch` (of type {type(batch).__name__}) must be a Sample, as `dataset.batch` and "
            "`dataset.loader` yield it; of a dictionary `Sample(**batch)` makes one."
        )
    if batch.image.ndim != 4:
        raise ValueError(
            f"`batch.image` has shape {tuple(batch.image.shape)}, but a batch has the shape "
            "(N, C, H, W); use `dataset.batch([row])` for a batch of one."
        )
    dtype = batch.image.dtype
    if dtype not in {torch.float32, torch.float64}:
        batch = to_float(batch)
    seed, epoch = operator.index(seed), operator.index(epoch)  # NumPy's integers draw alike
    rows = batch.row.tolist()
    for position, transform in enumerate(transforms):
        batch = transform(batch, [_generator(seed, epoch, position, row) for row in rows])
    if dtype.is_floating_point:
        batch = batch._replace(image=batch.image.to(dtype))
    return batch


@dataclass(frozen=True)
class RandomAffine:
    """Rotate and scale about the centre of the image, then shift; the mask moves with the image.

    The image is sampled bilinearly and the mask at the nearest pixel, on the same grid. What comes
    in from outside the image is 0. Pixels are taken to be square.

    Args:
        rotation: Largest angle in degrees, 0..180; the angle is uniform in -rotation..rotation,
            clockwise where positive.
        scaling: Largest relative change of size, 0 <= scaling < 1; the factor is uniform in
            1 - scaling..1 + scaling, and above 1 enlarges.
        shift: Largest shift as a fraction of the width and of the height, 0..1; both shifts are
            uniform in -shift..shift, to the right and downwards where positive.

    Raises:
        TypeError: An argument is no number.
        ValueError: An argument is out of its range.

    Examples:
        >>> import torch
        >>> from seattn.data import RandomAffine, Sample, augment
        >>> mask = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
        >>> mask[..., 10:20, 10:20] = 1
        >>> batch = Sample(mask.float(), torch.tensor([1]), mask, torch.tensor([0]))
        >>> shift = RandomAffine(rotation=0, scaling=0, shift=0.3)
        >>> moved = augment(batch, [shift], seed=0, epoch=0)
        >>> moved.mask[0, 0].nonzero().amin(0)  # was 10, 10
        tensor([12, 17])
        >>> (moved.image[moved.mask == 1] > 0.2).all()  # the mask is where the image is
        tensor(True)
    """

    rotation: float = 15.0
    scaling: float = 0.1
    shift: float = 0.0

    def __post_init__(self) -> None:
        """Check the range."""
        _check_numbers(self)
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"`rotation` (={self.rotation}) must be within 0..180 degrees.")
        if not 0 <= self.scaling < 1:
            raise ValueError(f"`scaling` (={self.scaling}) must be at least 0 and below 1.")
        if not 0 <= self.shift <= 1:
            raise ValueError(f"`shift` (={self.shift}) must be within 0..1, a part of the size.")

    def __call__(self, batch: Sample, generators: Sequence[torch.Generator]) -> Sample:
        """Return the batch rotated, scaled and shifted."""
        if (
            self.rotation == self.scaling == self.shift == 0
        ):  # sampling would blur by some 1e-5 of a pixel
            return batch
        draws = _uniform(generators, 2)
        grid = _affine_grid(
            torch.deg2rad(self.rotation * draws[:, 0]),
            1 + self.scaling * draws[:, 1],
            self.shift * _uniform(generators, 2),
            batch.image,
        )
        image = F.grid_sample(batch.image, grid, align_corners=False)
        annotated = batch.mask[:, 0, 0, 0] != 255
        if not annotated.any():
            return batch._replace(image=image)
        moved = F.grid_sample(
            batch.mask[annotated].to(grid.dtype),
            grid[annotated],
            mode="nearest",
            align_corners=False,
        )
        mask = batch.mask.clone()
        mask[annotated] = moved.to(mask.dtype)
        return batch._replace(image=image, mask=mask)


@dataclass(frozen=True)
class RandomFlip:
    """Mirror images left to right and top to bottom; the mask moves with the image.

    Leave it out where the side of the body is part of the label: a mirrored left ankle looks like
    a right one.

    Args:
        horizontal: Probability of mirroring left to right, 0..1.
        vertical: Probability of mirroring top to bottom, 0..1.

    Raises:
        TypeError: A probability is no number.
        ValueError: A probability is out of its range.

    Examples:
        >>> import torch
        >>> from seattn.data import RandomFlip, Sample, augment
        >>> image = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]])
        >>> mask = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
        >>> batch = Sample(image, torch.tensor([0]), mask, torch.tensor([0]))
        >>> augment(batch, [RandomFlip(horizontal=1, vertical=0)], seed=0, epoch=0).image
        tensor([[[[0.2000, 0.1000],
                  [0.4000, 0.3000]]]])
    """

    horizontal: float = 0.5
    vertical: float = 0.5

    def __post_init__(self) -> None:
        """Check the probabilities."""
        _check_numbers(self)
        for name in ("horizontal", "vertical"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be within 0..1.")

    def __call__(self, batch: Sample, generators: Sequence[torch.Generator]) -> Sample:
        """Return the batch with some of its images mirrored."""
        draws = (_uniform(generators, 2) + 1) / 2  # 0..1
        chosen = draws < torch.tensor([self.horizontal, self.vertical])
        image, mask = batch.image, batch.mask
        for dim, some in zip(
            (3, 2), chosen.to(image.device)[..., None, None, None].unbind(1), strict=True
        ):
            image = torch.where(some, image.flip(dim), image)
            mask = torch.where(some, mask.flip(dim), mask)
        return batch._replace(image=image, mask=mask)


@dataclass(frozen=True)
class RandomContrast:
    """Stretch or compress the grey values about 0.5, and clamp them to 0..1.

    About 0.5, the centre of the window, because there a factor f equals reading the file with a
    window narrower by f; about the mean of the image it would depend on how much air surrounds the
    patient. For images in 0..1 alone: of modality values the clamp would leave nothing. On the CPU
    others are refused; on a GPU they are not, since to look at values is to wait for the device.

    Args:
        contrast: Largest relative change, 0..1; the factor is uniform in 1 - contrast..1 +
            contrast.

    Raises:
        TypeError: ``contrast`` is no number.
        ValueError: ``contrast`` is out of its range; in a call, a batch on the CPU is not within
            0..1.

    Examples:
        >>> import torch
        >>> from seattn.data import RandomContrast, Sample, augment
        >>> image = torch.tensor([[[[0.3, 0.5, 0.7]]]])
        >>> mask = torch.zeros(1, 1, 1, 3, dtype=torch.uint8)
        >>> batch = Sample(image, torch.tensor([0]), mask, torch.tensor([0]))
        >>> for epoch in range(2):  # 0.5 stays
        ...     print(augment(batch, [RandomContrast(0.5)], seed=0, epoch=epoch).image)
        tensor([[[[0.3409, 0.5000, 0.6591]]]])
        tensor([[[[0.3045, 0.5000, 0.6955]]]])
    """

    contrast: float = 0.2

    def __post_init__(self) -> None:
        """Check the range."""
        _check_numbers(self)
        if not 0 <= self.contrast <= 1:
            raise ValueError(f"`contrast` (={self.contrast}) must be within 0..1.")

    def __call__(self, batch: Sample, generators: Sequence[torch.Generator]) -> Sample:
        """Return the batch with another contrast."""
        _check_image("RandomContrast", batch.image)
        factor = 1 + self.contrast * _uniform(generators, 1)
        factor = factor.to(batch.image.device)[:, :, None, None]
        image = (batch.image - 0.5).mul_(factor).add_(0.5).clamp_(0, 1)
        return batch._replace(image=image)


@dataclass(frozen=True)
class RandomNoise:
    """Add independent Gaussian noise to every pixel, and clamp the result to 0..1.

    For images in 0..1 alone: of modality values the clamp would leave nothing. On the CPU others
    are refused; on a GPU they are not, since to look at values is to wait for the device.

    Args:
        sigma: Standard deviation on the 0..1 scale of the image, at least 0. With a bone window
            1800 HU wide, the default of 0.01 is 18 HU.

    Raises:
        TypeError: ``sigma`` is no number.
        ValueError: ``sigma`` is negative or not finite; in a call, a batch on the CPU is not
            within 0..1.

    Examples:
        >>> import torch
        >>> from seattn.data import RandomNoise, Sample, augment
        >>> image = torch.full((1, 1, 256, 256), 0.5)
        >>> mask = torch.zeros(1, 1, 256, 256, dtype=torch.uint8)
        >>> batch = Sample(image, torch.tensor([0]), mask, torch.tensor([0]))
        >>> noisy = augment(batch, [RandomNoise(0.02)], seed=0, epoch=0).image
        >>> round(noisy.mean().item(), 3), round(noisy.std().item(), 3)
        (0.5, 0.02)
    """

    sigma: float = 0.01

    def __post_init__(self) -> None:
        """Check the range."""
        _check_numbers(self)
        if not 0 <= self.sigma < math.inf:
            raise ValueError(f"`sigma` (={self.sigma}) must be finite and at least 0.")

    def __call__(self, batch: Sample, generators: Sequence[torch.Generator]) -> Sample:
        """Return the batch with noise added."""
        _check_image("RandomNoise", batch.image)
        noise = torch.empty(batch.image.shape)
        for one, generator in zip(noise, generators, strict=True):
            torch.randn(one.shape, generator=generator, out=one)
        noise = noise.mul_(self.sigma).to(batch.image.device)
        return batch._replace(image=(batch.image + noise).clamp_(0, 1))


def _check_numbers(transform: "RandomAffine | RandomFlip | RandomContrast | RandomNoise") -> None:
    for field in fields(transform):
        check_number(field.name, getattr(transform, field.name))


def _check_image(transform: str, image: torch.Tensor) -> None:
    """Refuse an image beyond 0..1, where looking at it takes less time than changing it."""
    if image.device.type != "cpu" or not image.numel():
        return
    low, high = (bound.item() for bound in image.aminmax())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ValueError(
            f"`batch.image` has values in {low:.4g}..{high:.4g}, but {transform} is for images in "
            "0..1; make the dataset with `units`='window', 'minmax' or 'percentile', or leave "
            f"{transform} out."
        )


def _generator(*key: int) -> torch.Generator:
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def _uniform(generators: Sequence[torch.Generator], count: int) -> torch.Tensor:
    """Draw ``count`` numbers from -1..1 for each row: (N, count)."""
    return 2 * torch.stack([torch.rand(count, generator=each) for each in generators]) - 1


def _affine_grid(
    angle: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, image: torch.Tensor
) -> torch.Tensor:
    """Say where each pixel of the result comes from: (N, H, W, 2), as ``grid_sample`` wants it.

    A pixel at the offset (x, y) from the centre comes from (x cos a + y sin a, y cos a - x sin a) /
    scale, where no shift moved it. That is a vector for its column plus a vector for its row, and
    costs one addition a pixel.
    """
    height, width = image.shape[-2:]
    shift_x, shift_y = (2 * shift).to(image)[..., None, None].unbind(1)  # (N, 1, 1)
    x = ((2 * torch.arange(width) + 1) / width - 1).to(image) - shift_x  # -1..1 over the width
    y = ((2 * torch.arange(height) + 1) / height - 1).to(image)[:, None] - shift_y
    cos = (angle.cos() / scale).to(image)[:, None, None]  # (N, 1, 1)
    sin = (angle.sin() / scale).to(image)[:, None, None]
    # One unit of x is half a width, one of y half a height: hence the ratios.
    column = torch.stack([cos * x, -sin * (width / height) * x], dim=-1)  # (N, 1, W, 2)
    row = torch.stack([sin * (height / width) * y, cos * y], dim=-1)  # (N, H, 1, 2)
    return column + row
