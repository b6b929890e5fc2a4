"""One network's way through the study: training, validation, and one look at the test images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from examples.ankle_fracture import networks
from examples.ankle_fracture.cohort import Cohort
from examples.ankle_fracture.config import Config
from examples.ankle_fracture.decision import Decision, decide
from examples.ankle_fracture.evaluation import Level, Report, evaluate
from examples.ankle_fracture.explanation import Agreement, agreement
from examples.ankle_fracture.items import Items
from examples.ankle_fracture.training import Epoch, class_weights, fit, kept, predict

__all__ = ["Result", "compete"]


@dataclass(frozen=True)
class Result:
    """What one network came to.

    Args:
        title: As it stands in the report.
        target_layer: Where Grad-CAM looked.
        network: With the weights that were kept.
        curves: One row an epoch.
        best: The epoch whose weights were kept.
        probabilities: By part ("val", "test"): (N, K), of its items.
        decision: What validation decided.
        levels: Test results by "image" and perhaps "patient".
        agreement: Of its heat maps with the annotations, by the class that they explain.
    """

    title: str
    target_layer: str
    network: nn.Module
    curves: list[Epoch]
    best: Epoch
    probabilities: dict[str, torch.Tensor]
    decision: Decision
    levels: dict[str, Level]
    agreement: dict[str, Agreement]

    @property
    def report(self) -> Report:
        """The test results by image at the main operating point."""
        return self.levels["image"].main


def compete(
    name: str, config: Config, cohort: Cohort, items: dict[str, Items], folder: Path, *, seed: int
) -> Result:
    """Trains the network of that name, or goes on with it, and evaluates it.

    Args:
        name: As ``networks.find`` takes it.
        config: The run's choices.
        cohort: The images.
        items: What the protocol makes of them.
        folder: This network's own folder.
        seed: Draws the weights.
    """
    entry = networks.find(name)
    print(f"\n{entry.title}, seed {seed}", flush=True)
    torch.manual_seed(seed)
    network = networks.build(
        name,
        in_chans=len(cohort.train[0].image),
        num_classes=len(cohort.class_names),
        weights=config.weights_of(name),
    )
    curves = fit(network, config, items["train"], items["val"], folder, seed=seed)
    logits = predict(network, items["val"])
    decision = decide(logits, items["val"], config, weight=class_weights(config, items["train"]))
    probabilities = {
        "val": decision.probabilities(logits),
        "test": decision.probabilities(predict(network, items["test"])),
    }
    found = evaluate(probabilities["test"], items["test"], decision, config, cohort.class_names)
    for level, result in found.items():
        print(f"by {level}: {result.main}", flush=True)
    agreed = {
        target: agreement(
            network, entry.target_layer, cohort.train, cohort.test, seed=seed, target=target
        )
        for target in config.cam_targets
    }
    return Result(
        entry.title,
        entry.target_layer,
        network,
        curves,
        kept(config, curves),
        probabilities,
        decision,
        found,
        agreed,
    )
