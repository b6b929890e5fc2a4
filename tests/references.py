"""Slow, obviously right implementations that the tests compare with. One section per module."""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from seattn.data.index import IndexRow

# ---- attention ------------------------------------------------------------------------------

Affine = tuple[Tensor, Tensor]  # a weight or scale, and a bias or shift


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


def cbam_gate(
    x: Tensor,
    mlp: tuple[Tensor, Tensor],
    biases: tuple[Tensor, Tensor],
    kernel: Tensor,
    norm: Callable[[float], float],
) -> Tensor:
    """Mc * Ms of equations 1 to 3 of Woo et al. 2018, position by position; any rank."""
    gates = []
    for image in x:
        pools = [[float(c.mean()) for c in image], [float(c.max()) for c in image]]
        logits = [0.0] * len(image)
        for pooled in pools:
            hidden = [
                max(_dot(w, pooled) + b, 0.0)
                for w, b in zip(mlp[0].tolist(), biases[0].tolist(), strict=True)
            ]
            for c, (w, b) in enumerate(zip(mlp[1].tolist(), biases[1].tolist(), strict=True)):
                logits[c] += _dot(w, hidden) + b
        channel = torch.tensor([_sigmoid(logit) for logit in logits], dtype=x.dtype)
        gated = torch.stack([c * g for c, g in zip(image, channel, strict=True)])
        maps = torch.stack([gated.mean(0), gated.max(0).values])
        half = kernel.shape[-1] // 2
        padded = F.pad(maps, (half, half) * (maps.ndim - 1))
        spatial = torch.empty_like(maps[0])
        for position in itertools.product(*(range(size) for size in spatial.shape)):
            window = (slice(None), *(slice(p, p + kernel.shape[-1]) for p in position))
            spatial[position] = _sigmoid(norm(float((padded[window] * kernel).sum())))
        gates.append(torch.stack([g * spatial for g in channel]))
    return torch.stack(gates)


def coordinate_gates(
    x: Tensor,
    weights: tuple[Tensor, Tensor, Tensor],
    biases: tuple[Tensor, Tensor, Tensor],
    norm: Callable[[float, int], float],
) -> Tensor:
    """g_h * g_w of equations 4 to 8 of Hou et al. 2021, row by row and column by column."""
    (w1, w_h, w_w), (b1, b_h, b_w) = (
        [v.tolist() for v in weights],
        [v.tolist() for v in biases],
    )

    def gate(line: Tensor, w: list[list[float]], b: list[float]) -> list[float]:
        z = [float(c.mean()) for c in line]
        f = [norm(_dot(row, z) + v, i) for i, (row, v) in enumerate(zip(w1, b1, strict=True))]
        f = [v * min(max(v + 3, 0.0), 6.0) / 6 for v in f]
        return [_sigmoid(_dot(row, f) + v) for row, v in zip(w, b, strict=True)]

    gates = torch.empty_like(x)
    for n, image in enumerate(x):
        rows = [gate(image[:, i], w_h, b_h) for i in range(image.shape[1])]
        columns = [gate(image[:, :, j], w_w, b_w) for j in range(image.shape[2])]
        for c, i, j in itertools.product(*(range(size) for size in image.shape)):
            gates[n, c, i, j] = rows[i][c] * columns[j][c]
    return gates


