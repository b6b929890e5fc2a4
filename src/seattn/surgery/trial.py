"""The first run of a network with its new blocks: do they do what they should?"""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from seattn.surgery.attachment import CHILD
from seattn.surgery.hosts import Host
from seattn.surgery.watching import run

__all__ = ["try_out"]


def try_out(
    model: nn.Module,
    hosts: Sequence[Host],
    blocks: Sequence[nn.Module],
    inputs: tuple[Any, ...],
    *,
    identity: bool,
) -> None:
    """Run ``model`` with ``blocks`` on their ``hosts``, and refuse what does not fit.

    Raises:
        ValueError: A block does not run once, changes shape or dtype, or with ``identity`` its
            input.
    """
    runs: list[str] = []
    with ExitStack() as stack:
        for (name, module, _), block in zip(hosts, blocks, strict=True):
            attention = module.get_submodule(CHILD)
            # The block inside `attention`, if it is not that itself: mixing would hide its shape.
            for checked, check in (
                (block, partial(_check_shape, name)),
                (attention, partial(_check_run, name, runs, identity)),
            ):
                stack.enter_context(checked.register_forward_hook(check))
        run(model, inputs)
    for name in (host.name for host in hosts):
        if runs.count(name) != 1:
            raise ValueError(
                f"`at` {name!r} runs its children itself, and with them the block, which ran "
                f"{runs.count(name)} times instead of once; choose a module inside it, or after it"
            )


def _check_shape(name: str, block: nn.Module, args: tuple[Tensor], output: Any) -> None:
    (x,) = args
    if not isinstance(output, Tensor) or (output.shape, output.dtype) != (x.shape, x.dtype):
        what = f"{tuple(output.shape)} of {output.dtype}" if isinstance(output, Tensor) else output
        raise ValueError(
            f"`block` at {name!r} returned {what} for {tuple(x.shape)} of {x.dtype}; a block must "
            "keep the shape and the dtype of its input"
        )


def _check_run(
    name: str,
    runs: list[str],
    identity: bool,
    attention: nn.Module,
    args: tuple[Tensor],
    output: Tensor,
) -> None:
    runs.append(name)
    if identity and not args[0].isfinite().all():
        raise ValueError(
            f"the map at {name!r} is not finite on the example, so that no block can be shown to "
            "be the identity there; `example_input` takes an image like those of the training"
        )
    if identity and not torch.allclose(*args, output, rtol=0, atol=0, equal_nan=True):
        raise ValueError(
            f"`block` at {name!r} is not the identity: its `init_identity_` does not make it one; "
            "`init='default'` takes it as it is"
        )
