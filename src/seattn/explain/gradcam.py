"""Grad-CAM (Selvaraju et al., ICCV 2017) for any network with one to three spatial dimensions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seattn.explain.recording import NotConnectedError, Tap, find_layer, tap, unwrap

__all__ = ["Explanation", "GradCAM"]

Target: TypeAlias = int | Sequence[int] | Tensor | Callable[..., Tensor] | None

_INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class Explanation:
    """The maps of one call, and what they were made of. K is the number of ``classes``.

    Attributes:
        maps: The class activation maps, ``(N, *spatial)``, with ``classes`` ``(N, K, *spatial)``.
        raw: The signed maps on the layer's own grid, before the rectifier, ``(N, *grid)`` or
            ``(N, K, *grid)``.
        output: What the model returned.
        target: The explained classes, (N,) or (N, K); ``None`` where a function gave the score.
    """

    maps: Tensor
    raw: Tensor
    output: object
    target: Tensor | None


class GradCAM:
    r"""Gradient-weighted class activation maps: where a network looked, for one score.

    For the score y of a class and the activation A of a layer, the weight of channel k is the
    mean of the gradient over the Z positions of the grid (equation 1), and the map is the
    rectified weighted sum over the channels (equation 2):

    .. math:: \alpha_k = \frac{1}{Z} \sum_{i,j} \frac{\partial y}{\partial A_{kij}}, \qquad
        \text{map} = \mathrm{ReLU}\Bigl(\sum_k \alpha_k A_k\Bigr)

    The map is then interpolated (bi-, tri-) linearly to the size of the input. It keeps its units:
    two maps of one model may be compared, and ``overlay`` scales for the eye only. A map that is 0
    everywhere says that nothing in the layer raises the score; ``explain(...).raw`` shows what
    lowers it.

    A call costs about a plain forward pass where the layer is near the head, since nothing before
    it is recorded (see ``tap``), and leaves the model as it was: it runs in eval mode, and training
    flags, BatchNorm statistics, ``requires_grad``, ``.grad`` and hooks are what they were.

    Args:
        model: Any module that maps ``(N, C, *spatial)`` to scores.
        target_layer: The module, or its dotted name, whose output is explained. It must return
            ``(N, channels, *grid)``, channels second, with as many grid dimensions as the input has
            spatial ones. The last stage is usual (``"layer4"`` of a ResNet). A layer that runs
            several times is explained at its last call.

    Raises:
        ValueError: ``target_layer`` is not part of ``model``.

    References:
        Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra, "Grad-CAM: Visual Explanations from Deep
        Networks via Gradient-based Localization", ICCV 2017, equations 1 and 2.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import GradCAM
        >>> features = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU())
        >>> head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
        >>> model = nn.Sequential(features, head)
        >>> cam = GradCAM(model, target_layer="0")
        >>> cam(torch.rand(4, 1, 32, 40), target=2).shape
        torch.Size([4, 32, 40])
        >>> cam(torch.rand(4, 1, 32, 40), classes=range(3)).shape
        torch.Size([4, 3, 32, 40])
    """

    def __init__(self, model: nn.Module, target_layer: nn.Module | str) -> None:
        self.model = unwrap(model)
        self.name, self.target_layer = find_layer(self.model, target_layer, argument="target_layer")

    def __call__(
        self,
        x: Tensor,
        *,
        target: Target = None,
        classes: Sequence[int] | Tensor | None = None,
    ) -> Tensor:
        """Return the maps of a batch, at the size of its images.

        Args:
            x: The images, ``(N, C, *spatial)``, one to three spatial dimensions.
            target: What to explain: the class each image is predicted as (``None``), one class,
                one class per image, or a function from the model's output to one score per image.
                A network with a single logit has the class 0 only; the evidence against it is
                ``target=lambda logits: -logits[:, 0]``.
            classes: Several classes to explain from one forward pass, in place of ``target``.

        Returns:
            The maps, ``(N, *spatial)``, with ``classes`` ``(N, K, *spatial)``. They are never
            negative and not normalised; float32 (float64 for a float64 model), on the device of
            ``x``.

        Raises:
            ValueError: A class is out of range; the number of targets or scores is not N; the
                output is not (N, classes), and ``target`` is no function; or the shapes of ``x``
                and of the layer's output do not fit each other.
            TypeError: A class is not an integer, or the layer does not return one tensor.
            RuntimeError: The layer did not run, or the score does not depend on it.
        """
        return self.explain(x, target=target, classes=classes).maps

    def explain(
        self,
        x: Tensor,
        *,
        target: Target = None,
        classes: Sequence[int] | Tensor | None = None,
    ) -> Explanation:
        """Return the maps with the signed map of the layer, the model's output and the classes.

        Arguments and errors are those of a call.
        """
        if target is not None and classes is not None:
            raise ValueError("`target` and `classes` exclude each other; give one of them")
        if x.dim() - 2 not in _INTERPOLATION:
            raise ValueError(
                f"`x` (shape {tuple(x.shape)}) must be (N, C, *spatial) with one to three spatial "
                "dimensions"
            )
        try:
            return self._explain(x, target, classes, record_trunk=False)
        except NotConnectedError:  # the model may switch recording off itself: see `tap`
            return self._explain(x, target, classes, record_trunk=True)

    def _explain(
        self,
        x: Tensor,
        target: Target,
        classes: Sequence[int] | Tensor | None,
        *,
        record_trunk: bool,
    ) -> Explanation:
        with tap(self.model, self.target_layer, record_trunk=record_trunk) as t:
            # A tensor of our own: an inference tensor cannot enter a graph.
            output = self.model(x.clone() if x.is_inference() else x.detach())
            if callable(target):
                index, scores = None, (_checked_score(target(output), len(x)),)
            else:
                index = _class_index(output, target, classes, len(x))  # (N, K)
                scores = output.gather(1, index).unbind(1)
            raw = torch.stack([self._weighted_sum(t, score, x) for score in scores], dim=1)
        maps = F.interpolate(  # (N, K, *grid) -> (N, K, *spatial)
            raw.relu(), x.shape[2:], mode=_INTERPOLATION[x.dim() - 2], align_corners=False
        )
        if isinstance(output, Tensor):
            output = output.detach()
        if classes is None:  # K is 1
            maps, raw = maps.squeeze(1), raw.squeeze(1)
            index = index if index is None else index.squeeze(1)
        return Explanation(maps, raw, output, index)

    def _weighted_sum(self, t: Tap, score: Tensor, x: Tensor) -> Tensor:
        """Return the signed sum of equation 2, (N, *grid)."""
        # Gradients of early layers underflow in float16; a power of two costs no accuracy.
        scale = 2.0**10 if score.dtype == torch.float16 else 1.0
        (activation,), (gradient,) = t.grads(score * scale)
        if activation.dim() != x.dim():
            raise ValueError(
                f"`target_layer` {self.name!r} returned the shape {tuple(activation.shape)}; "
                f"Grad-CAM needs (N, channels, *grid) with {x.dim() - 2} grid dimensions, as `x`"
            )
        grid = tuple(range(2, activation.dim()))
        dtype = torch.promote_types(activation.dtype, torch.float32)
        alpha = gradient.mean(grid, keepdim=True, dtype=dtype) / scale  # equation 1
        return (alpha * activation).sum(1)


def _checked_score(score: object, n: int) -> Tensor:
    if not isinstance(score, Tensor) or score.shape != (n,):
        raise ValueError(
            f"`target` returned {_describe(score)}; it must return one score for each of the {n} "
            "images, a tensor of that length"
        )
    return score


def _class_index(output: object, target: object, classes: object, n: int) -> Tensor:
    """Return the classes to explain, (N, K)."""
    if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != n:
        raise ValueError(
            f"the model returned {_describe(output)}, not ({n}, classes); give `target` a function "
            "from that output to one score per image"
        )
    if target is None and classes is None:
        return output.argmax(1, keepdim=True)
    argument, chosen = ("target", target) if classes is None else ("classes", classes)
    index = torch.as_tensor(chosen)
    if index.is_floating_point():
        raise TypeError(f"`{argument}` (={chosen}) must hold class numbers, which are integers")
    if classes is None and index.dim() == 0:
        index = index.expand(n)
    if index.dim() != 1 or (classes is None and len(index) != n):
        rule = f"one class, or one for each of the {n} images" if classes is None else "a list"
        raise ValueError(f"`{argument}` (shape {tuple(index.shape)}) must be {rule}")
    count = output.shape[1]
    if ((index < 0) | (index >= count)).any():
        raise ValueError(
            f"`{argument}` (={chosen}) must lie in 0..{count - 1}, the model's classes"
        )
    index = index.to(output.device, torch.int64)
    return index.unsqueeze(1) if classes is None else index.expand(n, -1)


def _describe(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
