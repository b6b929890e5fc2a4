"""Training one network: the paper's schedule, the best epoch kept, every epoch resumable."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from examples.ankle_fracture.config import Config
from examples.ankle_fracture.items import Items

__all__ = ["Epoch", "class_weights", "fit", "kept", "predict"]


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


def fit(
    network: nn.Module, config: Config, train: Items, val: Items, folder: Path, *, seed: int
) -> list[Epoch]:
    """Trains in place and leaves the network with the weights that the protocol keeps.

    Adam with cross entropy; the step size is divided by 10 after more than ``config.patience``
    epochs without a better validation loss. Order and augmentation depend on (seed, epoch, image)
    alone, so on a CPU a run that was interrupted and goes on ends with the same weights as one
    that was not.

    Args:
        network: Before the first step.
        config: The run's choices.
        train: Items to learn from.
        val: Items that drive the schedule and, if the protocol says so, choose the epoch.
        folder: Where ``state.safetensors``, the kept weights (``best.safetensors`` or
            ``last.safetensors``) and ``curves.csv`` go; a state found there is resumed.
        seed: Draws what the network itself draws at random, such as dropout.

    Returns:
        The curves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device(config.device)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.1, patience=config.patience, threshold=0
    )
    weight = class_weights(config, train)
    # BatchNorm cannot train on a single image: such a last batch is left out.
    lonely = len(train) % config.batch_size == 1
    curves = _resume(network, optimizer, schedule, folder)
    progress = tqdm(
        range(len(curves), config.epochs), initial=len(curves), total=config.epochs, unit="epoch"
    )
    for epoch in progress:
        start = time.perf_counter()
        torch.manual_seed(seed * 100_003 + epoch)
        network.train()
        loss_sum, correct, seen, weighed = 0.0, 0, 0, 0.0
        for batch in train.batches(config.batch_size, epoch=epoch, shuffle=True, drop_last=lonely):
            image, label = batch.image.to(device), batch.label.to(device)
            logits = network(image)
            loss = F.cross_entropy(logits, label, weight=weight.to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            weighs = float(weight[batch.label].sum())
            loss_sum += loss.item() * weighs
            weighed += weighs
            seen += len(label)
            correct += int((logits.argmax(1) == label).sum())
        val_loss, val_accuracy = _score(network, val, weight)
        rate = optimizer.param_groups[0]["lr"]
        schedule.step(val_loss)
        row = Epoch(
            epoch=epoch + 1,
            learning_rate=rate,
            train_loss=loss_sum / weighed,
            train_accuracy=correct / seen,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=time.perf_counter() - start,
        )
        curves.append(row)
        if kept(config, curves) == row:
            facts = {"epoch": str(epoch + 1)}
            _save(dict(network.state_dict()), facts, _kept_file(config, folder))
        _save_state(network, optimizer, schedule, curves, folder)
        _write_curves(curves, folder / "curves.csv")
        progress.set_postfix(train=f"{row.train_loss:.3f}", val=f"{val_loss:.3f}", refresh=False)
    network.load_state_dict(_load(_kept_file(config, folder))[0])
    return curves


def kept(config: Config, curves: list[Epoch]) -> Epoch:
    """The epoch whose weights the protocol keeps: the last, or the first of the lowest loss."""
    return curves[-1] if config.checkpoint == "last" else min(curves, key=lambda row: row.val_loss)


def class_weights(config: Config, train: Items) -> torch.Tensor:
    """The weight of each class in the cross entropy, (K,): 1, or n / (K n_k)."""
    counts = torch.bincount(torch.tensor(train.labels)).float()
    if config.class_weights == "none":
        return torch.ones_like(counts)
    return counts.sum() / (len(counts) * counts)


@torch.inference_mode()
def predict(network: nn.Module, items: Items, *, batch_size: int = 64) -> torch.Tensor:
    """Logits of every item, in its order, in evaluation mode.

    Returns:
        (N, K) float32 on the CPU.
    """
    device = next(network.parameters()).device
    network.eval()
    return torch.cat([network(b.image.to(device)).cpu() for b in items.batches(batch_size)])


def _score(network: nn.Module, items: Items, weight: torch.Tensor) -> tuple[float, float]:
    logits, labels = predict(network, items), torch.tensor(items.labels)
    accuracy = (logits.argmax(1) == labels).double().mean()
    return float(F.cross_entropy(logits, labels, weight=weight)), float(accuracy)


def _kept_file(config: Config, folder: Path) -> Path:
    return folder / f"{config.checkpoint}.safetensors"


def _save(tensors: dict[str, torch.Tensor], facts: dict[str, str], path: Path) -> None:
    """Writes in one step: a reader finds the old file or the new one, whole."""
    unfinished = path.with_suffix(".unfinished")
    save_file({name: t.contiguous() for name, t in tensors.items()}, unfinished, metadata=facts)
    unfinished.replace(path)


def _load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}, stored.metadata()  # noqa: SIM118 (not a dict)


def _save_state(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.ReduceLROnPlateau,
    curves: list[Epoch],
    folder: Path,
) -> None:
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{name}": tensor for name, tensor in moments.items()}
    facts = {
        "curves": json.dumps([asdict(row) for row in curves]),
        "schedule": json.dumps(schedule.state_dict()),
        "learning_rate": json.dumps(optimizer.param_groups[0]["lr"]),
    }
    _save(tensors, facts, folder / "state.safetensors")


def _resume(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.ReduceLROnPlateau,
    folder: Path,
) -> list[Epoch]:
    """Brings back the state after the last whole epoch; nothing is stored before the first."""
    path = folder / "state.safetensors"
    if not path.exists():
        return []
    tensors, facts = _load(path)
    network.load_state_dict(
        {
            name.removeprefix("network."): t
            for name, t in tensors.items()
            if name.startswith("network.")
        }
    )
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, number, moment = name.split(".")
            moments.setdefault(int(number), {})[moment] = tensor
    stored = optimizer.state_dict() | {"state": moments}
    stored["param_groups"][0]["lr"] = json.loads(facts["learning_rate"])
    optimizer.load_state_dict(stored)
    schedule.load_state_dict(json.loads(facts["schedule"]))
    return [Epoch(**row) for row in json.loads(facts["curves"])]


def _write_curves(curves: list[Epoch], path: Path) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Epoch)])
        table.writeheader()
        table.writerows(asdict(row) for row in curves)
