"""Draws the picture of page one: ``python docs/figures/page_one.py``, three minutes on a CPU.

A small SE-ResNet is trained on the phantom, and explained on one test patient's three views. The
patient is the one whose maps lie best in the annotated regions: an illustration, no result.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.nn.functional import cross_entropy

import seattn
from seattn.attention import GateStatistics
from seattn.data import (
    DicomDataset,
    DicomIndex,
    RandomAffine,
    RandomContrast,
    RandomFlip,
    RandomNoise,
    augment,
    make_ankle_phantom,
    split_by_patient,
)
from seattn.explain import mass_in_mask, overlay
from seattn.metrics import roc_auc

TARGET = Path(__file__).parents[1] / "_static" / "page_one.png"
KEY = "the phantom's patients are nobody"
AUGMENTATION = (
    RandomFlip(),
    RandomAffine(rotation=15, scaling=0.1),
    RandomContrast(0.2),
    RandomNoise(0.01),
)
BLOCK = "layer3.0.se"


def trained(train: DicomDataset) -> torch.nn.Module:
    """The network of the tutorials."""
    torch.manual_seed(0)
    network = seattn.se_resnet18(
        in_chans=1,
        num_classes=2,
        stem="small",
        zero_init_last=False,
        layers=(1, 1, 1, 1),
        channels=(16, 32, 64, 128),
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    batches = train.loader(32, shuffle=True, seed=0)
    for epoch in range(40):
        batches.set_epoch(epoch)
        for batch in batches:
            sample = augment(batch, AUGMENTATION, seed=0, epoch=epoch)
            optimiser.zero_grad()
            cross_entropy(network(sample.image), sample.label).backward()
            optimiser.step()
    return network.eval()


def draw(network: torch.nn.Module, test: DicomDataset) -> Figure:
    """Three views of one patient with their maps, and the gates of both classes."""
    images = test.batch(range(len(test)))
    maps = seattn.GradCAM(network, "layer4")(images.image, target=1)
    statistics = GateStatistics()
    with torch.inference_mode(), seattn.record_gates(network) as gates:
        scores = network(images.image).softmax(1)[:, 1]
        statistics.update(gates, images.label)
    print(f"test ROC AUC {roc_auc(y_true=images.label, y_score=scores):.3f}")

    inside = mass_in_mask(maps, images.mask[:, 0] == 1)
    broken = {row.patient for row in test.index.rows if row.label == 1}
    views = {p: [i for i, row in enumerate(test.index.rows) if row.patient == p] for p in broken}
    shown = max(views.values(), key=lambda positions: float(inside[positions].mean()))

    figure = Figure(figsize=(10.4, 4.1), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2.1))
    axes = left.subplots(2, 3)
    for column, position in enumerate(shown):
        axes[0, column].set_title(test.index.rows[position].view, fontsize=10)
        heat = overlay(images.image[position], maps[position])
        for ax, picture in zip(axes[:, column], (images.image[position, 0], heat), strict=True):
            ax.imshow(picture, cmap="gray", vmin=0, interpolation="bicubic")
            ax.contour(
                images.mask[position, 0] == 1, levels=[0.5], colors="#22d3ee", linewidths=1.2
            )
            ax.axis("off")
    left.suptitle("Grad-CAM, and the true region of the fracture (outlined)", fontsize=10)
    ax = right.subplots()
    means = statistics.summary()[BLOCK].mean
    for values, name, style in zip(means, ("normal", "fracture"), ("--", "-"), strict=True):
        ax.plot(values, style, drawstyle="steps-mid", label=name)
    ax.set(xlabel=f"channel of {BLOCK}", ylabel="gate, mean of the test images", ylim=(0, 1))
    ax.legend(fontsize=9)
    right.suptitle("What the gates do", fontsize=10)
    return figure


def main() -> None:
    """Writes the picture."""
    with tempfile.TemporaryDirectory() as folder:
        labels = make_ankle_phantom(
            f"{folder}/archive", variant="roi", patients=329, difficulty=0.5
        )
        index = DicomIndex.scan(f"{folder}/archive", key=KEY).with_labels(labels, key=KEY)
        train, _, test = split_by_patient(index, 0.6, 0.2, 0.2, seed=0)
        sets = [DicomDataset(part, size=64, window=(400, 1800)) for part in (train, test)]
        draw(trained(sets[0]), sets[1]).savefig(TARGET, dpi=110)


if __name__ == "__main__":
    main()
