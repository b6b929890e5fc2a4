"""A batch in micro-batches: on a CPU large maps cost more than their arithmetic."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["fitting_micro_batch", "is_joined", "run_in_micro_batches"]

# Larger allocations go back to the kernel when they are freed (M_MMAP_THRESHOLD of mallopt(3),
# whose largest value in glibc is this), and so each new map is zeroed page by page.
_KEPT = 32 * 2**20


@torch.no_grad()
def fitting_micro_batch(network: nn.Module, x: Tensor) -> int:
    """Return into how many images at once to divide a batch, so that malloc keeps their maps.

    Args:
        network: As it is, not compiled.
        x: The batch, of any number of images.
    """
    largest = 1

    def look(module: nn.Module, args: Any, output: Any) -> None:
        nonlocal largest
        sizes = [leaf.nbytes for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        largest = max(largest, *sizes, 0)

    hooks = [module.register_forward_hook(look) for module in network.modules()]
    try:
        network(x[:2])
    finally:
        for hook in hooks:
            hook.remove()
    of_one = largest / len(x[:2])
    parts = math.ceil(len(x) / max(1, _KEPT // of_one))
    return math.ceil(len(x) / parts)


def run_in_micro_batches(network: Callable[[Tensor], Any], x: Tensor, size: int) -> Any:
    """Return what the network returns for a batch of at least ``size`` images.

    All micro-batches have that size, since another one would be compiled for: the last one takes
    images of the one before with it.
    """
    whole = x[: len(x) // size * size]
    outputs = [network(images) for images in torch.split(whole, size)]
    if rest := len(x) % size:
        outputs.append(tree_map(lambda output: output[-rest:], network(x[-size:])))
    return tree_map(lambda *parts: torch.cat(parts), *outputs)


def is_joined(output: Any, images: int) -> bool:
    """Return whether all of an output is tensors with an entry for each image."""
    return all(
        isinstance(leaf, Tensor) and leaf.ndim > 0 and len(leaf) == images
        for leaf in tree_leaves(output)
    )
