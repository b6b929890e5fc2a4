"""A network through the compiler, with its weights frozen into the code."""

from typing import Any

import torch
from torch import nn

__all__ = ["CompiledNetwork"]

# The wrapper in C++ saves 3 % of EfficientNet-B5's time at batch 1. Options of its own also keep
# Dynamo from taking what it has compiled of the same class, not frozen.
_OPTIONS = {"freezing": True, "cpp_wrapper": True}


class CompiledNetwork(nn.Module):
    """Runs a network through ``torch.compile`` with Inductor's freezing, for inference on the CPU.

    Frozen weights are laid out once as the kernels want them, and activations and additions join
    the convolutions. The setting has to be on while the network is traced, which the ``options``
    of ``torch.compile`` do not do: there it is without effect.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._compile()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the network returns."""
        from torch._inductor import config  # seconds

        with torch.no_grad(), config.patch(freezing=True):
            return self.network(*args, **kwargs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Compile again: copies and pickles do not hold what was compiled."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._compile()

    def _compile(self) -> None:
        # For each shape anew. With sizes left open, a frozen convolution of images of one channel
        # gives another memory layout than Inductor expects, which is an error.
        self.network.compile(dynamic=False, options=_OPTIONS)
