"""Every choice of a run, in one frozen value that is saved beside its results."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from examples.ankle_fracture.attributes import RESERVED
from examples.ankle_fracture.protocol import PROTOCOLS, Protocol, choices
from examples.ankle_fracture.sources import TASKS
from examples.ankle_fracture.state import write_text
from examples.ankle_fracture.step import PRECISIONS

__all__ = ["PRESETS", "Config", "departures", "leaves_out", "load", "save", "shareable", "tuples"]

PAPERS_NETWORKS = ("se_resnet50", "resnet50", "efficientnet_b5")


@dataclass(frozen=True, kw_only=True)
class Config(Protocol):
    """The choices of one run: its protocol, perhaps changed, its images and its networks.

    Args:
        preset: Name of the preset that the run started from.
        models: Names that ``examples.ankle_fracture.networks.find`` knows.
        weights: "NAME=FILE" for each network that starts from weights; the others from scratch.
        images: Folder of DICOM files, or None for the phantom.
        labels: CSV with the columns path, label and maybe patient, mask, split, class; None is
            labels.csv in the folder.
        boxes: CSV with the columns path, x0, y0, x1, y1, instead of masks.
        classes: The labels in order, of which the first is "nothing found"; None takes them in
            numerical or alphabetical order.
        subgroups: Further columns of ``labels``, for results by the groups that their words name.
        task: Of the phantom: "fracture" (normal, fracture) or "weber" (none, Danis-Weber A, B, C;
            fractures of other types are left out).
        phantom: Variant of the phantom, where ``images`` is None.
        patients: Phantom patients; the paper's 987 images are 329 patients in three views.
        prevalence: Share of the phantom's patients with a fracture; the paper's.
        difficulty: Divides the severity of the phantom's fractures.
        confounder: Chance of a cast on the phantom's fractured patients, and 1 minus that on the
            others, in training and validation; in the test casts tell nothing.
        seed: Draws the phantom, the split, the weights and the augmentation; repetitions take the
            seeds that follow.
        device: Where the networks run.
        precision: Of the training: "fp32", or "bf16" or "fp16" by autocast, the latter with scaled
            gradients. Validation and test are predicted in fp32.
        compile: Whether training runs through ``torch.compile``.
        accumulate: Pieces in which a batch goes through the network; its gradient is the same, but
            batch normalisation takes its statistics from each piece.
    """

    preset: str
    models: tuple[str, ...]
    weights: tuple[str, ...] = ()
    images: str | None = None
    labels: str | None = None
    boxes: str | None = None
    classes: tuple[str, ...] | None = None
    subgroups: tuple[str, ...] = ()
    task: str = "fracture"
    phantom: str = "roi"
    patients: int = 329
    prevalence: float = 85 / 329
    difficulty: float = 1.0
    confounder: float | None = None
    seed: int = 0
    device: str = "cpu"
    precision: str = "fp32"
    compile: bool = False
    accumulate: int = 1

    def __post_init__(self) -> None:
        """Refuses numbers that no run can have."""
        super().__post_init__()
        for name, value in {"patients": 1, "seed": 0}.items():
            if getattr(self, name) < value:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be {value} or more.")
        if len(set(self.models)) < len(self.models) or not self.models:
            raise ValueError(f"`models` (={self.models}) must be one name or more, each once.")
        if self.precision not in PRECISIONS:
            known = " or ".join(map(repr, PRECISIONS))
            raise ValueError(f"`precision` (={self.precision!r}) must be {known}.")
        if not 1 <= self.accumulate <= self.batch_size // 2:
            raise ValueError(
                f"`accumulate` (={self.accumulate}) must be 1 or more, and at most half of "
                f"`batch_size` (={self.batch_size}): pieces have two images or more."
            )
        if self.task not in TASKS:
            raise ValueError(f"`task` (={self.task!r}) must be one of {', '.join(TASKS)}.")
        if taken := [name for name in self.subgroups if name in RESERVED]:
            raise ValueError(
                f"`subgroups` names {taken[0]!r}, which is no group of images: give columns other "
                f"than {', '.join(RESERVED)}."
            )
        for entry in self.weights:
            name, _, file = entry.partition("=")
            if name not in self.models or not file:
                raise ValueError(
                    f"`weights` (={entry!r}) must be NAME=FILE with one of {', '.join(self.models)}"
                )
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise ValueError(f"`device` (={self.device!r}): this torch sees no GPU; give 'cpu'.")

    def weights_of(self, model: str) -> Path | None:
        """The file that a network starts from, or None."""
        return {n: Path(f) for n, _, f in (e.partition("=") for e in self.weights)}.get(model)


def _start(protocol: Protocol, **changes: Any) -> Config:
    return Config(
        **{f.name: getattr(protocol, f.name) for f in dataclasses.fields(protocol)} | changes
    )


_FULL: dict[str, Any] = {"models": PAPERS_NETWORKS, "phantom": "study"}
# From so few images nothing is learnt for the first ten epochs or so: the paper's patience of 5
# would divide the step size away before.
_QUICK: dict[str, Any] = {
    "models": ("se_resnet_small", "resnet_small"),
    "size": 64,
    "epochs": 40,
    "patience": 20,
    "seeds": 1,
}
PRESETS = {
    "quick": _start(Protocol.sound(), preset="quick", **_QUICK),
    # The copies are four images each, so that ten epochs are as many steps.
    "quick-paper": _start(Protocol.paper(), preset="quick-paper", **_QUICK | {"epochs": 10}),
    "sound": _start(Protocol.sound(), preset="sound", **_FULL),
    "paper": _start(Protocol.paper(), preset="paper", **_FULL),
}


def departures(config: Config) -> dict[str, tuple[Any, Any]]:
    """The choices in which a run differs from its protocol: (the run's, the protocol's)."""
    protocol = PROTOCOLS[config.protocol]()
    pairs = {f.name: (getattr(config, f.name), getattr(protocol, f.name)) for f in choices()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def leaves_out(config: Config) -> tuple[str, ...]:
    """What a run with these choices does not do of its protocol; printed with its results."""
    lines = [
        f"the protocol's `{name}`: {run} here, {of_protocol} there"
        for name, (run, of_protocol) in departures(config).items()
    ]
    missing = [name for name in PAPERS_NETWORKS if name not in config.models]
    if missing:
        lines.append(f"networks of the paper: {', '.join(missing)}")
    if config.images is None:
        lines.append("real images: the phantom's are synthetic")
    if config.images is None and config.phantom != "full":
        lines.append(
            "whole slices: the phantom's generator places each region of interest so that it holds "
            "the (possible) fracture site, as a reader's mark would"
        )
    if config.seeds == 1:
        lines.append("repeated runs: with one seed a difference of two networks is not evidence")
    return tuple(lines)


def save(config: Config, path: Path) -> None:
    """Writes the configuration as JSON, in one step."""
    write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", path)


def shareable(config: Config) -> dict[str, Any]:
    """The choices for a report that is sent: of files and folders the names, not where they lie."""
    named = {
        name: None if place is None else Path(place).resolve().name
        for name, place in (
            ("images", config.images),
            ("labels", config.labels),
            ("boxes", config.boxes),
        )
    }
    files = ((model, config.weights_of(model)) for model in config.models)
    weights = tuple(f"{model}={file.name}" for model, file in files if file)
    return dataclasses.asdict(config) | named | {"weights": weights}


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
