"""Is attention that starts as the identity useful, or only exact? An experiment on the phantom.

A plain network learns to name the plane of a slice (axial, coronal, sagittal) in synthetic patients
without a fracture. Then it learns to see fractures in other patients, from 10, 30 or 100 % of them:
as it is, or with SE or CBAM blocks put in, which start as the identity or as they initialise
themselves. Every row of the results is one fine-tuned network.
"""

from __future__ import annotations

import argparse
import copy
import csv
import dataclasses
import datetime
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.forward_cpu import commit_hash
from examples.ankle_fracture.config import PRESETS
from examples.ankle_fracture.networks import NETWORKS
from examples.ankle_fracture.training import fit, predict
from seattn.attention import CBAMBlock, SEBlock
from seattn.data import DicomDataset, DicomIndex, make_ankle_phantom, split_by_patient
from seattn.metrics import accuracy, roc_auc
from seattn.surgery import insert_attention

KEY = b"the phantom's patients are nobody"
PATIENTS = 350
SHARES = (150 / 350, 50 / 350, 150 / 350)  # of them to train, to choose the epoch, to test
# Of the patients to train, and the epochs: some 160, 250 and 350 steps.
FRACTIONS = {0.1: 80, 0.3: 50, 1.0: 25}
SOURCE_EPOCHS = 10
# Eight 16-channel gates would be one unit wide with the paper's reduction of 16.
BLOCKS: dict[str, Callable[[int], nn.Module]] = {
    "SE": partial(SEBlock, reduction=4),
    "CBAM": partial(CBAMBlock, reduction=4),
}
ARMS = ("plain", *(f"{block}, {init}" for block in BLOCKS for init in ("identity", "default")))


def main() -> None:
    """Runs what the results file does not hold yet, one JSON row a fine-tuned network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="repetitions (default 5)")
    parser.add_argument("--first-seed", type=int, default=0, help="(default 0)")
    parser.add_argument("--patients", type=int, default=PATIENTS, help=f"(default {PATIENTS})")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    parser.add_argument("--record", type=Path, required=True, metavar="FILE", help="JSONL file")
    choices = parser.parse_args()
    torch.set_num_threads(choices.threads)
    choices.record.touch()
    rows = [json.loads(line) for line in choices.record.read_text().splitlines()]
    done = {(row["seed"], row["fraction"], row["arm"]) for row in rows}
    for seed in range(choices.first_seed, choices.first_seed + choices.seeds):
        if done >= {(seed, fraction, arm) for fraction in FRACTIONS for arm in ARMS}:
            continue
        with tempfile.TemporaryDirectory() as folder:
            for row in repetition(seed, choices.patients, Path(folder)):
                if (row["seed"], row["fraction"], row["arm"]) in done:
                    continue
                with choices.record.open("a") as file:
                    file.write(json.dumps(row) + "\n")


def repetition(seed: int, patients: int, folder: Path) -> Iterator[dict[str, object]]:
    """Trains on planes, then fine-tunes every arm on fractures of other patients."""
    config = dataclasses.replace(PRESETS["quick"], seed=seed, epochs=SOURCE_EPOCHS)
    train, val, test = planes(folder / "planes", seed=1000 + seed, patients=patients)
    torch.manual_seed(seed)
    network: Any = NETWORKS["resnet_small"].build(in_chans=1, num_classes=3)
    fit(network, config, train, val, folder / "planes-run")
    answers = predict(network, test).argmax(1)
    source_accuracy = accuracy(y_true=labels_of(test), y_pred=answers)
    network.reset_classifier(2)
    train, val, test = fractures(folder / "fractures", seed=2000 + seed, patients=patients)
    for fraction, epochs in FRACTIONS.items():
        few = some_patients(train, fraction, seed=seed)
        config = dataclasses.replace(config, epochs=epochs)
        for arm in ARMS:
            torch.manual_seed(seed)
            tuned = with_arm(copy.deepcopy(network), arm)
            before = auc(tuned, test)
            curves = fit(tuned, config, few, val, folder / f"{arm}-{fraction}")
            row = {
                "seed": seed,
                "fraction": fraction,
                "arm": arm,
                "patients": len({row.patient for row in few.index.rows}),
                "images": len(few),
                "test_patients": len({row.patient for row in test.index.rows}),
                "epochs": epochs,
                "source_accuracy": source_accuracy,
                "auc_before": before,
                "auc_after": auc(tuned, test),
                "val_loss": [round(epoch.val_loss, 4) for epoch in curves],
                "date": datetime.date.today().isoformat(),
                "commit": commit_hash(),
                "torch": torch.__version__,
            }
            print({k: row[k] for k in ("seed", "fraction", "arm", "auc_before", "auc_after")})
            yield row


def with_arm(network: nn.Module, arm: str) -> nn.Module:
    """Puts the blocks of an arm into a network."""
    if arm != "plain":
        block, init = arm.split(", ")
        insert_attention(network, BLOCKS[block], init=init)
    return network


def planes(folder: Path, *, seed: int, patients: int) -> tuple[DicomDataset, ...]:
    """Patients without a fracture; the label is the plane of the slice."""
    table = make_ankle_phantom(
        folder, variant="roi", patients=patients, seed=seed, prevalence=0, progress=False
    )
    with table.open(newline="", encoding="utf-8") as file:
        lines = [f"{row['path']},{row['view']},{row['patient']}" for row in csv.DictReader(file)]
    table.write_text("\n".join(["path,label,patient", *lines]) + "\n", encoding="utf-8")
    return parts_of(folder, table, seed=seed)


def fractures(folder: Path, *, seed: int, patients: int) -> tuple[DicomDataset, ...]:
    """Patients as in the study; the label is the fracture."""
    table = make_ankle_phantom(folder, variant="roi", patients=patients, seed=seed, progress=False)
    return parts_of(folder, table, seed=seed)


def parts_of(folder: Path, table: Path, *, seed: int) -> tuple[DicomDataset, ...]:
    """Patients to train, to choose the epoch, and to test."""
    index = DicomIndex.scan(folder, key=KEY, progress=False).with_labels(table, key=KEY)
    return tuple(dataset(part) for part in split_by_patient(index, *SHARES, seed=seed))


def dataset(index: DicomIndex) -> DicomDataset:
    """The images of an index as the study's quick preset has them."""
    config = PRESETS["quick"]
    return DicomDataset(
        index,
        size=config.size,
        window=None if isinstance(config.window, str) else config.window,
        cache=index.root.with_suffix(".cache"),
    )


def some_patients(train: DicomDataset, fraction: float, *, seed: int) -> DicomDataset:
    """A share of the training patients, with both classes in their proportions."""
    if fraction == 1:
        return train
    few, _ = split_by_patient(train.index, fraction, 1 - fraction, seed=seed)
    return dataset(few)


def labels_of(dataset: DicomDataset) -> torch.Tensor:
    """The true classes."""
    return torch.tensor([row.label for row in dataset.index.rows])


def auc(network: nn.Module, dataset: DicomDataset) -> float:
    """ROC AUC over images."""
    scores = predict(network, dataset).softmax(1)[:, 1]
    return roc_auc(y_true=labels_of(dataset), y_score=scores)


if __name__ == "__main__":
    main()
