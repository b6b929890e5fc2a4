"""The data randomisation test (Adebayo et al., NeurIPS 2018): maps after permuted labels."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seattn.explain.arguments import check_whole
from seattn.explain.map_pairs import (
    Explain,
    MapSimilarity,
    call_explain,
    compare,
    mean_and_half_width,
    stack,
    table,
    unrelated,
)

__all__ = ["LabelPermutationTest", "label_permutation_test"]


@dataclass(frozen=True)
class LabelPermutationTest:
    """Maps after training on permuted labels; ``print`` shows it as a table under the verdict.

    All maps are compared with those of one network, trained on the true labels.

    Attributes:
        true_labels: Networks trained on the true labels with other seeds; ``(repeats, N)``.
        permuted_labels: Networks trained on permuted labels, with the same other seeds; of the
            same shape.
        unrelated: Pairs of maps of different images, from the first network; (pairs,).
        kept: The share of cases, in the mean, whose permuted label is their true one.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import label_permutation_test
        >>> train = lambda labels, seed: nn.Conv2d(1, 1, 3)  # yours trains
        >>> edges = lambda model, x: x.diff(dim=-1).abs().squeeze(1)  # ignores the network
        >>> test = label_permutation_test(
        ...     train, edges, torch.rand(8, 1, 16, 16), labels=[0, 1] * 20, seed=0
        ... )
        >>> test.verdict.split(" (")[0], test.difference
        ('Failed: the maps survive permuted labels', (0.0, 0.0, 0.0))
    """

    true_labels: MapSimilarity
    permuted_labels: MapSimilarity
    unrelated: MapSimilarity
    kept: float

    @property
    def difference(self) -> tuple[float, float, float]:
        """By how much true labels make for more alike maps (rank correlation), and its interval.

        Image by image, the mean over the repeats; the ends are those of a 95 % interval, the
        normal one over the images. It knows nothing of the chance in the trainings.
        """
        true, permuted = self.true_labels.rank_correlation, self.permuted_labels.rank_correlation
        mean, half_width = mean_and_half_width((true - permuted).nanmean(0))
        return mean, mean - half_width, mean + half_width

    @property
    def passed(self) -> bool:
        """Whether the maps depend on the labels; see ``label_permutation_test``."""
        return self._finding()[0]

    @property
    def verdict(self) -> str:
        """The finding in words, with its numbers."""
        return self._finding()[1]

    def to_dict(self) -> dict[str, object]:
        """The test in types that JSON has; nan becomes ``None``."""
        difference = [None if math.isnan(value) else value for value in self.difference]
        return {
            "true_labels": self.true_labels.to_dict(),
            "permuted_labels": self.permuted_labels.to_dict(),
            "unrelated": self.unrelated.to_dict(),
            "kept": self.kept,
            "difference": difference,
            "passed": self.passed,
            "verdict": self.verdict,
        }

    def __str__(self) -> str:
        """The verdict, and a row for each comparison."""
        rows = {
            "true labels, other seed": self.true_labels,
            "permuted labels": self.permuted_labels,
            "maps of different images": self.unrelated,
        }
        return f"{self.verdict}\n{self.kept:.0%} of the cases kept their label.\n\n{table(rows)}"

    def _finding(self) -> tuple[bool, str]:
        if self.unrelated.defined == 0:
            return False, "Failed: the maps of the network trained on the true labels are blank."
        if min(self.true_labels.defined, self.permuted_labels.defined) < 0.5:
            return False, "Undecided: more than half of the maps are blank. Try signed maps."
        true = self.true_labels.rank_correlation.nanmean().item()
        permuted = self.permuted_labels.rank_correlation.nanmean().item()
        mean, low, high = self.difference
        numbers = (
            f"rank corr. {true:.2f} with true labels, {permuted:.2f} with permuted ones; "
            f"difference {mean:.2f}, 95 % interval {low:.2f} to {high:.2f}"
        )
        if permuted >= 0.5:
            return False, f"Failed: the maps survive permuted labels ({numbers})."
        if low > 0:
            return True, f"Passed: the maps depend on the labels ({numbers})."
        return False, (
            f"Undecided: another seed changes the maps as much as permuted labels do ({numbers})."
        )


@torch.inference_mode(mode=False)  # and gradients on: `train` may need them
def label_permutation_test(
    train: Callable[[Tensor, int], nn.Module],
    explain: Explain,
    x: Tensor,
    labels: Tensor | Sequence[int],
    *,
    seed: int,
    patients: Sequence[Hashable] | None = None,
    repeats: int = 1,
) -> LabelPermutationTest:
    """Train a network on permuted labels, and see whether its maps differ from the true network's.

    A network that has learnt labels without meaning has nothing to point at; maps that stay the
    same show the images. But two trainings differ by their seeds, too. So the first network, of
    ``seed``, is compared with networks trained on the true labels with other seeds, and with
    networks trained on permuted labels with those same seeds.

    The rule: the test is passed if the mean rank correlation with the maps under permuted labels
    is below 0.5, and lower than under the true labels: the 95 % interval of that difference lies
    above 0. Where it does not, the maps change as much from one training to the next, which says
    that they cannot be relied upon, and nothing about the labels.

    Args:
        train: A function of labels (as ``labels``, a tensor) and a seed that trains a network on
            them and returns it. It is called ``1 + 2 * repeats`` times, with torch's seed set. Let
            it train long enough to fit permuted labels too, and look whether it did.
        explain: Any attribution method, a function from a network and images to maps
            ``(N, *spatial)`` with sides of at least 11. Fix the class: the networks differ in what
            they predict.
        x: Images to explain, ``(N, C, *spatial)``, two or more; 20 are better. Images
            that were not trained on.
        labels: The true labels, (cases,), of the cases that ``train`` trains on.
        seed: Seed of the first training, and of the permutations.
        patients: The patient of each of those cases. Then labels are exchanged between patients,
            and all cases of one keep a common label.
        repeats: How many pairs of further networks, with the seeds ``seed + 1`` and on.

    Returns:
        The similarities, and the verdict.

    Raises:
        ValueError: The lengths differ, the cases of a patient have several labels, there is only
            one label, too few images, or ``explain`` does not return one map for each.
        TypeError: ``explain`` returns no tensor.

    References:
        Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim, "Sanity Checks for Saliency Maps",
        NeurIPS 2018: the data randomisation test.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import label_permutation_test
        >>> train = lambda labels, seed: nn.Conv2d(1, 1, 3)  # yours trains
        >>> edges = lambda model, x: x.diff(dim=-1).abs().squeeze(1)  # ignores the network
        >>> test = label_permutation_test(
        ...     train, edges, torch.rand(8, 1, 16, 16), labels=[0, 1] * 20, seed=0
        ... )
        >>> test.passed
        False
    """
    check_whole("repeats", repeats, least=1)
    check_whole("seed", seed, least=0)
    labels = torch.as_tensor(labels)
    units, unit_of = _units(labels, patients)
    generator = torch.Generator().manual_seed(seed)

    def maps(trained_on: Tensor, number: int) -> Tensor:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(seed + number)
            model = train(trained_on.clone(), seed + number)
        return call_explain(explain, model.eval(), x, seed=seed)

    original = maps(labels, 0)
    baseline = unrelated(original, seed=seed)
    true, permuted, kept = [], [], 0.0
    for number in range(1, repeats + 1):
        order = torch.randperm(len(units), generator=generator)
        shuffled = units[order][unit_of]
        kept += (shuffled == labels.cpu()).double().mean().item() / repeats
        true.append(compare(original, maps(labels, number)))
        permuted.append(compare(original, maps(shuffled.to(labels.device), number)))
    return LabelPermutationTest(stack(true), stack(permuted), baseline, kept)


def _units(labels: Tensor, patients: Sequence[Hashable] | None) -> tuple[Tensor, Tensor]:
    """Return the label of each unit that is exchanged, and the unit of each case."""
    if labels.dim() != 1 or not (labels != labels[:1]).any():
        raise ValueError(
            f"`labels` (shape {tuple(labels.shape)}) must be one for each case, and not all equal"
        )
    if patients is None:
        return labels.cpu(), torch.arange(len(labels))
    if len(patients) != len(labels):
        raise ValueError(
            f"`patients` (length {len(patients)}) must be as long as `labels` (={len(labels)})"
        )
    found: dict[Hashable, tuple[int, object]] = {}
    for patient, label in zip(patients, labels.tolist(), strict=True):
        if found.setdefault(patient, (len(found), label))[1] != label:
            raise ValueError(
                "`patients`: the cases of a patient have several labels; give keys that do not, "
                "such as patient and side, or None to permute the cases"
            )
    unit_of = torch.tensor([found[patient][0] for patient in patients])
    return labels.new_tensor([label for _, label in found.values()], device="cpu"), unit_of
