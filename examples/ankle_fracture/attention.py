"""What the gates of a network do to images: recorded, compared between classes, seen on maps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from seattn.attention import record_gates
from seattn.data import DicomDataset
from seattn.explain import tap

__all__ = ["Activations", "Block", "activations", "last_blocks", "record", "separation"]

DRAWS = 1000


@dataclass(frozen=True)
class Block:
    """How far the gates of one block differ between the classes.

    Args:
        eta_squared: Share of their variance that lies between the classes, as ``GateSummary`` has
            it; nan where no gate varies, or there is one class.
        permuted: Its mean with permuted labels.
        permuted_95: What it exceeds in one of 20 permutations.
        p_value: (1 + permutations that reach it) / (1 + permutations).
        draws: The number of permutations.
    """

    eta_squared: float
    permuted: float
    permuted_95: float
    p_value: float
    draws: int


@dataclass(frozen=True)
class Activations:
    """Mean absolute activation over the channels of one block's input and output.

    Args:
        before: (N, H, W).
        after: (N, H, W).
    """

    before: torch.Tensor
    after: torch.Tensor

    @property
    def ratio(self) -> torch.Tensor:
        """The factor at each place, (N, H, W); nan where there was nothing."""
        return self.after / self.before


def record(network: nn.Module, dataset: DicomDataset) -> dict[str, torch.Tensor]:
    """The gates of every block, (N, C) on the CPU, of all images as they are.

    Args:
        network: In eval mode afterwards as before.
        dataset: The images.
    """
    device = next(network.parameters()).device
    batches: list[dict[str, torch.Tensor]] = []
    training = network.training
    network.eval()
    with torch.no_grad(), record_gates(network) as gates:
        for sample in dataset.loader(64):
            network(sample.image.to(device))
            batches.append({name: gate.cpu() for name, gate in gates.items()})
    network.train(training)
    return {name: torch.cat([batch[name] for batch in batches]) for name in gates}


def separation(
    gates: torch.Tensor, labels: Sequence[int], groups: Sequence[str], *, seed: int
) -> Block:
    """How far gates differ between classes, beside the same with permuted labels.

    Args:
        gates: (N, C) of one block.
        labels: (N,) classes.
        groups: (N,) names; images of a group have one label, and get one label in a permutation.
        seed: Of the permutations.
    """
    _, first, group = np.unique(np.array(groups), return_index=True, return_inverse=True)
    of_group = np.array(labels)[first]
    rng = np.random.default_rng(seed)
    drawn = np.stack([of_group, *(rng.permutation(of_group) for _ in range(DRAWS))])[:, group]
    values = gates.double().numpy()
    values = values - values.mean(0)
    total = (values**2).sum()
    if total == 0 or len(set(labels)) == 1:
        return Block(math.nan, math.nan, math.nan, math.nan, DRAWS)
    between = np.zeros(len(drawn))
    for label in sorted(set(labels)):
        members = (drawn == label).astype(np.float64)  # (1 + DRAWS, N)
        between += ((members @ values) ** 2).sum(1) / members.sum(1)
    own, *others = between / total
    reached = np.sum(np.array(others) >= own * (1 - 1e-9))
    return Block(
        float(own),
        float(np.mean(others)),
        float(np.quantile(others, 0.95)),
        float((1 + reached) / (1 + DRAWS)),
        DRAWS,
    )


def last_blocks(names: Iterable[str]) -> list[str]:
    """The last gate of each stage: of "layer1.0.se" and "layer1.1.se" the second."""
    return list({name.rsplit(".", 2)[0]: name for name in names}.values())


def activations(
    network: nn.Module, blocks: Sequence[str], images: torch.Tensor
) -> dict[str, Activations]:
    """Maps before and after the gates of some blocks.

    A block returns ``x * gate(x)``: its input is its output divided by the gates.

    Args:
        network: Any network with gates.
        blocks: Their names.
        images: (N, C, H, W).
    """
    device = next(network.parameters()).device
    with record_gates(network) as gates, tap(network, blocks) as tapped:
        outputs, _ = tapped.grads(network(images.to(device)))
    return {
        name: Activations(
            (output / gates[name][:, :, None, None]).abs().mean(1).cpu(), output.abs().mean(1).cpu()
        )
        for name, output in zip(blocks, outputs, strict=True)
    }
