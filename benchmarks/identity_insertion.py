"""Is attention that starts as the identity useful, or only exact? An experiment on the phantom.

A plain network learns to see fractures in axial and coronal slices. Then it learns to see them in
sagittal slices of other patients, from 10, 30 or 100 % of them: as it is, or with SE or CBAM blocks
put in, which start as the identity or as they initialise themselves. Every row of the results is
one fine-tuned network.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import datetime
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from benchmarks.rounds import commit_hash
from examples.ankle_fracture.config import PRESETS
from examples.ankle_fracture.items import Items
from examples.ankle_fracture.networks import find
from examples.ankle_fracture.training import fit, predict
from seattn.attention import CBAMBlock, SEBlock
from seattn.data import DicomDataset, DicomIndex, make_ankle_phantom, split_by_patient
from seattn.metrics import roc_auc
from seattn.surgery import insert_attention

KEY = b"the phantom's patients are nobody"
PATIENTS = 450
SHARES = (150 / 450, 50 / 450, 250 / 450)  # of them to train, to choose the epoch, to test
FRACTIONS = (0.1, 0.3, 1.0)  # of the patients to train
SOURCE_EPOCHS, EPOCHS = 40, 40
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
    """Trains in two planes, then fine-tunes every arm in the third."""
    config = dataclasses.replace(PRESETS["quick"], epochs=SOURCE_EPOCHS, class_weights="none")
    train, val, test = hospital(folder / "a", 1000 + seed, patients, views=("axial", "coronal"))
    torch.manual_seed(seed)
    network = find("resnet_small").build(in_chans=1, num_classes=2)
    fit(network, config, *items(train, val, seed=seed), folder / "a-run", seed=seed)
    source_auc = auc(network, test)
    train, val, test = hospital(folder / "b", 2000 + seed, patients, views=("sagittal",))
    config = dataclasses.replace(config, epochs=EPOCHS)
    for fraction in FRACTIONS:
        few = some_patients(train, fraction, seed=seed)
        for arm in ARMS:
            torch.manual_seed(seed)
            tuned = with_arm(copy.deepcopy(network), arm)
            before = auc(tuned, test)
            parts = items(few, val, seed=seed)
            curves = fit(tuned, config, *parts, folder / f"{arm}-{fraction}", seed=seed)
            row = {
                "seed": seed,
                "fraction": fraction,
                "arm": arm,
                "patients": len(few),
                "test_patients": len(test),
                "epochs": EPOCHS,
                "auc_source": source_auc,
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


def hospital(
    folder: Path, seed: int, patients: int, *, views: Sequence[str]
) -> tuple[DicomDataset, ...]:
    """Synthetic patients to train, to choose the epoch, and to test."""
    labels = make_ankle_phantom(
        folder, variant="roi", patients=patients, seed=seed, views=views, progress=False
    )
    index = DicomIndex.scan(folder, key=KEY, progress=False).with_labels(labels, key=KEY)
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


def items(train: DicomDataset, val: DicomDataset, *, seed: int) -> tuple[Items, Items]:
    """The images to train, augmented anew in each epoch, and those to choose the epoch."""
    return (
        Items(train, PRESETS["quick"], training=True, seed=seed),
        Items(val, PRESETS["quick"], training=False, seed=seed),
    )


def auc(network: nn.Module, dataset: DicomDataset) -> float:
    """ROC AUC over images."""
    images = Items(dataset, PRESETS["quick"], training=False, seed=0)
    return roc_auc(y_true=images.labels, y_score=predict(network, images).softmax(1)[:, 1])


if __name__ == "__main__":
    main()
