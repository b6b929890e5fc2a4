"""Which weights a layer-by-layer randomisation changes, from the head of a network to its input."""

import contextlib
from collections.abc import Callable, Container, Iterator, Sequence

import torch
from torch import Tensor, nn

from seattn.explain.layers import find_layer

__all__ = ["copy_weights", "starts", "weights_by_step"]


@contextlib.contextmanager
def starts(model: nn.Module) -> Iterator[dict[str, None]]:
    """Record the names of the modules that run inside a ``with`` block, by their last start."""
    started: dict[str, None] = {}

    def hook(name: str) -> Callable[[nn.Module, tuple[object, ...]], None]:
        def record(module: nn.Module, args: tuple[object, ...]) -> None:
            started.pop(name, None)
            started[name] = None

        return record

    with contextlib.ExitStack() as stack:
        for name, module in model.named_modules(remove_duplicate=False):
            stack.callback(module.register_forward_pre_hook(hook(name)).remove)
        yield started


def weights_by_step(
    model: nn.Module, x: Tensor, modules: Sequence[str] | None
) -> dict[str, list[str]]:
    """Return the names of the weights that each step changes, from the head to the input."""
    devices = range(torch.cuda.device_count())
    with starts(model) as started, torch.no_grad(), torch.random.fork_rng(devices=devices):
        model(x[:1])
    modules = [modules] if isinstance(modules, str) else modules
    if modules is not None and not modules:
        raise ValueError("`modules` is empty; name at least one, or give None for all")
    for name in modules or ():
        find_layer(model, name, argument="modules")
        if name not in started:
            raise ValueError(f"`modules` {name!r} did not run; name the module that uses it")
    chosen = started if modules is None else set(modules)
    weights = _weights(model)
    owners = {name: _owner(name, chosen) for name in weights}
    steps, seen = {}, set()
    for step in reversed(started):
        own = [name for name in weights if owners[name] == step and id(weights[name]) not in seen]
        seen |= {id(weights[name]) for name in own}
        if own:
            steps[step or "(root)"] = own
        elif step in chosen and modules is not None:
            raise ValueError(
                f"`modules` {step!r} has no weights that an earlier step has not changed; leave it "
                "out"
            )
    return steps


def _owner(name: str, chosen: Container[str]) -> str | None:
    """Return the innermost of the chosen modules around a weight."""
    while name:
        name = name.rpartition(".")[0]
        if name in chosen:
            return name
    return None


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Return what ``randomised_copy`` changes, by name; a shared weight by all its names."""
    return {
        f"{prefix}.{name}".lstrip("."): tensor
        for prefix, module in model.named_modules(remove_duplicate=False)
        if module._parameters or hasattr(module, "reset_parameters")
        for name, tensor in (
            *module.named_parameters(recurse=False),
            *module.named_buffers(recurse=False),
        )
    }


@torch.no_grad()
def copy_weights(names: Sequence[str], source: nn.Module, target: nn.Module) -> None:
    """Copy these weights of one network into its copy."""
    origin, place = _weights(source), _weights(target)
    for name in names:
        place[name].copy_(origin[name])
