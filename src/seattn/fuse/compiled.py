"""A network through the compiler, with its weights frozen into the code."""

from typing import Any

import torch
from torch import nn

__all__ = ["CompiledNetwork"]

_OPTIONS = {"freezing": True}  # keeps apart what Dynamo has compiled of the same class, not frozen


class CompiledNetwork(nn.Module):
    """Runs a network through ``torch.compile`` with Inductor's freezing, for inference on the CPU.

    Frozen weights are laid out once as the kernels want them, and activations and additions join
    the convolutions. The setting has to be on while the network is traced, which the ``options``
    of ``torch.compile`` do not do: there it is without effect.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.network.compile(options=_OPTIONS)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the network returns."""
        from torch._inductor import config  # seconds

        with torch.no_grad(), config.patch(freezing=True):
            return self.network(*args, **kwargs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Compile again: copies and pickles do not hold what was compiled."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.network.compile(options=_OPTIONS)
