"""One forward pass of any network, watched: what its modules return, where its residuals end."""

from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seattn.surgery.provenance import Provenance

__all__ = ["Output", "Watched", "example_inputs", "first_convolution", "run", "watch"]


class Output(NamedTuple):
    """What is known of a tensor that a module returned."""

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device


class Watched(NamedTuple):
    """What a forward pass showed.

    Args:
        outputs: What each module that ran returned, once per call; None if not one tensor.
        branches: The module at the end of every residual branch; in a network that adds nowhere,
            of every layer whose output is concatenated to something that it was computed from.
    """

    outputs: dict[str, list[Output | None]]
    branches: set[str]


def watch(model: nn.Module, inputs: tuple[Any, ...]) -> Watched:
    """Run ``model`` once and return what was seen; the model and the random state stay as they are.

    A residual branch shows itself where two maps of one shape are added of which one has passed
    more convolutions than the other. Neither names nor classes of modules matter.
    """
    outputs: dict[str, list[Output | None]] = {}
    with ExitStack() as stack:
        provenance = Provenance(inputs)
        for name, module in model.named_modules():
            if name:
                hook = partial(_record, name, outputs, provenance)
                stack.enter_context(module.register_forward_hook(hook))
        stack.enter_context(provenance)
        run(model, inputs)
    places = provenance.additions or provenance.concatenations
    return Watched(outputs, {place for place in places if place})


def example_inputs(
    model: nn.Module, example_input: Tensor | tuple[Any, ...] | None
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return two tuples of arguments for ``model``: images of two sizes, or twice the user's own.

    What looks like a number of channels in one run and is one of pixels shows itself in the other.
    """
    if example_input is not None:
        own = example_input if isinstance(example_input, tuple) else (example_input,)
        return own, own
    convolution = first_convolution(model)
    if convolution is None:
        raise ValueError(
            "`example_input` (=None) has no default for a network without convolutions; pass a "
            "tensor that it takes"
        )
    dims = len(convolution.kernel_size)
    small, large = (
        convolution.weight.new_ones(2, convolution.in_channels, *(side,) * dims)
        for side in ((64, 96) if dims < 3 else (32, 48))
    )
    return (small,), (large,)


def first_convolution(model: nn.Module) -> nn.Conv1d | nn.Conv2d | nn.Conv3d | None:
    """Return the first convolution in the order of modules."""
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            return module
    return None


def run(model: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Run ``model`` in eval mode, without a graph, autocast or a trace in the random state."""
    training = [(module, module.training) for module in model.modules()]
    devices = {parameter.device for parameter in model.parameters()}
    with ExitStack() as stack:
        for kind in {"cpu", *(device.type for device in devices)}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(torch.random.fork_rng([d for d in devices if d.type == "cuda"]))
        stack.enter_context(torch.no_grad())
        try:
            for module, _ in training:
                module.training = False  # not `eval()`, which a module may override
            model(*inputs)
        except Exception as error:
            shapes = [tuple(value.shape) for value in inputs if isinstance(value, Tensor)]
            error.add_note(
                f"while running `model` on an example, {shapes}, to see its maps; `example_input` "
                "takes one of your own. `model` is as it was."
            )
            raise
        finally:
            for module, flag in training:
                module.training = flag


def _record(
    name: str,
    outputs: dict[str, list[Output | None]],
    provenance: Provenance,
    module: nn.Module,
    args: tuple[Any, ...],
    output: Any,
) -> None:
    single = isinstance(output, Tensor)
    seen = Output(output.shape, output.dtype, output.device) if single else None
    outputs.setdefault(name, []).append(seen)
    if single:
        provenance.returned(name, module, output)
