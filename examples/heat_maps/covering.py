"""Does the network need the fracture? Its score once the annotated pixels are smoothed away."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from examples.heat_maps.radiographs import Radiographs

__all__ = ["covering_rows", "smooth_away"]

KERNEL = 31


def covering_rows(network: nn.Module, test: Radiographs) -> list[dict[str, Any]]:
    """The log odds of a fracture in each fractured test image, with and without the fracture."""
    fractured = torch.nonzero(test.labels == 1).flatten()
    batch = test.batch(fractured)
    before = _log_odds(network, batch.image)
    after = _log_odds(network, smooth_away(batch.image, batch.mask))
    return [
        {
            "kind": "covering",
            "image": test.names[row],
            "group": test.groups[row],
            "log_odds": round(float(before[i]), 4),
            "without_fracture": round(float(after[i]), 4),
        }
        for i, row in enumerate(fractured.tolist())
    ]


def smooth_away(image: Tensor, mask: Tensor) -> Tensor:
    """The image with the mean of a square of 31 pixels in place of each pixel of the mask."""
    smooth = F.avg_pool2d(image, KERNEL, stride=1, padding=KERNEL // 2, count_include_pad=False)
    return torch.where(mask == 1, smooth, image)


@torch.inference_mode()
def _log_odds(network: nn.Module, image: Tensor) -> Tensor:
    logits = network.eval()(image)
    return logits[:, 1] - logits[:, 0]
