"""Class activation maps from gradients: the call that every method of the family shares."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seattn.explain.arguments import check_tensor
from seattn.explain.explanation import Explanation
from seattn.explain.layers import find_layer, stated_layer
from seattn.explain.picking import Select
from seattn.explain.recording import NotConnectedError, Tap, tap, unwrap
from seattn.explain.targets import Classes, Target, scores_of

__all__ = ["ClassActivationMap"]

Layout: TypeAlias = Callable[[Tensor], Tensor]

_ONE_INPUT = (
    ", and of a model with several inputs explain a module that holds the others, or use `tap`, "
    "whose tensors `combine` takes"
)
_INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


class ClassActivationMap(ABC):
    """What ``GradCAM``, ``GradCAMPlusPlus``, ``HiResCAM`` and ``LayerCAM`` have in common.

    A method of your own is a subclass with a ``combine``. The map is rectified, then interpolated
    (bi-, tri-) linearly to the size of the input. It keeps its units: two maps of one model may be
    compared, and ``overlay`` scales for the eye only. A map that is 0 everywhere says that nothing
    in the layer raises the score; ``explain(...).raw`` shows what lowers it.

    A call costs about a plain forward pass where the layer is near the head, since nothing before
    it is recorded (see ``tap``), and leaves the model as it was: it runs in eval mode, and training
    flags, BatchNorm statistics, ``requires_grad``, ``.grad`` and hooks are what they were. A model
    that draws random numbers in eval mode draws them here too.

    Args:
        model: Any module that maps ``(N, C, *spatial)`` to scores.
        target_layer: The module, or its dotted name, whose output is explained. Several in a list
            are explained from one forward pass, and a call then returns a tuple. By default the
            layer that the network itself states as its last feature map, as timm's networks and
            ours do (``feature_info[-1]["module"]``): the last stage of a ResNet, ``"blocks.6"`` of
            an EfficientNet. ``list_layers`` shows what there is.
        layout: A function from the layer's output to ``(N, C, *grid)``, with as many grid
            dimensions as the input has spatial ones: ``from_tokens`` or ``from_channels_last`` for
            transformers. The output is such a map already by default. Gradients take the same way,
            so it may only rearrange and select.
        select: Which tensor to take where the layer returns several: its key, its index, or a
            function that takes it from the layer's output. See ``tap`` for several layers.
        call: Which call to explain where the layer runs several times: the last, or 0 for the
            first.

    Raises:
        ValueError: ``target_layer`` is not part of ``model``, or is missing and the network states
            none.

    Examples:
        A method of your own, by the size of the gradient alone:

        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import ClassActivationMap
        >>> class GradientSize(ClassActivationMap):
        ...     def combine(self, activation, gradient):
        ...         return gradient.abs().sum(1)
        >>> model = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.Flatten(), nn.LazyLinear(2))
        >>> cam = GradientSize(model, "0")
        >>> cam
        GradientSize(Sequential, target_layer='0')
        >>> cam(torch.rand(4, 1, 33, 33), target=1).shape
        torch.Size([4, 33, 33])
    """

    def __init__(
        self,
        model: nn.Module,
        target_layer: nn.Module | str | Sequence[nn.Module | str] | None = None,
        *,
        layout: Layout | None = None,
        select: Select = None,
        call: int = -1,
    ) -> None:
        self.model = unwrap(model)
        self.layout, self.select, self.call = layout, select, call
        if target_layer is None:
            target_layer = stated_layer(self.model)
        self._single = isinstance(target_layer, str | nn.Module)
        several = [target_layer] if isinstance(target_layer, str | nn.Module) else target_layer
        found = [find_layer(self.model, layer, argument="target_layer") for layer in several]
        if not found or "" in several:
            raise ValueError("`target_layer` is empty; give at least one layer")
        self.names = tuple(name for name, _ in found)

    def __repr__(self) -> str:
        """The method, the network's class, and the layers."""
        layers = self.names[0] if self._single else list(self.names)
        return f"{type(self).__name__}({type(self.model).__name__}, target_layer={layers!r})"

    @abstractmethod
    def combine(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Return the signed map, ``(N, *grid)``, of two tensors ``(N, C, *grid)``."""

    def __call__(self, x: Tensor, *, target: Target = None, classes: Classes = None) -> Any:
        """Return the maps of a batch, at the size of its images.

        Args:
            x: The images, ``(N, C, *spatial)``, one to three spatial dimensions. They are not
                searched for nan, which an image that holds it passes on to its map.
            target: What to explain: the class each image is predicted as (``None``), one class,
                one class per image, or a function from the model's output to one score per image.
                A network with a single logit has the class 0 only; the evidence against it is
                ``target=lambda logits: -logits[:, 0]``.
            classes: Several classes to explain from one forward pass, in place of ``target``.

        Returns:
            The maps, ``(N, *spatial)``, with ``classes`` ``(N, K, *spatial)``; of several layers a
            tuple of them. They are never negative and not normalised; float32 (float64 for a
            float64 model), on the device of ``x``.

        Raises:
            ValueError: A class is out of range; the number of targets or scores is not N; the
                output is not (N, classes), and ``target`` is no function; the shapes of ``x`` and
                of the layer's output do not fit each other; ``x`` or ``classes`` is empty;
                ``select`` finds nothing; or the model was made in inference mode.
            TypeError: ``x`` is no tensor, a class is not an integer, or the layer returns no
                floating-point tensor, or several without ``select``.
            RuntimeError: The layer did not run, the score does not depend on it, or the model
                overwrote its output.
        """
        maps = tuple(result.maps for result in self._run(x, target, classes, keep=False))
        return maps[0] if self._single else maps

    def explain(self, x: Tensor, *, target: Target = None, classes: Classes = None) -> Any:
        """Return an ``Explanation``, the maps with all that they were made of.

        Arguments and errors are those of a call. Of several layers a tuple of explanations.
        """
        results = self._run(x, target, classes, keep=True)
        return results[0] if self._single else results

    def _run(
        self, x: Tensor, target: Target, classes: Classes, *, keep: bool
    ) -> tuple[Explanation, ...]:
        if target is not None and classes is not None:
            raise ValueError("`target` and `classes` exclude each other; give one of them")
        check_tensor("x", x, note=_ONE_INPUT)
        if x.dim() - 2 not in _INTERPOLATION:
            raise ValueError(
                f"`x` (shape {tuple(x.shape)}) must be (N, C, *spatial) with one to three spatial "
                "dimensions"
            )
        if 0 in x.shape:
            raise ValueError(f"`x` (shape {tuple(x.shape)}) is empty; give at least one image")
        try:
            return self._explain(x, target, classes, mode="head", keep=keep)
        except NotConnectedError:  # the model may switch recording off itself: see `tap`
            return self._explain(x, target, classes, mode="full", keep=keep)

    def _explain(
        self,
        x: Tensor,
        target: Target,
        classes: Classes,
        *,
        mode: Literal["head", "full"],
        keep: bool,
    ) -> tuple[Explanation, ...]:
        """Return one explanation a layer; without ``keep`` only the last class's gradient."""
        raws: list[Sequence[Tensor]] = []  # K times one tensor a layer
        gradients: list[Sequence[Tensor]] = []
        with tap(
            self.model,
            self.names,
            select=self.select,
            call=self.call,
            record_trunk=mode == "full",
        ) as t:
            # A tensor of our own: an inference tensor cannot enter a graph.
            output = self.model(x.clone() if x.is_inference() else x.detach())
            index, scores = scores_of(output, target=target, classes=classes, n=len(x))  # (N, K)
            for score in scores:
                if mode == "full" and callable(target) and not score.requires_grad:
                    raise NotConnectedError(
                        "the score that `target` returned does not depend on the output of layer "
                        f"{self.names[0]!r}: it is a constant, detached or not differentiable, or "
                        "the model detaches that output or does not use it"
                    )
                activations, of_score = self._tensors(t, score, x)
                pairs = zip(activations, of_score, strict=True)
                raws.append([self.combine(*pair) for pair in pairs])
                if not keep:
                    gradients.clear()
                gradients.append(of_score)
        output = output.detach() if isinstance(output, Tensor) else output
        explained = index[:, 0] if index is not None and classes is None else index
        results = []
        for i, name in enumerate(self.names):
            raw, gradient = (
                _stacked([tensors[i] for tensors in of_scores], classes)
                for of_scores in (raws, gradients)
            )
            maps = _interpolated(raw.relu(), x)
            results.append(
                Explanation(maps, raw, output, explained, activations[i], gradient, name, mode)
            )
        return tuple(results)

    def _tensors(self, t: Tap, score: Tensor, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return activations and gradients, ``(N, C, *grid)``, at least float32."""
        # Gradients of early layers underflow in float16; a power of two costs no accuracy.
        scale = 2.0**10
        found = t.grads(score * scale)
        activations, gradients = (
            [
                self._as_map(tensor, name, x)
                for tensor, name in zip(tensors, self.names, strict=True)
            ]
            for tensors in found
        )
        if self.layout is not None:
            for gradient, name in zip(gradients, self.names, strict=True):
                _warn_of_blank(gradient, name)
        return activations, [gradient / scale for gradient in gradients]

    def _as_map(self, tensor: Tensor, name: str, x: Tensor) -> Tensor:
        shape = tuple(tensor.shape)
        if self.layout is not None:
            tensor = self.layout(tensor)
        if tensor.dim() != x.dim() or len(tensor) != len(x):
            raise ValueError(
                f"`target_layer` {name!r} returned the shape {shape}; a map needs "
                f"({len(x)}, channels, *grid) with {x.dim() - 2} grid dimensions, as `x`; choose "
                "another layer, or a `layout` such as `from_tokens`"
            )
        return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _warn_of_blank(gradient: Tensor, name: str) -> None:
    if not gradient.any():
        warnings.warn(
            f"the gradient is 0 at every position of layer {name!r}, and the map is blank: the "
            "score does not read them. Where it reads the class token alone, take a layer before "
            'the last attention, in timm `"blocks.11.norm1"`',
            stacklevel=2,
        )


def _stacked(of_scores: list[Tensor], classes: Classes) -> Tensor:
    """Return ``(N, ...)`` for one score and ``(N, K, ...)`` for those of ``classes``."""
    return of_scores[0] if classes is None else torch.stack(of_scores, 1)


def _interpolated(raw: Tensor, x: Tensor) -> Tensor:
    """Return maps ``(N, *grid)`` or ``(N, K, *grid)`` at the spatial size of ``x``."""
    spatial = x.shape[2:]
    maps = raw.reshape(len(x), -1, *raw.shape[-len(spatial) :])  # (N, K, *grid)
    maps = F.interpolate(maps, spatial, mode=_INTERPOLATION[len(spatial)], align_corners=False)
    return maps.reshape(*raw.shape[: -len(spatial)], *spatial)
