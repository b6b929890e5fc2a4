"""One network's way through the study: trained, then shown the test images once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from examples.ankle_fracture.cohort import Cohort
from examples.ankle_fracture.config import Config
from examples.ankle_fracture.evaluation import Report, evaluate
from examples.ankle_fracture.explanation import Agreement, agreement
from examples.ankle_fracture.networks import NETWORKS
from examples.ankle_fracture.training import Epoch, fit, predict

__all__ = ["Result", "compete"]


@dataclass(frozen=True)
class Result:
    """What one network came to.

    Args:
        title: As it stands in the report.
        target_layer: Where Grad-CAM looked.
        network: With the weights of its best validation epoch.
        curves: One row an epoch.
        probabilities: By part ("val", "test"): (N, K).
        report: Metrics of the test images.
        agreement: Of its heat maps with the annotations.
    """

    title: str
    target_layer: str
    network: nn.Module
    curves: list[Epoch]
    probabilities: dict[str, torch.Tensor]
    report: Report
    agreement: Agreement

    @property
    def best(self) -> Epoch:
        """The epoch whose weights were kept."""
        return min(self.curves, key=lambda row: row.val_loss)


def compete(name: str, config: Config, cohort: Cohort, folder: Path) -> Result:
    """Trains the network called ``name``, or goes on with it, and evaluates it.

    Args:
        name: A key of ``NETWORKS``.
        config: The run's choices.
        cohort: The images.
        folder: This network's own folder.
    """
    entry = NETWORKS[name]
    print(f"\n{entry.title}", flush=True)
    torch.manual_seed(config.seed)
    network = entry.build(in_chans=len(cohort.train[0].image), num_classes=len(cohort.class_names))
    curves = fit(network, config, cohort.train, cohort.val, folder)
    probabilities = {
        part: predict(network, cohort.parts[part]).double().softmax(1) for part in ("val", "test")
    }
    found = evaluate(probabilities["test"], cohort)
    print(found, flush=True)
    agreed = agreement(network, entry.target_layer, cohort.train, cohort.test, seed=config.seed)
    return Result(entry.title, entry.target_layer, network, curves, probabilities, found, agreed)
