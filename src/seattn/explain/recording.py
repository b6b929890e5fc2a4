"""The hook under Grad-CAM: what chosen layers return, and its gradients, at the cost of the head.

Everything before the first tapped layer (the trunk) runs without recording a graph. The output of
that layer is made the leaf of a graph which then holds the rest of the network (the head) only.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from seattn.explain.layers import find_layer
from seattn.explain.picking import Select, pick, replaced

__all__ = ["NotConnectedError", "Tap", "evaluating", "tap", "unwrap"]


class NotConnectedError(RuntimeError):
    """A tapped layer did not run, or the score does not depend on its output."""


class Tap:
    """What the layers of a ``tap`` block returned. Made by ``tap``, emptied when its block ends.

    Args:
        names: Dotted names of the layers.
        select, call, record_trunk: As in :func:`tap`.

    Examples:
        >>> import torch
        >>> from seattn import resnet18
        >>> from seattn.explain import tap
        >>> model = resnet18(num_classes=2)
        >>> with tap(model, ["layer3", "layer4"]) as t:
        ...     logits = model(torch.rand(4, 3, 64, 64))
        ...     activations, gradients = t.grads(logits[:, 1] - logits[:, 0])
        >>> [tuple(gradient.shape) for gradient in gradients]
        [(4, 256, 4, 4), (4, 512, 2, 2)]
    """

    def __init__(
        self, names: Sequence[str], *, select: Select, call: int, record_trunk: bool
    ) -> None:
        self._names, self._select, self._call = names, select, call
        self._record_trunk = record_trunk
        self._selected = self._ended = False
        self._outputs: dict[str, list[tuple[Tensor, int]]] = {}  # with the tensor's version
        self._leaves: list[Tensor] = []
        self._switched_off = self._differentiating = False

    def grads(self, score: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return each layer's output and the gradient of ``score.sum()`` with respect to it.

        May be called several times in one block, with a different score each time. The ``.grad``
        of parameters and inputs is left alone.

        Args:
            score: Any tensor computed inside the block from the model's output. With one score per
                image, row ``n`` of a gradient belongs to image ``n``. In float16 gradients of early
                layers underflow: multiply the score by 1024, and divide the gradients.

        Returns:
            ``(activations, gradients)``, each a tuple in the order of ``layers``, detached.

        Raises:
            RuntimeError: A layer has not run inside the block, ``score`` does not depend on it, or
                the model overwrote its output.
            ValueError: A layer has not run as often as ``call`` asks for, or all layers returned
                one tensor, of which ``select`` cannot be a key or an index.
        """
        outputs = [self._output(name) for name in self._names]
        if self._select is not None and not self._selected:
            raise ValueError(
                f"`select` (={self._select!r}) fits no layer: {', '.join(map(repr, self._names))} "
                "returned one tensor; leave `select` out"
            )
        found: tuple[Tensor | None, ...] = (None,) * len(outputs)
        if score.requires_grad and not self._switched_off:
            self._differentiating = True
            with torch.enable_grad():
                total = score.sum()  # torch loads sympy where it is given the ones instead
            try:
                found = torch.autograd.grad(total, outputs, retain_graph=True, allow_unused=True)
            finally:
                self._differentiating = False
        gradients = []
        for name, gradient in zip(self._names, found, strict=True):
            if gradient is None:
                text = (
                    f"the score does not depend on the output of layer {name!r}: the model does "
                    "not use it, detaches it, or checkpoints it with `use_reentrant=True` (False "
                    "helps)"
                )
                if not self._record_trunk:
                    text += (
                        "; if the model runs it under a `torch.no_grad()` of its own, "
                        "`tap(..., record_trunk=True)` helps"
                    )
                raise NotConnectedError(text)
            gradients.append(gradient)
        return tuple(output.detach() for output in outputs), tuple(gradients)

    def _output(self, name: str) -> Tensor:
        calls = self._outputs.get(name, [])
        if self._ended:
            raise NotConnectedError(
                "this `tap` block has ended, and its record was emptied then: compute the score, "
                "and call `grads`, inside the block"
            )
        if not calls:
            raise NotConnectedError(
                f"layer {name!r} has not run inside this `tap` block: call the model, and "
                "`grads`, inside the block, and tap a module that its forward calls"
            )
        if not -len(calls) <= self._call < len(calls):
            raise ValueError(
                f"`call` (={self._call}) must lie in -{len(calls)}..{len(calls) - 1}: layer "
                f"{name!r} ran {len(calls)} times"
            )
        output, version = calls[self._call]
        if output._version != version:
            raise NotConnectedError(_overwritten(repr(name)))
        return output

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[object, ...], object], object]:
        def record(module: nn.Module, args: tuple[object, ...], output: object) -> object:
            chosen = pick(output, self._select, layer=name)
            self._selected |= callable(self._select) or not isinstance(output, Tensor)
            torch.set_grad_enabled(True)  # the head is recorded; the end of the block undoes it
            if not chosen.requires_grad:
                # The output itself becomes the leaf: a detached copy would miss every other route
                # by which the model reads the same tensor (a skip around an Identity, a cache).
                self._leaves.append(chosen.requires_grad_())
            if not self._differentiating:  # else a checkpoint runs the layer again
                calls = self._outputs.setdefault(name, [])
                if self._call == -1:
                    calls.clear()
                calls.append((chosen, chosen._version))
            # In-place operations of the head meet the clone only.
            return replaced(output, chosen, chosen.clone())

        return record

    def _check_recording(self, module: nn.Module, args: tuple[object, ...], output: object) -> None:
        """After the model: one that leaves recording off has run a part of the head without it."""
        self._switched_off |= bool(self._outputs) and not torch.is_grad_enabled()

    def _clear(self) -> None:
        for leaf in self._leaves:
            leaf.requires_grad_(False)
        self._leaves.clear()
        self._outputs.clear()
        self._ended = True


