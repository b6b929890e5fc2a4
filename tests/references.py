"""Slow, obviously right implementations that the tests compare with. One section per module."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# ---- attention ------------------------------------------------------------------------------


def se_gate(
    x: Tensor,
    weights: tuple[Tensor, Tensor],
    biases: tuple[Tensor, Tensor],
    activation: Callable[[float], float],
) -> Tensor:
    """Equations 2 and 3 of Hu et al. 2018, (N, C), number by number."""
    (w1, w2), (b1, b2) = (w.tolist() for w in weights), (b.tolist() for b in biases)
    rows = []
    for image in x:
        z = [math.fsum(channel.flatten().tolist()) / channel.numel() for channel in image]
        hidden = [activation(_dot(row, z) + b) for row, b in zip(w1, b1, strict=True)]
        logits = [_dot(row, hidden) + b for row, b in zip(w2, b2, strict=True)]
        rows.append([1 / (1 + math.exp(-logit)) for logit in logits])
    return torch.tensor(rows, dtype=x.dtype)


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(p * q for p, q in zip(a, b, strict=True))


# ---- explain --------------------------------------------------------------------------------


def grad_cam(
    trunk: Callable[[Tensor], Tensor], head: Callable[[Tensor], Tensor], x: Tensor, target: Tensor
) -> Tensor:
    """Equations 1 and 2 of Selvaraju et al. 2017, image by image and channel by channel.

    The signed map, before the rectifier, of the network ``head(trunk(x))``.
    """
    maps = []
    for image, label in zip(x, target.tolist(), strict=True):
        activation = trunk(image[None]).detach().requires_grad_()
        head(activation)[0, label].backward()
        total = torch.zeros_like(activation[0, 0])
        for channel, gradient in zip(activation[0], activation.grad[0], strict=True):
            alpha = sum(gradient.flatten().tolist()) / gradient.numel()
            total = total + alpha * channel.detach()
        maps.append(total)
    return torch.stack(maps)


def resize_linear(image: Tensor, size: Sequence[int]) -> Tensor:
    """Linear interpolation of ``(*spatial)``, axis by axis; pixel i covers [i, i + 1)."""
    for axis, length in enumerate(size):
        old = image.shape[axis]
        rows = []
        for i in range(length):
            position = min(max((i + 0.5) * old / length - 0.5, 0), old - 1)
            low = min(int(position), max(old - 2, 0))
            high = min(low + 1, old - 1)
            part = position - low
            rows.append((1 - part) * image.select(axis, low) + part * image.select(axis, high))
        image = torch.stack(rows, dim=axis)
    return image


def pointing_game(cam: Tensor, mask: Tensor) -> list[float]:
    """Per case: the fraction of the map's maxima inside the mask, by lists."""
    hits = []
    for values, inside in zip(cam.flatten(1).tolist(), mask.flatten(1).tolist(), strict=True):
        peaks = [bool(m) for v, m in zip(values, inside, strict=True) if v == max(values)]
        blank = max(values) == 0
        hits.append(math.nan if not any(inside) else 0.0 if blank else sum(peaks) / len(peaks))
    return hits


def mass_in_mask(cam: Tensor, mask: Tensor) -> list[float]:
    """Per case: the share of the map's sum inside the mask, by lists."""
    shares = []
    for values, inside in zip(cam.flatten(1).tolist(), mask.flatten(1).tolist(), strict=True):
        total = math.fsum(values)
        part = math.fsum(v for v, m in zip(values, inside, strict=True) if m)
        shares.append(part / total if total > 0 and any(inside) else math.nan)
    return shares


# ---- metrics --------------------------------------------------------------------------------


def roc_auc(labels: Sequence[int], scores: Sequence[float]) -> float:
    """The share of (positive, negative) pairs in the right order, pair by pair."""
    cases = list(zip(labels, scores, strict=True))
    wins = [_win(a, b) for i, a in cases if i == 1 for j, b in cases if j == 0]
    return math.fsum(wins) / len(wins)


