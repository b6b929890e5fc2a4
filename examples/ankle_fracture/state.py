"""What a training leaves on disk after each epoch, and how it goes on from there.

Every file is written beside its place and then moved there: whenever the process is killed, a
reader finds the old file or the new one, whole.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

__all__ = ["Epoch", "State", "load_tensors", "save_tensors", "write_curves", "write_text"]


@dataclass(frozen=True)
class Epoch:
    """One row of the training curves."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclass(frozen=True)
class State:
    """Everything that the next epoch depends on.

    Args:
        network: Its weights and statistics.
        optimizer: Adam's moments and step size.
        schedule: What it remembers of the validation losses.
        scaler: The factor of the loss, where gradients are fp16.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.ReduceLROnPlateau
    scaler: torch.amp.GradScaler

    def save(self, curves: Sequence[Epoch], path: Path) -> None:
        """Writes it after a whole epoch."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": tensor for name, tensor in moments.items()}
        facts = {
            "curves": [asdict(row) for row in curves],
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        save_tensors(tensors, {name: json.dumps(value) for name, value in facts.items()}, path)

    def resume(self, path: Path) -> list[Epoch]:
        """Brings back what ``save`` wrote; returns the curves, of which there are none before."""
        if not path.exists():
            return []
        tensors, stored = load_tensors(path)
        facts = {name: json.loads(value) for name, value in stored.items()}
        self.network.load_state_dict(
            {
                name.removeprefix("network."): tensor
                for name, tensor in tensors.items()
                if name.startswith("network.")
            }
        )
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                _, number, moment = name.split(".")
                moments.setdefault(int(number), {})[moment] = tensor
        optimizer: dict[str, Any] = self.optimizer.state_dict() | {"state": moments}
        optimizer["param_groups"][0]["lr"] = facts["learning_rate"]
        self.optimizer.load_state_dict(optimizer)
        self.schedule.load_state_dict(facts["schedule"])
        self.scaler.load_state_dict(facts["scaler"])
        return [Epoch(**row) for row in facts["curves"]]


def save_tensors(tensors: Mapping[str, torch.Tensor], facts: dict[str, str], path: Path) -> None:
    """Writes a safetensors file."""
    unfinished = path.with_suffix(".unfinished")
    save_file({name: t.contiguous() for name, t in tensors.items()}, unfinished, metadata=facts)
    unfinished.replace(path)


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Reads one."""
    with safe_open(path, framework="pt") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}, stored.metadata()  # noqa: SIM118 (not a dict)


def write_text(text: str, path: Path) -> None:
    """Writes a text file."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text)
    unfinished.replace(path)


def write_curves(curves: Sequence[Epoch], path: Path) -> None:
    """Writes the curves as CSV."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Epoch)])
        table.writeheader()
        table.writerows(asdict(row) for row in curves)
    unfinished.replace(path)
