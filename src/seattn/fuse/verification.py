"""The proof that a fused network is the original: both on one example."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["check_algebra", "check_rounding", "make_example", "outputs"]


def make_example(network: nn.Module) -> Tensor:
    """Return two random images, drawn apart from the global random state.

    Raises:
        ValueError: There is no convolution to tell the shape of an image from.
    """
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    first = next((m for m in network.modules() if isinstance(m, convolutions)), None)
    if first is None:
        raise ValueError("`model` has no convolution, so there is nothing to fuse")
    dims = len(first.kernel_size)
    sides = (64, 96)[:dims] if dims < 3 else (32, 48, 32)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, first.in_channels, *sides, generator=generator)


@torch.no_grad()
def outputs(network: nn.Module, example: Tensor) -> list[Tensor]:
    """Return the tensors that the network returns, in the dtype and on the device that it has."""
    like = next(p for p in network.parameters() if p.is_floating_point())
    with torch.autocast(like.device.type, enabled=False):
        try:
            return list(_tensors(network(example.to(like))))
        except Exception as error:
            error.add_note(
                f"while running `model` on an example of shape {tuple(example.shape)}: it has to "
                "take one tensor, and `example` is a batch of the images that it is for"
            )
            raise


def check_algebra(actual: list[Tensor], expected: list[Tensor]) -> None:
    """Compare what the fused network and the original returned in float64.

    Raises:
        RuntimeError: They differ by more than rounding, or are not finite.
    """
    _refuse_if_beyond(_deviation(actual, expected), 1e-8, "float64")


def check_rounding(
    actual: list[Tensor], before: list[Tensor], expected: list[Tensor]
) -> tuple[float, float]:
    """Return how far the fused network and the original are from the exact result.

    Args:
        actual: From the fused network in its dtype.
        before: From the original in that dtype.
        expected: From the original in float64.

    Raises:
        RuntimeError: The fused network is much farther. One rounding more or less in a large
            network can double the deviation or halve it.
    """
    dtype = actual[0].dtype
    fused, original = _deviation(actual, expected), _deviation(before, expected)
    floor = 1e-5 if dtype in (torch.float32, torch.float64) else torch.finfo(dtype).eps
    _refuse_if_beyond(fused, max(4 * original, floor), str(dtype).removeprefix("torch."))
    return fused, original


def _refuse_if_beyond(found: float, allowed: float, dtype: str) -> None:
    if not found <= allowed:  # which holds for nan too
        raise RuntimeError(
            f"in {dtype} the fused copy of `model` differs from it by {found:.2g} of its largest "
            f"output, where {allowed:.2g} is allowed. If what `model` returns is not finite, give "
            "another `example`"
        )


def _deviation(actual: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference, relative to the largest number of the same output."""
    worst = []
    for ours, theirs in zip(actual, expected, strict=True):
        if ours.shape != theirs.shape:
            raise ValueError(
                "`model` must return tensors with one entry for each image, or `example` must "
                f"have two images: of two, one has the shape {tuple(theirs.shape)}"
            )
        size = theirs.double().abs().max()
        worst.append((ours.double().cpu() - theirs.double()).abs().max() / size.clamp_min(1e-30))
    return torch.stack(worst).max().item()  # which keeps a nan


def _tensors(output: Any) -> Iterator[Tensor]:
    """Yield the tensors in an output, which may be nested."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)