def effective_se_gate(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Hard sigmoid of one layer on the means, (N, C), of Lee & Park 2020, number by number."""
    rows = []
    for image in x:
        means = [math.fsum(channel.flatten().tolist()) / channel.numel() for channel in image]
        logits = [
            _dot(row, means) + b for row, b in zip(weight.tolist(), bias.tolist(), strict=True)
        ]
        rows.append([min(max(logit + 3, 0), 6) / 6 for logit in logits])
    return torch.tensor(rows, dtype=x.dtype)


def eca_gate(x: Tensor, kernel: Sequence[float]) -> Tensor:
    """Equation 9 of Wang et al. 2020, (N, C): each channel from its k neighbours, zeros outside."""
    rows = []
    for image in x:
        means = [math.fsum(channel.flatten().tolist()) / channel.numel() for channel in image]
        row = []
        for i in range(len(means)):
            neighbours = range(i - len(kernel) // 2, i + len(kernel) // 2 + 1)
            y = [means[j] if 0 <= j < len(means) else 0.0 for j in neighbours]
            row.append(_sigmoid(_dot(kernel, y)))
        rows.append(row)
    return torch.tensor(rows, dtype=x.dtype)


def simam_gate(x: Tensor, regularisation: float) -> Tensor:
    """Equations 5 and 6 of Yang et al. 2021, position by position; the variance over M - 1."""
    gates = []
    for channel in x.flatten(2).flatten(0, 1).tolist():
        mean = math.fsum(channel) / len(channel)
        squares = math.fsum((t - mean) ** 2 for t in channel)
        variance = squares / (len(channel) - 1) if len(channel) > 1 else 0.0
        for t in channel:
            energy = (t - mean) ** 2 + 2 * variance + 2 * regularisation
            gates.append(_sigmoid(energy / (4 * (variance + regularisation))))
    return torch.tensor(gates, dtype=x.dtype).reshape(x.shape)


def spatial_se_gate(x: Tensor, weight: Sequence[float], bias: float) -> Tensor:
    """The spatial gate of Roy et al. 2018, (N, 1, *spatial), position by position."""
    gates = [
        _sigmoid(_dot(weight, position.tolist()) + bias)
        for image in x
        for position in image.flatten(1).T
    ]
    return torch.tensor(gates, dtype=x.dtype).reshape(x.shape[0], 1, *x.shape[2:])


def global_context_transform(
    x: Tensor,
    attention: Sequence[float],
    weights: tuple[Tensor, Tensor],
    biases: tuple[Tensor, Tensor],
    norm: tuple[Tensor, Tensor],
) -> Tensor:
    """What Cao et al. 2019 add to every position, (N, C), number by number."""
    (w1, w2), (b1, b2) = (w.tolist() for w in weights), (b.tolist() for b in biases)
    scale, shift = (p.tolist() for p in norm)
    rows = []
    for image in x:
        positions = image.flatten(1).T.tolist()
        odds = [math.exp(_dot(attention, position)) for position in positions]
        context = [
            _dot(odds, channel) / math.fsum(odds) for channel in zip(*positions, strict=True)
        ]
        hidden = [_dot(row, context) + b for row, b in zip(w1, b1, strict=True)]
        mean = math.fsum(hidden) / len(hidden)
        deviation = math.sqrt(math.fsum((h - mean) ** 2 for h in hidden) / len(hidden) + 1e-6)
        normal = [
            max((h - mean) / deviation * a + b, 0.0)
            for h, a, b in zip(hidden, scale, shift, strict=True)
        ]
        rows.append([_dot(row, normal) + b for row, b in zip(w2, b2, strict=True)])
    return torch.tensor(rows, dtype=x.dtype)


def bam_gate(
    x: Tensor,
    mlp: Sequence[Affine],
    convs: Sequence[Affine],
    norms: tuple[Affine, Sequence[Affine]],
    dilation: int,
    combine: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """1 + M of Park et al. 2018, layer by layer; any rank. A layer is a weight and a bias."""
    gates = []
    for image in x:
        means = image.flatten(1).mean(1)
        hidden = _norm(mlp[0][0] @ means + mlp[0][1], norms[0]).clamp(min=0)
        channel = mlp[1][0] @ hidden + mlp[1][1]
        maps = image
        for (weight, bias), norm in zip(convs[:-1], norms[1], strict=True):
            maps = _norm(_convolve(maps, weight, bias, dilation), norm).clamp(min=0)
        spatial = _convolve(maps, *convs[-1])[0]
        logits = torch.stack([combine(c, spatial) for c in channel])
        gates.append(1 + 1 / (1 + (-logits).exp()))
    return torch.stack(gates)


def triplet_gate(x: Tensor, kernels: Sequence[Tensor], norms: Sequence[Affine]) -> Tensor:
    """The mean of the three gates of Misra et al. 2021: (C, W), (H, C) and (H, W)."""
    gates = torch.empty_like(x)
    for n, image in enumerate(x):
        planes = (
            torch.stack([image.max(1).values, image.mean(1)]),
            torch.stack([image.max(2).values.T, image.mean(2).T]),
            torch.stack([image.max(0).values, image.mean(0)]),
        )
        cw, hc, hw = (
            1 / (1 + (-_norm(_convolve(plane, kernel), norm)[0]).exp())
            for plane, kernel, norm in zip(planes, kernels, norms, strict=True)
        )
        for c, i, j in itertools.product(*(range(size) for size in image.shape)):
            gates[n, c, i, j] = (cw[c, j] + hc[i, c] + hw[i, j]) / 3
    return gates


def gather_excite_gate(
    x: Tensor,
    extent: int,
    gather: Sequence[tuple[Tensor, Affine]] = (),
    mlp: Sequence[Affine] = (),
) -> Tensor:
    """Gather and excite of Hu et al. 2018, position by position; any rank.

    ``gather`` has a depthwise kernel (C, 1, 3, ...) and a norm for each halving, or is empty.
    """
    gates = torch.empty_like(x)
    for n, image in enumerate(x):
        maps = image
        for i, (kernel, norm) in enumerate(gather):
            halves = [
                _convolve(c[None], k[None], stride=2)[0] for c, k in zip(maps, kernel, strict=True)
            ]
            maps = _norm(torch.stack(halves), norm)
            if mlp or i < len(gather) - 1:
                maps = maps.clamp(min=0)
        if not gather:
            maps = torch.stack([_window_means(channel, extent) for channel in image])
        if mlp:
            (w1, b1), (w2, b2) = mlp
            maps = _convolve(_convolve(maps, w1, b1).clamp(min=0), w2, b2)
        for place in itertools.product(*(range(size) for size in image.shape[1:])):
            source = [
                i * small // size
                for i, small, size in zip(place, maps.shape[1:], image.shape[1:], strict=True)
            ]
            gates[(n, slice(None), *place)] = 1 / (1 + (-maps[(slice(None), *source)]).exp())
    return gates


def _window_means(channel: Tensor, extent: int) -> Tensor:
    """The mean around every e-th position, of those nearer than e along each axis."""
    means = torch.empty([-(-size // extent) for size in channel.shape], dtype=channel.dtype)
    for place in itertools.product(*(range(size) for size in means.shape)):
        window = [slice(max(extent * i - extent + 1, 0), extent * i + extent) for i in place]
        means[place] = channel[tuple(window)].mean()
    return means


def _convolve(
    maps: Tensor, weight: Tensor, bias: Tensor | None = None, dilation: int = 1, stride: int = 1
) -> Tensor:
    """(C, *spatial) into (K, *spatial / stride), zeros outside, position by position."""
    reach = dilation * (weight.shape[-1] - 1)
    padded = F.pad(maps, (reach // 2, reach // 2) * (maps.ndim - 1))
    sizes = [-(-size // stride) for size in maps.shape[1:]]
    result = torch.empty(len(weight), *sizes, dtype=maps.dtype)
    for place in itertools.product(*(range(size) for size in sizes)):
        starts = [stride * i for i in place]
        window = (slice(None), *(slice(i, i + reach + 1, dilation) for i in starts))
        products = (padded[window] * weight).flatten(1).sum(1)
        result[(slice(None), *place)] = products if bias is None else products + bias
    return result


def _norm(maps: Tensor, affine: Affine) -> Tensor:
    """Scale and shift each channel of (C, ...)."""
    scale, shift = affine
    return torch.stack([m * a + b for m, a, b in zip(maps, scale, shift, strict=True)])


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


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


def near_mask(mask: Tensor, tolerance: float, spacing: Sequence[float]) -> Tensor:
    """The pixels whose distance to a pixel of the mask is at most the tolerance, pair by pair."""
    near = torch.zeros(mask.shape, dtype=torch.bool)
    for case, *pixel in itertools.product(*map(range, mask.shape)):
        marked = mask[case].nonzero().tolist()
        scaled = [[(a - b) * s for a, b, s in zip(pixel, q, spacing, strict=True)] for q in marked]
        near[(case, *pixel)] = any(math.hypot(*way) <= tolerance + 1e-9 for way in scaled)
    return near


def strongest(values: Sequence[float], count: int) -> list[float]:
    """How much of each pixel is among the strongest above 0, place by place; ties share theirs."""
    marks, places = [0.0] * len(values), count
    for level in sorted({v for v in values if v > 0}, reverse=True):
        tied = [i for i, v in enumerate(values) if v == level]
        for i in tied:
            marks[i] = min(1.0, places / len(tied))
        places = max(0, places - len(tied))
    return marks


def overlap(marks: Sequence[float], inside: Sequence[bool]) -> tuple[float, float]:
    """IoU and Dice of marked pixels, some of which are fractions, and a mask that is not empty."""
    shared = math.fsum(w for w, m in zip(marks, inside, strict=True) if m)
    both = math.fsum(marks) + sum(inside)
    return shared / (both - shared), 2 * shared / both


def connected_regions(mask: Tensor, *, diagonal: bool) -> Tensor:
    """Label map of one mask ``(*spatial)``, by flooding from each pixel in order."""
    labels, found = torch.zeros(mask.shape, dtype=torch.int64), 0
    for start in itertools.product(*map(range, mask.shape)):
        if not mask[start] or labels[start]:
            continue
        found += 1
        labels[start], wet = found, [start]
        while wet:
            here = wet.pop()
            for step in itertools.product((-1, 0, 1), repeat=mask.dim()):
                there = tuple(h + d for h, d in zip(here, step, strict=True))
                inside = all(0 <= t < size for t, size in zip(there, mask.shape, strict=True))
                touching = diagonal or sum(map(abs, step)) == 1
                if inside and touching and mask[there] and not labels[there]:
                    labels[there] = found
                    wet.append(there)
    return labels


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
    return roc_auc_covariance(labels, scores, scores, patients)


def roc_auc_covariance(
    labels: Sequence[int],
    scores_a: Sequence[float],
    scores_b: Sequence[float],
    patients: Sequence[int] | None = None,
) -> float:
    """Of the areas of two models on the same cases, by the same definitions."""
    m, n = sum(labels), len(labels) - sum(labels)
    v10_a, v01_a = _placements(labels, scores_a)
    v10_b, v01_b = _placements(labels, scores_b)
    if patients is None:
        s10 = math.fsum(a * b for a, b in zip(v10_a.values(), v10_b.values(), strict=True))
        s01 = math.fsum(a * b for a, b in zip(v01_a.values(), v01_b.values(), strict=True))
        return s10 / (m - 1) / m + s01 / (n - 1) / n
    everyone = sorted(set(patients))

    def sums(placements: dict[int, float]) -> dict[int, float]:
        of = placements.items()
        return {p: math.fsum(v for i, v in of if patients[i] == p) for p in everyone}

    x_a, x_b, y_a, y_b = (sums(v) for v in (v10_a, v10_b, v01_a, v01_b))
    i10, i01 = (len({patients[i] for i in v}) for v in (v10_a, v01_a))
    i = len(everyone)
    s10 = i10 / ((i10 - 1) * m) * math.fsum(x_a[p] * x_b[p] for p in everyone)
    s01 = i01 / ((i01 - 1) * n) * math.fsum(y_a[p] * y_b[p] for p in everyone)
    s11 = i / (i - 1) * math.fsum(x_a[p] * y_b[p] + y_a[p] * x_b[p] for p in everyone)
    return s10 / m + s01 / n + s11 / (m * n)


def _placements(
    labels: Sequence[int], scores: Sequence[float]
) -> tuple[dict[int, float], dict[int, float]]:
    """Of every positive and of every negative, by its index: its share of wins less the area."""
    cases = list(enumerate(zip(labels, scores, strict=True)))
    positives = {i: s for i, (label, s) in cases if label == 1}
    negatives = {i: s for i, (label, s) in cases if label == 0}
    m, n, area = len(positives), len(negatives), roc_auc(labels, scores)
    v10 = {
        i: math.fsum(_win(a, b) for b in negatives.values()) / n - area
        for i, a in positives.items()
    }
    v01 = {
        j: math.fsum(_win(a, b) for a in positives.values()) / m - area
        for j, b in negatives.items()
    }
    return v10, v01


def _win(positive: float, negative: float) -> float:
    return 1.0 if positive > negative else 0.5 if positive == negative else 0.0


def reliability(
    labels: Sequence[int], scores: Sequence[float], bins: int
) -> list[tuple[int, float, float]]:
    """Count, mean score and share of positives of each bin of equal width, case by case."""
    rows = []
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        held = [
            (label, score)
            for label, score in zip(labels, scores, strict=True)
            if low <= score < high or (b == bins - 1 and score == 1)
        ]
        n = len(held)
        mean = math.fsum(s for _, s in held) / n if n else math.nan
        rows.append((n, mean, sum(y for y, _ in held) / n if n else math.nan))
    return rows


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


def joined_rows(rows: Sequence[IndexRow], join: Sequence[object]) -> list[set[int]]:
    """The positions of the rows of each group: any two groups that share something become one."""
    shares: list[set[tuple[str, object]]] = [
        {
            (kind, value)
            for kind, value in [
                ("patient", row.patient),
                ("study", row.study),
                ("frame", row.frame_of_reference),
                ("pixels", row.pixels),
                ("key", key),
            ]
            if value not in ("", None)
        }
        for row, key in zip(rows, join, strict=True)
    ]
    groups = [{i} for i in range(len(rows))]
    merged = True
    while merged:
        merged = False
        for a, b in itertools.combinations(range(len(groups)), 2):
            if shares[a] & shares[b]:
                groups[a] |= groups.pop(b)
                shares[a] |= shares.pop(b)
                merged = True
                break
    return groups


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


def rotate_and_scale(
    image: Tensor, degrees: float, scale: float, right: float = 0.0, down: float = 0.0
) -> Tensor:
    """Rotate (H, W) clockwise about its centre, enlarge and shift it: bilinear, 0 outside."""
    height, width = image.shape
    cos, sin = math.cos(math.radians(degrees)) / scale, math.sin(math.radians(degrees)) / scale
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    result = torch.zeros_like(image)
    for i in range(height):
        for j in range(width):
            x, y = j - center_x - right, i - center_y - down
            from_x, from_y = center_x + cos * x + sin * y, center_y - sin * x + cos * y
            for row in (math.floor(from_y), math.floor(from_y) + 1):
                for column in (math.floor(from_x), math.floor(from_x) + 1):
                    if 0 <= row < height and 0 <= column < width:
                        weight = (1 - abs(from_x - column)) * (1 - abs(from_y - row))
                        result[i, j] += weight * image[row, column]
    return result
