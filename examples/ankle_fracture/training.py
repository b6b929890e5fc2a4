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
from seattn.data import DicomDataset, RandomAffine, RandomContrast, RandomFlip, RandomNoise, augment

__all__ = ["Epoch", "fit", "predict"]


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
    network: nn.Module, config: Config, train: DicomDataset, val: DicomDataset, folder: Path
) -> list[Epoch]:
    """Trains in place and leaves the network with the weights of its best validation epoch.

    Adam with cross entropy; the step size is divided by 10 after more than ``config.patience``
    epochs without a better validation loss. Order and augmentation depend on (seed, epoch, image)
    alone, so on a CPU a run that was interrupted and goes on ends with the same weights as one
    that was not.

    Args:
        network: Freshly drawn weights.
        config: The run's choices.
        train: Augmented anew in every epoch.
        val: Never augmented; picks the epoch and drives the schedule.
        folder: Where ``state.safetensors``, ``best.safetensors`` and ``curves.csv`` go; a state
            found there is resumed.

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
    transforms = (
        RandomFlip(horizontal=config.flips / 2, vertical=config.flips / 2),
        RandomAffine(rotation=config.rotation, scaling=config.scaling),
        RandomContrast(config.contrast),
        RandomNoise(config.noise),
    )
    # BatchNorm cannot train on a single image: such a last batch is left out.
    lonely = len(train) % config.batch_size == 1
    batches = train.loader(config.batch_size, shuffle=True, seed=config.seed, drop_last=lonely)
    curves = _resume(network, optimizer, schedule, folder)
    progress = tqdm(
        range(len(curves), config.epochs), initial=len(curves), total=config.epochs, unit="epoch"
    )
    for epoch in progress:
        start = time.perf_counter()
        torch.manual_seed(config.seed * 100_003 + epoch)
        network.train()
        loss_sum, correct, seen = 0.0, 0, 0
        batches.set_epoch(epoch)
        for batch in batches:
            sample = augment(batch, transforms, seed=config.seed, epoch=epoch)
            image, label = sample.image.to(device), sample.label.to(device)
            logits = network(image)
            loss = F.cross_entropy(logits, label)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss_sum += loss.item() * len(label)
            seen += len(label)
            correct += int((logits.argmax(1) == label).sum())
        val_loss, val_accuracy = _score(network, val)
        rate = optimizer.param_groups[0]["lr"]
        schedule.step(val_loss)
        row = Epoch(
            epoch=epoch + 1,
            learning_rate=rate,
            train_loss=loss_sum / seen,
            train_accuracy=correct / seen,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=time.perf_counter() - start,
        )
        best = not curves or val_loss < min(past.val_loss for past in curves)
        curves.append(row)
        if best:
            _save(
                dict(network.state_dict()), {"epoch": str(epoch + 1)}, folder / "best.safetensors"
            )
        _save_state(network, optimizer, schedule, curves, folder)
        _write_curves(curves, folder / "curves.csv")
        progress.set_postfix(train=f"{row.train_loss:.3f}", val=f"{val_loss:.3f}", refresh=False)
    network.load_state_dict(_load(folder / "best.safetensors")[0])
    return curves


@torch.inference_mode()
def predict(network: nn.Module, dataset: DicomDataset, *, batch_size: int = 64) -> torch.Tensor:
    """Logits of every image of ``dataset``, in its order, in evaluation mode.

    Returns:
        (N, K) float32 on the CPU.
    """
    device = next(network.parameters()).device
    network.eval()
    return torch.cat(
        [network(batch.image.to(device)).cpu() for batch in dataset.loader(batch_size)]
    )


def _score(network: nn.Module, dataset: DicomDataset) -> tuple[float, float]:
    logits = predict(network, dataset)
    labels = torch.tensor([row.label for row in dataset.index.rows])
    accuracy = (logits.argmax(1) == labels).double().mean()
    return float(F.cross_entropy(logits, labels)), float(accuracy)


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