@contextlib.contextmanager
def tap(
    model: nn.Module,
    layers: nn.Module | str | Sequence[nn.Module | str],
    *,
    select: Select = None,
    call: int = -1,
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
        layers: The modules to record, or their dotted names in ``model.named_modules()``.
        select: Which tensor to record where a layer returns several: its key, its index, or a
            function that takes it from the layer's output. A function is asked for every layer. A
            key or an index is passed over by those of several layers that return one tensor; where
            all do it is an error.
        call: Which call of a layer to record where it runs several times: the last, or 0 for the
            first.
        record_trunk: Also record what runs before the layers. Needed only for a model that runs a
            tapped layer under a ``torch.no_grad()`` of its own.

    Yields:
        A ``Tap``; its ``grads(score)`` gives activations and gradients.

    Raises:
        ValueError: A name or module in ``layers`` is not part of ``model``, or is TorchScript;
            there is none; ``select`` finds nothing; or ``model`` was made in inference mode.
        TypeError: A layer returned no floating-point tensor, or several without ``select``.
        RuntimeError: The model overwrote the output of a layer.

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
    if isinstance(layers, nn.Module) or (isinstance(layers, str) and layers):
        layers = [layers]
    if not layers:  # also the empty name
        raise ValueError("`layers` is empty; give at least one layer")
    modules = [find_layer(model, layer, argument="layers") for layer in layers]
    record = Tap([name for name, _ in modules], select=select, call=call, record_trunk=record_trunk)
    with contextlib.ExitStack() as stack:
        stack.enter_context(evaluating(model))
        stack.callback(record._clear)
        hooks = [(module, record._hook(name)) for name, module in dict(modules).items()]
        for module, hook in [(model, record._check_recording), *hooks]:
            if isinstance(module, torch.jit.ScriptModule):
                raise ValueError(
                    "`model` is TorchScript, which runs no hooks: explain the model it was made of"
                )
            # First of the layer's hooks, so that the others see the tensor that is recorded.
            stack.callback(module.register_forward_hook(hook, prepend=True).remove)
        stack.enter_context(torch.set_grad_enabled(record_trunk))
        try:
            yield record
        except RuntimeError as error:
            if "nference tensor" in str(error) and _made_in_inference_mode(model):
                raise ValueError(
                    "`model` was made or loaded in `torch.inference_mode()`, and such parameters "
                    "have no gradients; make it outside of that mode, or take "
                    "`copy.deepcopy(model)` outside of it"
                ) from error
            if "leaf Variable that requires grad" not in str(error):
                raise
            names = " or ".join(repr(name) for name, _ in modules)
            raise NotConnectedError(_overwritten(names)) from error


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
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a model in eval mode, as written (not compiled), and outside of inference mode."""
    training = [(module, module.training) for module in model.modules()]
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        # Autocast may keep the weights as cast without a graph: later training needs one.
        stack.callback(torch.clear_autocast_cache)
        if "torch._dynamo" in sys.modules:  # else nothing is compiled, and the import takes seconds
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        try:
            for module, _ in training:
                module.training = False  # not `eval()`, which a module may override
            yield
        finally:
            for module, flag in training:
                module.training = flag


def _made_in_inference_mode(model: nn.Module) -> bool:
    return any(t.is_inference() for t in (*model.parameters(), *model.buffers()))


def _overwritten(name: str) -> str:
    return (
        f"the model overwrites the output of layer {name} in place, by another reference to the "
        "same tensor; take the layer before or after it"
    )
