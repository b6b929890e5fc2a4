"""Deletion and insertion curves (Petsiuk et al., BMVC 2018), beside orders that ignore the map."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seattn.explain.agreement import centre_map
from seattn.explain.arguments import check_tensor, check_whole
from seattn.explain.erasure import Baseline, places, replacement
from seattn.explain.map_pairs import mean_and_half_width
from seattn.explain.recording import evaluating, unwrap
from seattn.explain.targets import Target, class_numbers

__all__ = ["PerturbationCurve", "deletion_curve", "insertion_curve"]


@dataclass(frozen=True)
class PerturbationCurve:
    """The scores of one target while pixels go or come; ``print`` shows the areas.

    Attributes:
        kind: ``"deletion"`` or ``"insertion"``.
        fractions: The share of the pixels that has been deleted or inserted, 0 to 1; (S + 1,).
        scores: The scores in the order of the map, (N, S + 1).
        random_scores: The same pixels in a random order, of the same shape.
        centre_scores: From the centre outwards, of the same shape.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import deletion_curve
        >>> model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # the mean of the image
        >>> x = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> score = lambda output: output[:, 0]
        >>> print(deletion_curve(model, x, maps=x.squeeze(1), target=score, baseline=0.0))
        deletion, area under the curve of 8 images; lower is better
        map           0.166
        random order  0.333  the map is better by 0.167 ± 0.004, for 100% of the images
        centre        0.252  the map is better by 0.086 ± 0.005, for 100% of the images
        mean ± half a 95 % interval, 1.96 standard errors
    """

    kind: str
    fractions: Tensor
    scores: Tensor
    random_scores: Tensor
    centre_scores: Tensor

    @property
    def area(self) -> Tensor:
        """(N,) areas under the curves, by trapezoids; low is good in deletion, else high."""
        return torch.trapezoid(self.scores, self.fractions)

    @property
    def random_area(self) -> Tensor:
        """The same of the random order."""
        return torch.trapezoid(self.random_scores, self.fractions)

    @property
    def centre_area(self) -> Tensor:
        """The same from the centre outwards."""
        return torch.trapezoid(self.centre_scores, self.fractions)

    def to_dict(self) -> dict[str, object]:
        """The curves and areas in types that JSON has."""
        names = ("fractions", "scores", "random_scores", "centre_scores")
        areas = ("area", "random_area", "centre_area")
        return {"kind": self.kind} | {
            name: getattr(self, name).tolist() for name in (*names, *areas)
        }

    def __str__(self) -> str:
        """The mean areas, and the gain over each control ± 1.96 standard errors."""
        sign = -1 if self.kind == "deletion" else 1
        better = "lower" if self.kind == "deletion" else "higher"
        lines = [
            f"{self.kind}, area under the curve of {len(self.area)} images; {better} is better"
        ]
        lines += [f"{'map':<13} {self.area.mean():.3f}"]
        for name, control in (("random order", self.random_area), ("centre", self.centre_area)):
            gain = sign * (self.area - control)
            mean, half_width = mean_and_half_width(gain)
            lines += [
                f"{name:<13} {control.mean():.3f}  the map is better by {mean:.3f} ± "
                f"{half_width:.3f}, for {(gain > 0).double().mean():.0%} of the images"
            ]
        return "\n".join([*lines, "mean ± half a 95 % interval, 1.96 standard errors"])


def deletion_curve(
    model: nn.Module,
    x: Tensor,
    maps: Tensor,
    *,
    target: Target = None,
    baseline: Baseline = 0.0,
    steps: int = 50,
    batch_size: int = 32,
    seed: int = 0,
) -> PerturbationCurve:
    """Replace pixels by a baseline, the map's strongest first, and follow the score.

    If the map shows what the score rests on, the score falls early and the area under the curve is
    small. The number depends on the baseline as much as on the map: a black square is a new
    feature to the network. Therefore the same is done in a random order and from the centre of the
    image outwards, and only the gain over those says something of the map.

    Pixels of equal value go in a random order, drawn from ``seed``. A blank map is a random order.

    Args:
        model: Any module that maps ``x`` to scores. It runs in eval mode, without gradients, and
            is left as it was.
        x: Images, ``(N, C, *spatial)``.
        maps: Their maps, ``(N, *spatial)``, finite.
        target: The score: the probability (softmax) of the class that each image is predicted as
            (``None``), of one class, or of one per image; or a function from the model's output
            for some images to one score for each.
        baseline: What deleted pixels become: a value, in the units of ``x``; ``"mean"``, the mean
            of each channel of each image; ``"blur"``, the image under a Gaussian whose standard
            deviation is a tenth of its shorter side; or a tensor that expands to ``x``.
        steps: Number of steps; each takes the same number of pixels, to within one.
        batch_size: How many images go through the model at once.
        seed: Seed of the random order, and of that of equal values.

    Returns:
        The three curves of each image, in float64 on the CPU. Three times ``steps + 1`` forward
        passes per image were made.

    Raises:
        ValueError: Shapes do not fit, a class is out of range, ``x`` is empty, ``maps`` or
            ``baseline`` is not finite, the model has a single logit and ``target`` is no function,
            or an option is unknown.
        TypeError: ``x`` or ``maps`` is no tensor, or a class is not an integer.

    References:
        Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models",
        BMVC 2018: the deletion and insertion metrics.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import deletion_curve
        >>> model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
        >>> x = torch.rand(4, 1, 16, 16)
        >>> curve = deletion_curve(model, x, maps=x.squeeze(1), target=1)
        >>> curve.scores.shape, curve.area.shape
        (torch.Size([4, 51]), torch.Size([4]))
    """
    return _curve("deletion", model, x, maps, target, baseline, steps, batch_size, seed)


def insertion_curve(
    model: nn.Module,
    x: Tensor,
    maps: Tensor,
    *,
    target: Target = None,
    baseline: Baseline = "blur",
    steps: int = 50,
    batch_size: int = 32,
    seed: int = 0,
) -> PerturbationCurve:
    """Put the pixels of an image into a baseline, the map's strongest first; follow the score.

    If the map shows what the score rests on, the score rises early and the area is large.
    Arguments, errors, ties and controls are those of :func:`deletion_curve`; the default baseline
    is the blurred image, which has no edges of its own.

    Returns:
        The three curves of each image. The predicted class, for ``target=None``, is that of the
        whole image.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import insertion_curve
        >>> model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
        >>> x = torch.rand(4, 1, 16, 16)
        >>> curve = insertion_curve(model, x, maps=x.squeeze(1), baseline=0.0)
        >>> curve.fractions[:3]
        tensor([0.0000, 0.0195, 0.0391], dtype=torch.float64)
    """
    return _curve("insertion", model, x, maps, target, baseline, steps, batch_size, seed)


def _curve(
    kind: str,
    model: nn.Module,
    x: Tensor,
    maps: Tensor,
    target: Target,
    baseline: Baseline,
    steps: int,
    batch_size: int,
    seed: int,
) -> PerturbationCurve:
    for name, value in (("x", x), ("maps", maps)):
        check_tensor(name, value)
    if 0 in x.shape:
        raise ValueError(f"`x` (shape {tuple(x.shape)}) is empty; give at least one image")
    if maps.shape != (len(x), *x.shape[2:]) or not maps.isfinite().all():
        raise ValueError(
            f"`maps` (shape {tuple(maps.shape)}) must be finite and of the images' shape "
            f"{(len(x), *x.shape[2:])}; interpolate them"
        )
    pixels = maps[0].numel()
    check_whole("steps", steps, least=1)
    if steps > pixels:
        raise ValueError(f"`steps` (={steps}) must lie in 1..{pixels}, the pixels of an image")
    check_whole("batch_size", batch_size, least=1)
    check_whole("seed", seed, least=0)
    replaced = replacement(x, baseline)
    first, last = (x, replaced) if kind == "deletion" else (replaced, x)
    counts = torch.arange(steps + 1) * pixels // steps
    model = unwrap(model)
    random = torch.zeros_like(maps)  # all tied
    orders = [maps, random, centre_map(maps.shape[1:]).to(maps.device).expand_as(maps)]
    with evaluating(model), torch.no_grad():
        score = _score(model, x, target, batch_size)
        curves = []
        for order in orders:
            batches = _batches(first, last, places(order, seed), counts, batch_size)
            scores = torch.cat([score(model(images), rows) for images, rows in batches])
            curves.append(scores.double().cpu().reshape(len(x), -1))
    return PerturbationCurve(kind, counts.double() / pixels, *curves)


def _batches(
    first: Tensor, last: Tensor, places: Tensor, counts: Tensor, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images with the first so many pixels replaced, and which image each was made from."""
    rows = torch.arange(len(first)).repeat_interleave(len(counts)).to(first.device)
    counts = counts.repeat(len(first)).to(first.device)
    for row, count in zip(
        torch.split(rows, batch_size), torch.split(counts, batch_size), strict=True
    ):
        taken = places[row] < count[:, None]  # (b, pixels)
        taken = taken.reshape(len(row), 1, *first.shape[2:])
        yield torch.where(taken, last[row], first[row]), row