def roc_auc_variance(
    labels: Sequence[int], scores: Sequence[float], patients: Sequence[int] | None = None
) -> float:
    """DeLong et al. 1988; with patients Obuchowski 1997: by definition, pair by pair."""
    cases = list(zip(labels, scores, patients or range(len(labels)), strict=True))
    positives = [(s, p) for label, s, p in cases if label == 1]
    negatives = [(s, p) for label, s, p in cases if label == 0]
    m, n, area = len(positives), len(negatives), roc_auc(labels, scores)
    v10 = [(math.fsum(_win(a, b) for b, _ in negatives) / n, p) for a, p in positives]
    v01 = [(math.fsum(_win(a, b) for a, _ in positives) / m, p) for b, p in negatives]
    if patients is None:
        s10 = math.fsum((v - area) ** 2 for v, _ in v10) / (m - 1)
        s01 = math.fsum((v - area) ** 2 for v, _ in v01) / (n - 1)
        return s10 / m + s01 / n
    everyone = sorted(set(patients))
    x = {p: math.fsum(v - area for v, q in v10 if q == p) for p in everyone}
    y = {p: math.fsum(v - area for v, q in v01 if q == p) for p in everyone}
    i10, i01, i = len({p for _, p in v10}), len({p for _, p in v01}), len(everyone)
    s10 = i10 / ((i10 - 1) * m) * math.fsum(x[p] ** 2 for p in everyone)
    s01 = i01 / ((i01 - 1) * n) * math.fsum(y[p] ** 2 for p in everyone)
    s11 = i / (i - 1) * math.fsum(x[p] * y[p] for p in everyone)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def _win(positive: float, negative: float) -> float:
    return 1.0 if positive > negative else 0.5 if positive == negative else 0.0


# ---- data -----------------------------------------------------------------------------------


def window_value(x: float, center: float, width: float, function: str) -> float:
    """One value through a window, y from 0 to 1: the pseudo-code of DICOM PS3.3 C.11.2.1.2, .3."""
    if function == "SIGMOID":
        exponent = -4 * (x - center) / width
        return 1 / (1 + math.exp(exponent)) if exponent < 700 else 0.0
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if x <= center - width / 2:
        return 0.0
    if x > center + width / 2:
        return 1.0
    return (x - center) / width + 0.5


def split_imbalance(parts: Sequence[Sequence[Sequence[int]]], fractions: Sequence[float]) -> float:
    """Squared deviations from the fractions: images and patients, of each class and of all.

    A part is a list of patients, a patient the list of the labels of his or her images.
    """
    everyone = [patient for part in parts for patient in part]
    total = 0.0
    for label in {None, *(label for patient in everyone for label in patient)}:

        def images(patients: Sequence[Sequence[int]], label: int | None = label) -> int:
            return sum(len([k for k in patient if label in (None, k)]) for patient in patients)

        def holders(patients: Sequence[Sequence[int]], label: int | None = label) -> int:
            return sum(any(label in (None, k) for k in patient) for patient in patients)

        for count in (images, holders):
            for part, fraction in zip(parts, fractions, strict=True):
                total += (count(part) / count(everyone) - fraction) ** 2
    return total


def rotate_and_scale(image: Tensor, degrees: float, scale: float) -> Tensor:
    """Rotate (H, W) clockwise about its centre, enlarge it: bilinear, 0 outside, by pixels."""
    height, width = image.shape
    cos, sin = math.cos(math.radians(degrees)) / scale, math.sin(math.radians(degrees)) / scale
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    result = torch.zeros_like(image)
    for i in range(height):
        for j in range(width):
            x, y = j - center_x, i - center_y
            from_x, from_y = center_x + cos * x + sin * y, center_y - sin * x + cos * y
            for row in (math.floor(from_y), math.floor(from_y) + 1):
                for column in (math.floor(from_x), math.floor(from_x) + 1):
                    if 0 <= row < height and 0 <= column < width:
                        weight = (1 - abs(from_x - column)) * (1 - abs(from_y - row))
                        result[i, j] += weight * image[row, column]
    return result
