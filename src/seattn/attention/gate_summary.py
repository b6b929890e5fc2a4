"""Gates by class, as in the SENet paper's figures on the role of excitation (arXiv:1709.01507)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["GateStatistics", "GateSummary"]


@dataclass(frozen=True, eq=False)
class GateSummary:
    r"""The gates of one block over a set of images. K is the number of classes, N of images.

    With x the gate of an image i and a channel c, and m the means of class k and of all images,

    .. math:: \eta^2 = \frac{\sum_c \sum_k n_k (m_{kc} - m_c)^2}{\sum_c \sum_i (x_{ic} - m_c)^2}

    is the share of the gates' variance that lies between the classes: 0 where the classes have
    equal means, 1 where an image's class tells its gates. Labels that mean nothing give
    (K - 1) / (N - 1) on average, ``chance``.

    Attributes:
        classes: The labels seen, ascending.
        counts: Images of each class.
        mean: Mean gate of each class and channel, (K, C).
        std: Standard deviation within each class, (K, C), of a sample (divided by n - 1); nan for
            a class of one image.
        overall_mean: Mean gate over all images, (C,).
        eta_squared: The share above, in 0..1; nan where ``reason`` is given.
        chance: Its average over all permutations of the labels; nan where ``reason`` is given.
        reason: Why ``eta_squared`` is not defined, else ``None``.

    Examples:
        >>> import torch
        >>> from seattn.attention import GateStatistics
        >>> gates = torch.tensor([[0.9, 0.5], [0.7, 0.5], [0.3, 0.5], [0.1, 0.5]])  # (N, C)
        >>> statistics = GateStatistics()
        >>> statistics.update({"layer4.2.se": gates}, labels=[1, 1, 0, 0])
        >>> summary = statistics.summary()["layer4.2.se"]
        >>> summary.mean  # the first channel knows the class, the second does not
        tensor([[0.2000, 0.5000],
                [0.8000, 0.5000]], dtype=torch.float64)
        >>> round(summary.eta_squared, 2), round(summary.chance, 2)
        (0.9, 0.33)
    """

    classes: tuple[int, ...]
    counts: tuple[int, ...]
    mean: Tensor
    std: Tensor
    overall_mean: Tensor
    eta_squared: float
    chance: float
    reason: str | None


class GateStatistics:
    """Collects gates batch by batch, and summarises them by class.

    Sums are kept in float64 on the CPU. They take the memory of some rows of gates per block and
    class, however many images there are.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.attention import GateStatistics, SEBlock, record_gates
        >>> model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), SEBlock(32)).eval()
        >>> loader = [(torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 1, 0])) for _ in range(3)]
        >>> statistics = GateStatistics()
        >>> with torch.no_grad(), record_gates(model) as gates:
        ...     for images, labels in loader:
        ...         _ = model(images)
        ...         statistics.update(gates, labels)
        >>> summary = statistics.summary()["2"]
        >>> summary.counts, summary.mean.shape
        ((6, 6), torch.Size([2, 32]))
    """

    def __init__(self) -> None:
        self._blocks: dict[str, dict[int, _Sums]] = {}

    def update(self, gates: Mapping[str, Tensor], labels: Tensor | Sequence[int]) -> None:
        """Add a batch; on an error nothing of it is added.

        Args:
            gates: ``{module name: (N, C) gates}`` of one forward pass, from ``record_gates``.
            labels: The classes of its images, (N,) integers from 0 on.

        Raises:
            ValueError: The shapes do not fit each other or the batches before, a label is negative,
                or a gate is not finite.
            TypeError: The labels are no integers.
        """
        labels = _check_labels(labels)
        for name, gate in gates.items():
            self._check_gates(name, gate, len(labels))
        for name, gate in gates.items():
            # Some accelerators have no float64: to the CPU first.
            rows = gate.detach().cpu().double()
            for label in sorted(set(labels.tolist())):
                members = rows[labels == label]
                classes = self._blocks.setdefault(name, {})
                classes.setdefault(label, _Sums(members[0])).add(members)

    def summary(self) -> dict[str, GateSummary]:
        """Return the summary of every block by its module name, in the order of recording."""
        return {name: _summarise(classes) for name, classes in self._blocks.items()}

    def _check_gates(self, name: str, gate: Tensor, images: int) -> None:
        if gate.ndim != 2 or len(gate) != images:
            raise ValueError(
                f"`gates` of {name!r} have shape {tuple(gate.shape)}, and there are {images} "
                "`labels`; they must be (N, C) with one row per label, of the same forward pass"
            )
        for sums in self._blocks.get(name, {}).values():
            if gate.shape[1] != len(sums.origin):
                raise ValueError(
                    f"`gates` of {name!r} have {gate.shape[1]} channels, and had "
                    f"{len(sums.origin)} in the batches before; use one `GateStatistics` per model"
                )
        if not gate.isfinite().all():
            raise ValueError(
                f"`gates` of {name!r} hold values that are not finite; look for them in the "
                "network's weights and input"
            )


class _Sums:
    """Sums over the images of one class of a block's gates x, (C,) each.

    They are taken of x - origin, where the origin is the first image's: a gate that never changes
    has a variance of exactly 0, and small variances keep their digits.
    """

    def __init__(self, origin: Tensor) -> None:
        self.origin = origin
        self.count = 0
        self.first = torch.zeros_like(origin)
        self.second = torch.zeros_like(origin)

    def add(self, gates: Tensor) -> None:
        shifted = gates - self.origin
        self.count += len(gates)
        # Not in place: the tensors may have been made in inference mode.
        self.first = self.first + shifted.sum(0)
        self.second = self.second + shifted.square().sum(0)

    def mean(self) -> Tensor:
        return self.origin + self.first / self.count

    def squares(self) -> Tensor:
        """Sum of the squared deviations from the mean."""
        return self.second - self.first.square() / self.count


def _check_labels(labels: Tensor | Sequence[int]) -> Tensor:
    labels = torch.as_tensor(labels).cpu()
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"`labels` ({labels.dtype}) must be integers; convert them with `.long()`")
    if labels.ndim != 1:
        raise ValueError(
            f"`labels` (shape {tuple(labels.shape)}) must be (N,); of one-hot rows take `argmax(1)`"
        )
    if (labels < 0).any():
        raise ValueError(
            f"`labels` ({int(labels.min())} among them) must be 0 or more; leave images without "
            "a class out"
        )
    return labels


def _summarise(classes: Mapping[int, _Sums]) -> GateSummary:
    ordered = dict(sorted(classes.items()))
    counts = tuple(sums.count for sums in ordered.values())
    sizes = torch.tensor(counts, dtype=torch.float64)[:, None]  # (K, 1)
    mean = torch.stack([sums.mean() for sums in ordered.values()])  # (K, C)
    squares = torch.stack([sums.squares() for sums in ordered.values()])
    # Means are compared with the first one's: equal ones then differ by exactly 0.
    offset = mean - mean[0]
    centre = (sizes * offset).sum(0) / sizes.sum()  # (C,)
    between = (sizes * (offset - centre).square()).sum().item()
    total = between + squares.sum().item()
    reason = None
    if len(counts) == 1:
        reason = f"all images are of class {next(iter(ordered))}"
    elif total == 0:
        reason = "no gate varies"
    return GateSummary(
        classes=tuple(ordered),
        counts=counts,
        mean=mean,
        std=(squares / (sizes - 1)).sqrt(),  # of one image: 0 / 0
        overall_mean=mean[0] + centre,
        eta_squared=math.nan if reason else between / total,
        chance=math.nan if reason else (len(counts) - 1) / (sum(counts) - 1),
        reason=reason,
    )
