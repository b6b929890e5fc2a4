"""Simulated readers: three ways in which a person's outline may differ from the reference standard.

No person marked anything here. The readers are made of the reference standard by fixed rules, so
that a network's agreement can be seen beside that of readers who differ in known ways.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from seattn.data import DicomDataset, read_dicom
from seattn.explain import label_regions

__all__ = ["REFERENCE", "RULES", "pixel_spacing", "simulated_readers"]

REFERENCE = "reference standard"
IN_MM = (3.0, 2.0)  # shift and growth
IN_SHARES = (0.04, 0.025)  # of the image's shorter side, where no spacing is known
RULES = {
    "shifted": "the outline is moved sideways, to where there is more room, by "
    f"{IN_MM[0]:g} mm ({IN_SHARES[0]:.1%} of the image where no pixel spacing is known)",
    "dilated": f"the outline is {IN_MM[1]:g} mm ({IN_SHARES[1]:.1%}) too wide all round",
    "partial": "the smallest region is missing; where there is one region, half of it",
}


def pixel_spacing(dataset: DicomDataset, positions: Sequence[int]) -> torch.Tensor | None:
    """Distance in mm between the rows and the columns of images as the networks see them.

    Of a radiograph it may be that on the detector, where everything is larger than in the body.

    Args:
        dataset: The images, resized.
        positions: Which of them, one or more.

    Returns:
        (N, 2), or None where one of the files does not give it.
    """
    height, width = dataset.batch(positions[:1]).image.shape[-2:]
    steps = []
    for row in (dataset.index.rows[i] for i in positions):
        path = dataset.index.root / row.path
        spacing = read_dicom(path, units="stored", frame=row.frame).meta.spacing
        if spacing is None:
            return None
        steps.append((spacing[0] * row.rows / height, spacing[1] * row.columns / width))
    return torch.tensor(steps, dtype=torch.float64)


def simulated_readers(masks: torch.Tensor, spacing: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """What readers of three kinds would have marked, by the names and rules of ``RULES``.

    What leaves the image is lost. A shift, or a growth, is one pixel at least.

    Args:
        masks: The reference standard, bool, (N, H, W), with something marked in each.
        spacing: (N, 2) mm between rows and columns; None takes lengths as shares of the image.
    """
    shift, growth = IN_SHARES if spacing is None else IN_MM
    if spacing is None:
        spacing = torch.full((len(masks), 2), 1 / min(masks.shape[1:]))
    cases = list(zip(masks, spacing.tolist(), strict=True))
    return {
        "shifted": torch.stack([_shifted(mask, round(shift / x) or 1) for mask, (_, x) in cases]),
        "dilated": torch.stack([_dilated(mask, growth, steps) for mask, steps in cases]),
        "partial": torch.stack([_partial(mask, steps) for mask, steps in cases]),
    }


def _moved(mask: torch.Tensor, down: int, right: int) -> torch.Tensor:
    return F.pad(mask, (right, -right, down, -down))


def _shifted(mask: torch.Tensor, columns: int) -> torch.Tensor:
    marked = mask.any(0).nonzero()
    left, right = int(marked.min()), mask.shape[1] - 1 - int(marked.max())
    return _moved(mask, 0, columns if right >= left else -columns)


def _dilated(mask: torch.Tensor, growth: float, steps: Sequence[float]) -> torch.Tensor:
    """Every pixel whose centre is at most ``growth`` from that of a marked one."""
    growth = max(growth, *steps) * (1 + 1e-9)
    reach = [int(growth / step) for step in steps]
    grown = mask
    for move in itertools.product(*(range(-pixels, pixels + 1) for pixels in reach)):
        if sum((n * step) ** 2 for n, step in zip(move, steps, strict=True)) <= growth**2:
            grown = grown | _moved(mask, *move)
    return grown


def _partial(mask: torch.Tensor, steps: Sequence[float]) -> torch.Tensor:
    """Without the smallest of its regions, or without half of the only one, across its length."""
    regions = label_regions(mask[None])[0]
    sizes = regions[mask].bincount()[1:].tolist()
    if len(sizes) > 1:
        return mask & (regions != 1 + sizes.index(min(sizes)))
    places = mask.nonzero()
    extent = (places.amax(0) - places.amin(0)) * torch.tensor(steps)
    order = places[:, int(extent.argmax())].argsort(stable=True)
    kept = places[order[: (len(places) + 1) // 2]]
    half = torch.zeros_like(mask)
    half[kept[:, 0], kept[:, 1]] = True
    return half
