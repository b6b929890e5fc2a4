"""What the gates of a network did to a batch."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["record_gates"]


@contextmanager
def record_gates(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record the gates of every attention block that runs inside the ``with`` block.

    A block counts if its *class* defines ``gate``, as that of ``SEBlock`` does (in timm's blocks
    ``gate`` is a child module, the sigmoid). The gate is computed a second time, from what the
    block was given. Hooks are on the model inside the ``with`` block only. What ``torch.compile``
    made before knows nothing of them, so inside the block compiled modules run eagerly.

    Args:
        model: Any network; blocks may sit at any depth. Its mode and gradients are left alone.

    Returns:
        A context manager. It yields a dict that every forward pass fills, in the order in which
        the blocks run: ``{module name: gates}``, gates detached, (N, C), on the device and in the
        dtype they were computed in. A gate that varies over space is averaged over it; one that is
        shared by all channels has a single column. When a block runs again, the last call wins.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.attention import SEBlock, record_gates
        >>> model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), SEBlock(32))
        >>> with record_gates(model) as gates:
        ...     _ = model(torch.randn(4, 1, 8, 8))
        >>> {name: tuple(gate.shape) for name, gate in gates.items()}
        {'2': (4, 32)}
    """
    gates: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        if "torch._dynamo" in sys.modules:  # else nothing is compiled, and the import takes seconds
            hooks.enter_context(torch.compiler.set_stance("force_eager"))
        for name, module in model.named_modules():
            if callable(getattr(type(module), "gate", None)):
                hook = partial(_record, gates, name)
                hooks.enter_context(module.register_forward_hook(hook, with_kwargs=True))
        yield gates


@torch.no_grad()
def _record(
    gates: dict[str, Tensor],
    name: str,
    block: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    output: Tensor,
) -> None:
    # BatchNorm inside a block must not count the batch a second time in training.
    norms = [
        module
        for module in block.modules()
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats
    ]
    try:
        for norm in norms:
            norm.track_running_stats = False
        gate: Tensor = block.gate(*args, **kwargs)
    finally:
        for norm in norms:
            norm.track_running_stats = True
    gates[name] = gate.flatten(2).mean(2)
