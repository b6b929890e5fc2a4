"""The proof that a fused network is the original: both on one example."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["check", "make_example", "outputs"]

_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-11}


def make_example(network: nn.Module) -> Tensor:
    """Return two random images of odd sides, drawn apart from the global random state.

    Raises:
        ValueError: There is no convolution to tell the shape of an image from.
    """
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    first = next((m for m in network.modules() if isinstance(m, convolutions)), None)
    if first is None:
        raise ValueError("`model` has no convolution, so there is nothing to fuse")
    dims = len(first.kernel_size)
    sides = (65, 67)[:dims] if dims < 3 else (33, 35, 37)
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
                f"while running `model` on an example of shape {tuple(example.shape)}; `example` "
                "takes one of your own"
            )
            raise


def check(
    actual: list[Tensor], expected: list[Tensor], *, rival: list[Tensor] | None = None
) -> float:
    """Return the worst deviation of what a fused network returned, where it is small enough.

    Args:
        actual: From the fused network.
        expected: From the original, in float32 or float64.
        rival: From the original in the half precision of the fused network, if it has one.

    Raises:
        RuntimeError: The deviation is too large, or not a number.
    """
    found = _deviation(actual, expected)
    allowed = _TOLERANCE[expected[0].dtype]
    if rival is not None:
        allowed = max(2 * _deviation(rival, expected), torch.finfo(actual[0].dtype).eps)
    if not found <= allowed:  # nan is too large
        raise RuntimeError(
            f"the fused copy of `model` differs from it by {found:.2g} of its largest output on "
            f"the example, where {allowed:.2g} is allowed; is the network finite there, and what "
            "it computes stable? `example` takes a batch of your own"
        )
    return found


def _deviation(actual: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference, relative to the largest number of the same output."""
    worst = []
    for ours, theirs in zip(actual, expected, strict=True):
        size = theirs.double().abs().max()
        worst.append((ours.double() - theirs.double()).abs().max() / size.clamp_min(1e-30))
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
