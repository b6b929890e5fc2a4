"""Every choice of a run, in one frozen value that is saved beside its results."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = ["PRESETS", "Config", "leaves_out", "load", "save", "tuples"]


@dataclass(frozen=True)
class Config:
    """The choices of one run.

    Args:
        preset: Name of the preset that the run started from.
        models: Keys of ``examples.ankle_fracture.networks.NETWORKS``.
        images: Folder of DICOM files, or None for the phantom.
        labels: CSV with the columns path, label and maybe patient, mask, split, class; None is
            labels.csv in the folder.
        boxes: CSV with the columns path, x0, y0, x1, y1, instead of masks.
        classes: The labels in order, of which the first is "nothing found"; None takes them in
            numerical or alphabetical order.
        task: Of the phantom: "fracture" (normal, fracture) or "weber" (none, Danis-Weber A, B, C;
            fractures of other types are left out).
        phantom: Variant of the phantom, where ``images`` is None.
        patients: Phantom patients; the paper's 987 images are 329 patients in three views.
        prevalence: Share of the phantom's patients with a fracture; the paper's.
        difficulty: Divides the severity of the phantom's fractures.
        confounder: Chance of a cast on the phantom's fractured patients, and 1 minus that on the
            others, in training and validation; in the test casts tell nothing.
        fractions: Shares of the patients that train, validate and test.
        size: Images are resized to ``size`` x ``size`` pixels.
        window: (centre, width) of the grey-value window in HU; "file" for the window that each
            file declares, or "minmax" for each image's own range.
        bone_mask: Set everything outside the bones to 0, as the paper does.
        flips: Mirror half of the training images left to right, and half top to bottom; the paper
            does not, and it is wrong where the side of the body is part of the label.
        rotation: Random rotation of training images, up to this angle in degrees.
        scaling: Random scaling of training images, by up to this share.
        contrast: Random change of contrast of training images, by up to this share.
        noise: Standard deviation of the Gaussian noise on training images, which are in 0..1.
        epochs: Passes over the training images.
        batch_size: Images in one step.
        learning_rate: Adam's step size at the start.
        patience: The step size is divided by 10 after more than this many epochs without a better
            validation loss.
        seed: Draws the phantom, the split, the weights and the augmentation.
        device: Where the networks run.
    """

    preset: str
    models: tuple[str, ...]
    images: str | None = None
    labels: str | None = None
    boxes: str | None = None
    classes: tuple[str, ...] | None = None
    task: str = "fracture"
    phantom: str = "roi"
    patients: int = 329
    prevalence: float = 85 / 329
    difficulty: float = 1.0
    confounder: float | None = None
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    size: int = 64
    window: tuple[float, float] | str = (400.0, 1800.0)
    bone_mask: bool = False
    flips: bool = True
    rotation: float = 15.0
    scaling: float = 0.1
    contrast: float = 0.2
    noise: float = 0.01
    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 1e-3
    patience: int = 5
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuses numbers that no run can have."""
        least = {"patients": 1, "size": 32, "epochs": 1, "batch_size": 2, "seed": 0, "patience": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be {value} or more.")
        if isinstance(self.window, str) and self.window not in {"file", "minmax"}:
            raise ValueError(
                f"`window` (={self.window!r}) must be (centre, width) in HU, 'file' or 'minmax'."
            )
        if not isinstance(self.window, str) and self.window[1] < 1:
            raise ValueError(f"`window` (={self.window}) must have a width of 1 HU or more.")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise ValueError(f"`device` (={self.device!r}): this torch sees no GPU; give 'cpu'.")


PRESETS = {
    # From so few images nothing is learnt for the first ten epochs or so: the paper's patience of 5
    # would divide the step size away before.
    "quick": Config(preset="quick", models=("se_resnet_small", "resnet_small"), patience=20),
    "paper": Config(
        preset="paper",
        models=("se_resnet50", "resnet50", "efficientnet_b5"),
        phantom="study",
        size=224,
        window="minmax",
        bone_mask=True,
        flips=False,
        epochs=20,
    ),
}


def leaves_out(config: Config) -> tuple[str, ...]:
    """What a run with these choices does not do of the paper; printed with its results."""
    lines = []
    if config.preset == "quick":
        lines.append(
            "the paper's networks: by default two small residual networks, with and without "
            "squeeze-and-excitation, stand for SE-ResNet50, ResNet50 and EfficientNet-B5"
        )
    if config.patience != 5:
        lines.append(
            f"the paper's schedule: the step size falls after {config.patience} epochs without a "
            "better validation loss, not after 5"
        )
    if config.size != 224:
        lines.append(f"the paper's image size: {config.size} pixels a side, not 224")
    if config.images is None:
        lines.append(
            "real images and whole slices: the phantom's generator places each region of interest "
            "so that it holds the (possible) fracture site, as a reader's mark would"
        )
    if not config.bone_mask:
        lines.append("the paper's bone mask: nothing is blacked out")
    if config.window != "minmax":
        lines.append("the paper's scaling by each image's own range: a window instead")
    lines.append(
        "fourfold augmentation of validation and test images, which the paper counts as 792 each: "
        "only training images are augmented, anew in every epoch"
    )
    lines.append("repeated runs: with one seed a difference between two networks is not evidence")
    return tuple(lines)


def save(config: Config, path: Path) -> None:
    """Writes the configuration as JSON, in one step."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")
    unfinished.replace(path)


def load(path: Path) -> Config:
    """Reads what ``save`` wrote.

    Raises:
        ValueError: The file is damaged, or another version of the study wrote it.
    """
    try:
        return Config(**tuples(json.loads(path.read_text())))
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{path}' is no configuration of this version of the study.") from error


def tuples(values: dict[str, Any]) -> dict[str, Any]:
    """The same with tuples for lists, which JSON and the command line give."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
