"""The hook under Grad-CAM: what chosen layers return, and its gradients, at the cost of the head.

Everything before the first tapped layer (the trunk) runs without recording a graph. The output of
that layer is made the leaf of a graph which then holds the rest of the network (the head) only.
"""

import contextlib
import difflib
import sys
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

__all__ = ["NotConnectedError", "Tap", "find_layer", "tap", "unwrap"]


class NotConnectedError(RuntimeError):
    """A tapped layer did not run, or the score does not depend on its output."""


class Tap:
    """What the layers of a ``tap`` block returned. Made by ``tap``, emptied when its block ends."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._outputs: dict[str, Tensor] = {}
        self._leaves: list[Tensor] = []

    def grads(self, score: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return each layer's output and the gradient of ``score.sum()`` with respect to it.

        May be called several times in one block, with a different score each time. The ``.grad``
        of parameters and inputs is left alone. A layer that ran more than once gives its last
        output.

        Args:
            score: Any tensor computed inside the block from the model's output. With one score per
                image, row ``n`` of a gradient belongs to image ``n``.

        Returns:
            ``(activations, gradients)``, each a tuple in the order of ``layers``, detached.

        Raises:
            RuntimeError: A layer has not run inside the block, or ``score`` does not depend on it.
        """
        for name in self._names:
            if name not in self._outputs:
                raise NotConnectedError(
                    f"layer {name!r} has not run inside this `tap` block: call the model, and "
                    "`grads`, inside the block, and tap a module that its forward calls"
                )
        outputs = [self._outputs[name] for name in self._names]
        found: tuple[Tensor | None, ...] = (None,) * len(outputs)
        if score.requires_grad:
            found = torch.autograd.grad(
                score, outputs, torch.ones_like(score), retain_graph=True, allow_unused=True
            )
        gradients = []
        for name, gradient in zip(self._names, found, strict=True):
            if gradient is None:
                raise NotConnectedError(
                    f"the score does not depend on the output of layer {name!r}: the model does "
                    "not use it, or detaches it; if it runs the layer under a `torch.no_grad()` of "
                    "its own, `tap(..., record_trunk=True)` helps"
                )
            gradients.append(gradient)
        return tuple(output.detach() for output in outputs), tuple(gradients)

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[object, ...], object], Tensor]:
        def record(module: nn.Module, args: tuple[object, ...], output: object) -> Tensor:
            if not isinstance(output, Tensor) or not output.is_floating_point():
                raise TypeError(
                    f"layer {name!r} returned {_describe(output)}; tap a layer that returns one "
                    "floating-point tensor"
                )
            torch.set_grad_enabled(True)  # the head is recorded; the end of the block undoes it
            if not output.requires_grad:
                # The output itself becomes the leaf: a detached copy would miss every other route
                # by which the model reads the same tensor (a skip around an Identity, a cache).
                self._leaves.append(output.requires_grad_())
            self._outputs[name] = output
            return output.clone()  # in-place operations of the head meet the clone only

        return record

    def _clear(self) -> None:
        for leaf in self._leaves:
            leaf.requires_grad_(False)
        self._leaves.clear()
        self._outputs.clear()


@contextlib.contextmanager
def tap(
    model: nn.Module,
    layers: nn.Module | str | Sequence[nn.Module | str],
    *,
    record_trunk: bool = False,
) -> Iterator[Tap]:
    """Record what layers return inside a ``with`` block, and differentiate any score to them.

    Inside the block the model is in eval mode, and autograd records nothing until the first tapped
    layer has run. With the last stage of a network as the layer, a forward pass and its gradients
    then cost about a plain forward pass, in time and in memory. Compute the score inside the block.
    When the block ends, also by an exception, the hooks are gone, and the grad mode, the inference
    mode and each module's training flag are what they were.

    Works under ``torch.no_grad()``, ``torch.inference_mode()`` and autocast, with frozen
    parameters, with several layers at once, and where the operation after the layer is in place.
    A model wrapped by ``torch.compile`` or ``DistributedDataParallel`` is tapped beneath the
    wrapper, and compiled code runs eagerly inside the block.

    Args:
        model: Any module.
        layers: The modules to record, or their dotted names in ``model.named_modules()``. Each
            must return one floating-point tensor.
        record_trunk: Also record what runs before the layers. Needed only for a model that runs a
            tapped layer under a ``torch.no_grad()`` of its own.

    Yields:
        A ``Tap``; its ``grads(score)`` gives activations and gradients.

    Raises:
        ValueError: A name or module in ``layers`` is not part of ``model``.
        TypeError: A layer returned something other than one floating-point tensor.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import tap
        >>> trunk, head = nn.Conv2d(1, 4, 3), nn.Sequential(nn.Flatten(), nn.LazyLinear(2))
        >>> model = nn.Sequential(trunk, head)
        >>> with tap(model, ["0"]) as t:
        ...     output = model(torch.rand(5, 1, 8, 8))
        ...     (activation,), (gradient,) = t.grads(output[:, 1])
        >>> activation.shape == gradient.shape == (5, 4, 6, 6)
        True
    """
    model = unwrap(model)
    if isinstance(layers, str | nn.Module):
        layers = [layers]
    modules = [find_layer(model, layer, argument="layers") for layer in layers]
    record = Tap([name for name, _ in modules])
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(_evaluating(model))
        if "torch._dynamo" in sys.modules:  # else nothing is compiled, and the import takes seconds
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.callback(record._clear)
        # Autocast may keep the trunk's weights as cast without a graph: later training needs one.
        stack.callback(torch.clear_autocast_cache)
        for name, module in dict(modules).items():
            # First of the layer's hooks, so that the others see the tensor that is recorded.
            handle = module.register_forward_hook(record._hook(name), prepend=True)
            stack.callback(handle.remove)
        stack.enter_context(torch.set_grad_enabled(record_trunk))
        yield record


def find_layer(model: nn.Module, layer: nn.Module | str, *, argument: str) -> tuple[str, nn.Module]:
    """Return the dotted name and the module of ``layer``; a ``ValueError`` names ``argument``."""
    named = dict(model.named_modules(remove_duplicate=False))
    if isinstance(layer, str):
        if layer in named:
            return layer, named[layer]
        level = [name for name in named if name.count(".") == layer.count(".")]
        close = difflib.get_close_matches(layer, level, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else "see `model.named_modules()`"
        raise ValueError(f"`{argument}` {layer!r} not found; {remedy}")
    for name, module in named.items():
        if module is layer:
            return name, module
    raise ValueError(
        f"`{argument}` {type(layer).__name__} is not a module of this model; "
        "take it from `model.named_modules()`"
    )


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module beneath ``torch.compile`` and (Distributed)DataParallel wrappers."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(compiled := getattr(model, "_orig_mod", None), nn.Module):
            model = compiled
        else:
            return model


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in training:
            module.training = False  # not `eval()`, which a module may override
        yield
    finally:
        for module, flag in training:
            module.training = flag


def _describe(value: object) -> str:
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
