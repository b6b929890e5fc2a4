"""Training one network: the paper's schedule, the best epoch kept, every epoch resumable."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from examples.ankle_fracture.config import Config
from examples.ankle_fracture.items import Items, prefetch, to_device
from examples.ankle_fracture.processes import ALONE, Processes
from examples.ankle_fracture.state import Epoch, State, load_tensors, save_tensors, write_curves
from examples.ankle_fracture.step import Step, micro_batches
from seattn.ops import SyncBatchNorm

__all__ = ["Epoch", "class_weights", "fit", "kept", "predict"]

THREADS = 4  # that make batches; what one makes: benchmarks.study_pipeline


def fit(
    network: nn.Module,
    config: Config,
    train: Items,
    val: Items,
    folder: Path,
    *,
    seed: int,
    processes: Processes = ALONE,
) -> list[Epoch]:
    """Trains in place and leaves the network with the weights that the protocol keeps.

    Adam with cross entropy; the step size is divided by 10 after more than ``config.patience``
    epochs without a better validation loss. Order and augmentation depend on (seed, epoch, image)
    alone, so on a CPU a run that was interrupted and goes on ends with the same weights as one
    that was not.

    Several processes share each batch of ``config.batch_size`` images, and their gradients and the
    statistics of batch normalisation are those of the whole: the result is that of one process, but
    for rounding. What a network draws at random, such as dropout, each process draws for itself.
    Validation is in fp32 whatever the precision of training is.

    Args:
        network: Before the first step.
        config: The run's choices.
        train: Items to learn from.
        val: Items that drive the schedule and, if the protocol says so, choose the epoch.
        folder: Where ``state.safetensors``, the kept weights (``best.safetensors`` or
            ``last.safetensors``) and ``curves.csv`` go; a state found there is resumed.
        seed: Draws what the network itself draws at random, such as dropout.
        processes: Those that train it; each calls this, with a folder that all of them can read.

    Returns:
        The curves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = processes.device(config.device)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = network
    if processes.size > 1:
        trained = SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(network))
    optimizer = torch.optim.Adam(trained.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.1, patience=config.patience, threshold=0
    )
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
    state = State(trained, optimizer, schedule, scaler)
    curves = state.resume(folder / "state.safetensors")
    forward = cast(nn.Module, torch.compile(trained)) if config.compile else trained
    weight = class_weights(config, train)
    if curves and processes.first:
        _keep(trained, config, curves, folder)  # the process may have ended before it did
    progress = tqdm(
        range(len(curves), config.epochs),
        initial=len(curves),
        total=config.epochs,
        unit="epoch",
        disable=not processes.first,
    )
    for epoch in progress:
        start = time.perf_counter()
        torch.manual_seed(seed * 100_003 + epoch + (processes.rank << 40))
        # Wrapped anew, so that an epoch does not depend on those before it in this process: the
        # wrapper orders its sums by what the first step has seen.
        parallel = forward if processes.size == 1 else _parallel(forward, device)
        step = Step(parallel, optimizer, scaler, weight.to(device), config.precision, processes)
        trained.train()
        train_loss, train_accuracy = _epoch(step, config, train, weight, epoch, device)
        val_loss, val_accuracy = _score(trained, val, weight, processes)
        rate = optimizer.param_groups[0]["lr"]
        schedule.step(val_loss)
        row = Epoch(
            epoch=epoch + 1,
            learning_rate=rate,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=time.perf_counter() - start,
        )
        curves.append(row)
        if processes.first:
            state.save(curves, folder / "state.safetensors")
            _keep(trained, config, curves, folder)
            write_curves(curves, folder / "curves.csv")
        progress.set_postfix(train=f"{row.train_loss:.3f}", val=f"{val_loss:.3f}", refresh=False)
    if processes.first:
        write_curves(curves, folder / "curves.csv")
        network.load_state_dict(load_tensors(_kept_file(config, folder))[0])
    return curves


def _epoch(
    step: Step,
    config: Config,
    train: Items,
    weight: torch.Tensor,
    epoch: int,
    device: torch.device,
) -> tuple[float, float]:
    """Takes the steps of an epoch; returns loss and accuracy of the images as they were shown."""
    # BatchNorm cannot train on a single image: such a last batch is left out.
    lonely = len(train) % config.batch_size == 1
    batches = train.numbers(config.batch_size, epoch=epoch, shuffle=True, drop_last=lonely)
    weights = weight.double().numpy()[train.labels]
    pieces = [micro_batches(batch, config.accumulate) for batch in batches]
    shares = [step.processes.share(piece) for batch in pieces for piece in batch]

    def make(share: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        return to_device(train.batch(share, epoch=epoch), device)

    samples = prefetch(make, shares, threads=THREADS)
    found = [
        step(samples, count=len(batch), weighs=float(weights[numbers].sum()))
        for numbers, batch in zip(batches, pieces, strict=True)
    ]
    mine = torch.stack([torch.stack(each).double() for each in zip(*found, strict=True)]).cpu()
    loss, correct = step.processes.gather(mine.sum(1)[None]).sum(0).tolist()
    shown = np.concatenate(batches)
    return loss / float(weights[shown].sum()), correct / len(shown)


def _parallel(network: nn.Module, device: torch.device) -> DistributedDataParallel:
    """The network with gradients averaged over the processes."""
    gpus = [device.index] if device.type == "cuda" else None
    # Synchronised batch normalisation has the same statistics in every process already.
    return DistributedDataParallel(network, device_ids=gpus, broadcast_buffers=False)


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
def predict(
    network: nn.Module, items: Items, *, batch_size: int = 64, processes: Processes = ALONE
) -> torch.Tensor:
    """Logits of every item, in its order, in evaluation mode.

    Args:
        network: With its weights.
        items: What it sees.
        batch_size: Items at once.
        processes: Each predicts its share, and has the logits of all in the end.

    Returns:
        (N, K) float32 on the CPU.
    """
    device = next(network.parameters()).device
    network.eval()
    mine = processes.share(np.arange(len(items)))
    batches = (
        mine[start : start + batch_size] for start in range(0, max(len(mine), 1), batch_size)
    )
    logits = [network(items.batch(numbers).image.to(device)).cpu() for numbers in batches]
    return processes.gather(torch.cat(logits))


def _score(
    network: nn.Module, items: Items, weight: torch.Tensor, processes: Processes
) -> tuple[float, float]:
    logits, labels = predict(network, items, processes=processes), torch.tensor(items.labels)
    accuracy = (logits.argmax(1) == labels).double().mean()
    return float(F.cross_entropy(logits, labels, weight=weight)), float(accuracy)


def _kept_file(config: Config, folder: Path) -> Path:
    return folder / f"{config.checkpoint}.safetensors"


def _keep(network: nn.Module, config: Config, curves: list[Epoch], folder: Path) -> None:
    """Keeps the weights of the last epoch, if the protocol does."""
    if kept(config, curves) == curves[-1]:
        facts = {"epoch": str(curves[-1].epoch)}
        save_tensors(dict(network.state_dict()), facts, _kept_file(config, folder))
