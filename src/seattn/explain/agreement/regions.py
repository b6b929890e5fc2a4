"""Which annotated regions a map finds: a map may be strong on one fracture and miss the other."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seattn.explain.agreement.arguments import flat_maps, pixel_steps, to_mask_size
from seattn.explain.agreement.overlap import strongest

__all__ = [
    "Region",
    "RegionTable",
    "region_recall",
    "region_table",
    "required",
    "top_pixels",
]

# Marked pixels that are fractions of one (ties) add up with rounding, and so do those of an FFT.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Region:
    """One annotated region, and whether the map found it.

    Args:
        case: The position of its case in the batch.
        reader: Who annotated it, or ``None``.
        label: Its label in the label map.
        size: Its area or volume, in the unit of the table.
        covered: The share of its pixels in the top of the map.
        hit: Whether it counts as found.

    Examples:
        >>> import torch
        >>> from seattn.explain import label_regions, region_table
        >>> regions = label_regions(torch.tensor([[[1, 0, 0, 1], [0, 0, 0, 1]]]))
        >>> cam = torch.tensor([[[9.0, 1.0, 0.0, 2.0], [1.0, 1.0, 0.0, 2.0]]])
        >>> region_table(cam, regions, top=0.1).rows[0]
        Region(case=0, reader=None, label=1, size=1.0, covered=1.0, hit=True)
    """

    case: int
    reader: str | None
    label: int
    size: float
    covered: float
    hit: bool


@dataclass(frozen=True)
class RegionTable:
    """The regions of all cases and readers; ``print`` shows them as a table.

    Args:
        rows: One for each region, by reader, case and label.
        unit: Of the sizes: pixels, or mm to the power of the spatial dimensions.

    Examples:
        >>> import torch
        >>> from seattn.explain import label_regions, region_table
        >>> regions = label_regions(torch.tensor([[[1, 0, 0, 1], [0, 0, 0, 1]]]))
        >>> cam = torch.tensor([[[9.0, 1.0, 0.0, 2.0], [1.0, 1.0, 0.0, 2.0]]])
        >>> table = region_table(cam, regions, top=0.1)
        >>> len(table), table.summary
        (2, '1 of 2 regions hit: 1 of 1 up to 1 pixels, 0 of 1 above')
        >>> [(region.label, region.hit) for region in table]
        [(1, True), (2, False)]
    """

    rows: tuple[Region, ...]
    unit: str

    def __iter__(self) -> Iterator[Region]:
        """The rows in order."""
        return iter(self.rows)

    def __len__(self) -> int:
        """How many regions there are."""
        return len(self.rows)

    @property
    def summary(self) -> str:
        """How many regions are hit, of the smaller and of the larger ones."""
        if not self.rows:
            return "no region"
        sizes = sorted(row.size for row in self.rows)
        middle = sizes[(len(sizes) - 1) // 2]
        small = [row.hit for row in self.rows if row.size <= middle]
        large = [row.hit for row in self.rows if row.size > middle]
        text = f"{sum(small) + sum(large)} of {len(self.rows)} regions hit"
        text += f": {sum(small)} of {len(small)} up to {middle:.4g} {self.unit}"
        return text + (f", {sum(large)} of {len(large)} above" if large else "")

    def __str__(self) -> str:
        """The summary, and a line for each region."""
        lines = [f"case  reader  label  {'size/' + self.unit:>11}  covered  hit"]
        lines += [
            f"{row.case:4d}  {row.reader or '-':6}  {row.label:5d}  {row.size:11.4g}  "
            f"{row.covered:6.0%}   {'yes' if row.hit else 'no'}"
            for row in self.rows
        ]
        return "\n".join([self.summary, *lines])


def region_recall(cam: Tensor, regions: Tensor, *, top: float = 0.05, share: float = 0.0) -> Tensor:
    """Return, for each case, the share of its annotated regions that the top of the map hits.

    The top is the ``top`` share of the pixels (rounded up) with the largest values; those where the
    map is 0 are left out, and equal pixels that compete for the last places count by the fraction
    of them that has a place. A region is hit when the marked pixels in it add up to one at least,
    and to ``share`` of its pixels.

    Args:
        cam: The maps, finite and not negative.
        regions: A label map, integer: 0 outside, one number for each region. ``label_regions``
            makes it of a mask.
        top: The share of the image that is marked, in (0, 1].
        share: The share of a region that must be marked, 0..1; 0 asks for one pixel.

    Shape:
        - cam, regions: ``(N, *spatial)``, any number of spatial dimensions; a single image is
          ``cam[None], regions[None]``.
        - output: (N,).

    Returns:
        A float64 tensor in 0..1; 0 for a blank map, nan where a case has no region.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: The shapes differ, ``cam`` is negative or not finite, ``regions`` is no label
            map, or ``top`` or ``share`` is out of range.

    Examples:
        >>> import torch
        >>> from seattn.explain import label_regions, region_recall
        >>> cam = torch.tensor([[[9.0, 1.0, 0.0, 2.0]]])
        >>> region_recall(cam, label_regions(torch.tensor([[[1, 0, 0, 1]]])), top=0.25)
        tensor([0.5000], dtype=torch.float64)
    """
    table = region_table(cam, regions, top=top, share=share)
    hits: list[list[bool]] = [[] for _ in range(len(cam))]
    for row in table:
        hits[row.case].append(row.hit)
    shares = [sum(found) / len(found) if found else math.nan for found in hits]
    return torch.tensor(shares, dtype=torch.float64, device=cam.device)


def region_table(
    cam: Tensor,
    regions: Tensor,
    *,
    top: float = 0.05,
    share: float = 0.0,
    spacing: Sequence[float] | Tensor | None = None,
    reader: str | None = None,
) -> RegionTable:
    """Return each annotated region with its size, and whether the top of the map hits it.

    Args:
        cam: As in ``region_recall``, ``(N, *spatial)``.
        regions: As in ``region_recall``, of the same shape.
        top: As in ``region_recall``.
        share: As in ``region_recall``.
        spacing: The distance of neighbouring pixels along each spatial axis, in mm, (D,) or (N, D);
            sizes are then in mm2 or mm3, else in pixels.
        reader: Who annotated, for the rows.

    Returns:
        The regions by case and label.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: As in ``region_recall``, or ``spacing`` does not fit.

    Examples:
        >>> import torch
        >>> from seattn.explain import label_regions, region_table
        >>> regions = label_regions(torch.tensor([[[1, 0, 0, 1], [0, 0, 0, 1]]]))
        >>> cam = torch.tensor([[[9.0, 1.0, 0.0, 2.0], [1.0, 1.0, 0.0, 2.0]]])
        >>> print(region_table(cam, regions, top=0.1, spacing=(0.5, 0.5)))
        1 of 2 regions hit: 1 of 1 up to 0.25 mm2, 0 of 1 above
        case  reader  label     size/mm2  covered  hit
           0  -           1         0.25    100%   yes
           0  -           2          0.5      0%   no
    """
    marks, axes = top_pixels(cam, regions, top), regions.dim() - 1
    sizes = torch.ones(len(cam)) if spacing is None else pixel_steps(spacing, regions.shape).prod(1)
    unit = "pixels" if spacing is None else f"mm{axes}" if axes > 1 else "mm"
    rows = []
    for case, (label_map, weight) in enumerate(zip(regions.flatten(1), marks, strict=True)):
        labels, position, pixels = label_map.unique(return_inverse=True, return_counts=True)
        amounts = torch.zeros(len(labels), dtype=weight.dtype, device=weight.device)
        amounts.index_add_(0, position, weight)
        rows_of_case = zip(labels.tolist(), pixels.tolist(), amounts.tolist(), strict=True)
        for label, count, amount in rows_of_case:
            if label != 0:
                hit, size = amount >= required(count, share), count * float(sizes[case])
                rows.append(Region(case, reader, label, size, amount / count, hit))
    return RegionTable(tuple(rows), unit)


def top_pixels(cam: Tensor, regions: Tensor, top: float) -> Tensor:
    """How much of each pixel is in the top of its map, 0..1, (N, pixels)."""
    to_mask_size(cam, regions, name="regions")
    if regions.is_floating_point() or regions.dtype == torch.bool or (regions < 0).any():
        raise ValueError(
            f"`regions` (dtype {regions.dtype}) must be a label map of integers, 0 outside; "
            "label_regions(mask) makes one"
        )
    if not 0 < top <= 1:
        raise ValueError(f"`top` (={top}) must be a share of the image, in (0, 1]")
    values = flat_maps(cam)
    count = math.ceil(top * values.shape[1] - _ROUNDING)
    return strongest(values, torch.full((len(values),), count, device=values.device))


def required(pixels: int, share: float) -> float:
    """How many marked pixels a region of this size needs to be hit."""
    if not 0 <= share <= 1:
        raise ValueError(f"`share` (={share}) must be a share of the region, 0..1")
    return max(1.0, share * pixels) - _ROUNDING