def _score(
    model: nn.Module, x: Tensor, target: Target, batch_size: int
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function from the model's output, and the rows of ``x`` it is for, to scores."""
    if callable(target):
        return lambda output, row: _checked(target(output), len(row))
    if target is None:
        classes = torch.cat([_logits(model(part)).argmax(1) for part in torch.split(x, batch_size)])
    else:
        classes = class_numbers("target", target).to(x.device)
        if classes.dim() > 1:
            raise ValueError(f"`target` (={target}) must be a class, or a class for each image")
        if classes.dim() == 1 and len(classes) != len(x):
            raise ValueError(
                f"`target` (length {len(classes)}) must be one class, or one for each of the "
                f"{len(x)} images"
            )
        classes = classes.expand(len(x))

    def probability(output: Tensor, row: Tensor) -> Tensor:
        logits, index = _logits(output), classes[row]
        if ((index < 0) | (index >= logits.shape[1])).any():
            raise ValueError(
                f"`target` (={target}) must lie in 0..{logits.shape[1] - 1}, the model's classes"
            )
        return F.softmax(logits.double(), 1).gather(1, index[:, None]).squeeze(1)

    return probability


def _logits(output: Tensor) -> Tensor:
    shape = tuple(getattr(output, "shape", ()))
    if len(shape) != 2 or shape[1] < 2:
        raise ValueError(
            f"the model returned {shape or type(output).__name__}, not (N, 2 or more classes); "
            "give `target` a function from that output to scores, such as "
            "`lambda logits: logits[:, 0].sigmoid()`"
        )
    return output


def _checked(score: Tensor, n: int) -> Tensor:
    if getattr(score, "shape", None) != (n,):
        raise ValueError(f"`target` must return one score for each of the {n} images it was given")
    return score
