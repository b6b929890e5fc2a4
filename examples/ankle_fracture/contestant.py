"""One network's way through the study: training, validation, and one look at the test images."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
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
from examples.ankle_fracture.processes import ALONE, Processes
from examples.ankle_fracture.training import Epoch, class_weights, fit, kept, predict

__all__ = ["Result", "assist", "compete"]


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


@dataclass(frozen=True)
class Training:
    """What it takes to train one network; every process that takes part runs it.

    Args:
        name: As ``networks.find`` takes it.
        config: The run's choices.
        train, val: The items of these parts.
        folder: Where the network's state goes.
        seed: Draws the weights.
        in_chans: Channels of the images.
        num_classes: Number of classes.
    """

    name: str
    config: Config
    train: Items
    val: Items
    folder: Path
    seed: int
    in_chans: int
    num_classes: int

    def run(self, processes: Processes) -> tuple[nn.Module, list[Epoch]]:
        """Builds the network and trains it, or goes on."""
        torch.manual_seed(self.seed)
        network = networks.build(
            self.name,
            in_chans=self.in_chans,
            num_classes=self.num_classes,
            weights=self.config.weights_of(self.name),
        )
        curves = fit(
            network,
            self.config,
            self.train,
            self.val,
            self.folder,
            seed=self.seed,
            processes=processes,
        )
        return network, curves


def assist(processes: Processes) -> None:
    """Helps the first process with each training, until there are no more; prints nothing."""
    while (job := processes.receive()) is not None:
        with redirect_stdout(io.StringIO()):
            job.run(processes)


def compete(
    name: str,
    config: Config,
    cohort: Cohort,
    items: dict[str, Items],
    folder: Path,
    *,
    seed: int,
    processes: Processes = ALONE,
) -> Result:
    """Trains the network of that name, or goes on with it, and evaluates it.

    Args:
        name: As ``networks.find`` takes it.
        config: The run's choices.
        cohort: The images.
        items: What the protocol makes of them.
        folder: This network's own folder.
        seed: Draws the weights.
        processes: This one evaluates; the others, which ``assist``, help to train.
    """
    entry = networks.find(name)
    print(f"\n{entry.title}, seed {seed}", flush=True)
    job = Training(
        name,
        config,
        items["train"],
        items["val"],
        folder,
        seed,
        in_chans=len(cohort.train[0].image),
        num_classes=len(cohort.class_names),
    )
    processes.send(job)
    network, curves = job.run(processes)
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
