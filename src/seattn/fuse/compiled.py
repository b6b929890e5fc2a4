"""A network through the compiler, with its weights frozen into the code."""

import contextlib
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from seattn.fuse.hooks import has_hooks
from seattn.fuse.micro_batches import fitting_micro_batch, is_joined, run_in_micro_batches

__all__ = ["CompiledNetwork", "compile_for_batch"]

# The wrapper in C++ saves 3 % of EfficientNet-B5's time at batch 1. Options of its own also keep
# Dynamo from taking what it has compiled of the same class, not frozen.
_OPTIONS = {"freezing": True, "cpp_wrapper": True}
_LIMIT = 200


class CompiledNetwork(nn.Module):
    """Runs a network through ``torch.compile`` with Inductor's freezing, for inference on the CPU.

    Frozen weights are laid out once as the kernels want them, and activations and additions join
    the convolutions. The setting has to be on while the network is traced, which the ``options``
    of ``torch.compile`` do not do: there it is without effect. Every shape is compiled once: the
    memory format, gradients and the mode in which it is called make no difference. While a module
    inside has a hook, the network runs as it is.

    Attributes:
        micro_batch: How many images of a larger batch run at once. None: all.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.micro_batch: int | None = None
        self._compile()

    def forward(self, x: Tensor) -> Any:
        """Return what the network returns."""
        from torch._dynamo import config as dynamo  # seconds
        from torch._inductor import config as inductor

        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
            stack.enter_context(inductor.patch(freezing=True))
            # All networks of a class share how much Dynamo may compile: 8 times, unless told.
            stack.enter_context(dynamo.patch(recompile_limit=_LIMIT))
            size = self.micro_batch
            if has_hooks(*self.network.modules()):
                stack.enter_context(torch.compiler.set_stance("force_eager"))
                size = None
            x = _usual(x)
            if size is None or len(x) <= size:
                return self.network(x)
            return run_in_micro_batches(self.network, x, size)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Compile again: copies and pickles do not hold what was compiled."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._compile()

    def _compile(self) -> None:
        # For each shape anew. With sizes left open, a frozen convolution of images of one channel
        # gives another memory layout than Inductor expects, which is an error.
        self.network.compile(dynamic=False, options=_OPTIONS)


def compile_for_batch(network: nn.Module, x: Tensor) -> CompiledNetwork:
    """Compile a network, and let it divide batches if that is right and faster for this one."""
    compiled = CompiledNetwork(network)
    size = fitting_micro_batch(network, x)
    if size < len(x):
        whole, seconds = _fastest(compiled, x)
        if is_joined(whole, len(x)):
            compiled.micro_batch = size
            divided, seconds_divided = _fastest(compiled, x)
            if seconds < seconds_divided or not _are_close(divided, whole):
                compiled.micro_batch = None
    return compiled


def _fastest(network: nn.Module, x: Tensor) -> tuple[Any, float]:
    """Return the output and the seconds of the fastest of three calls; the first compiles."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        output = network(x)
        times.append(time.perf_counter() - start)
    return output, min(times)


def _are_close(actual: Any, expected: Any) -> bool:
    """Return whether outputs differ by rounding only: images of a batch might see each other."""
    return all(
        (a - e).abs().max() <= max(1e-5, 8 * torch.finfo(e.dtype).eps) * e.abs().max()
        for a, e in zip(tree_leaves(actual), tree_leaves(expected), strict=True)
    )


def _usual(x: Tensor) -> Tensor:
    """Return the tensor in the form that is compiled for: Dynamo would compile others anew."""
    strides = torch.empty(
        x.shape, device="meta"
    ).stride()  # one channel has several ways to be last
    if x.is_inference() or x.stride() != strides:
        return x.detach().clone(memory_format=torch.contiguous_format)
    return x.detach()
