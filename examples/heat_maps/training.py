"""Trains one small network; each epoch draws as many normal radiographs as there are fractured."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import seattn
from examples.heat_maps.radiographs import Radiographs
from seattn.backbones import ResNet
from seattn.data import RandomAffine, RandomContrast, RandomFlip, augment
from seattn.metrics import roc_auc
from seattn.weights import load_model, save_model

__all__ = ["build", "fit", "probabilities", "trained"]

BATCH = 32
TRANSFORMS = (
    RandomFlip(horizontal=0.5, vertical=0.0),
    RandomAffine(rotation=20, scaling=0.15, shift=0.05),
    RandomContrast(0.2),
)


def build(seed: int, width: int) -> ResNet:
    """An SE-ResNet-18 of ``width`` channels in its first stage, with fresh weights."""
    torch.manual_seed(seed)
    channels = [width, 2 * width, 4 * width, 8 * width]
    return seattn.se_resnet18(
        in_chans=1, num_classes=2, channels=channels, drop_rate=0.2, zero_init_last=False
    )


def fit(
    network: ResNet, train: Radiographs, val: Radiographs, *, epochs: int, seed: int
) -> list[dict[str, float]]:
    """Trains in place and leaves the weights of the epoch with the best ROC AUC on ``val``.

    An epoch shows every fracture once and as many normal images. AdamW, one cycle of the step size.

    Returns:
        One row an epoch: training loss and validation ROC AUC.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fractured = torch.nonzero(train.labels == 1).flatten()
    normal = torch.nonzero(train.labels == 0).flatten()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    steps = -(-2 * len(fractured) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1e-3, total_steps=epochs * steps
    )
    generator = torch.Generator().manual_seed(seed)
    curve: list[dict[str, float]] = []
    best = copy.deepcopy(network.state_dict())
    for epoch in range(epochs):
        network.train()
        drawn = normal[torch.randperm(len(normal), generator=generator)[: len(fractured)]]
        rows = torch.cat([fractured, drawn])
        rows = rows[torch.randperm(len(rows), generator=generator)]
        losses = []
        for some in rows.chunk(steps):
            batch = augment(train.batch(some), TRANSFORMS, seed=seed, epoch=epoch)
            image = batch.image.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):  # half the time where the CPU has bfloat16
                logits = network(image)
            loss = F.cross_entropy(logits.float(), batch.label)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        auc = roc_auc(y_true=val.labels, y_score=probabilities(network, val))
        curve.append({"epoch": epoch + 1, "loss": float(np.mean(losses)), "val_roc_auc": auc})
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, val ROC AUC {auc:.3f}", flush=True)
        if auc >= max(row["val_roc_auc"] for row in curve):
            best = copy.deepcopy(network.state_dict())
    network.load_state_dict(best)
    return curve


@torch.inference_mode()
def probabilities(network: nn.Module, images: Radiographs) -> np.ndarray:
    """The probability of a fracture in each image, (N,) float64."""
    network.eval()
    rows = range(len(images))
    batches = [rows[start : start + 64] for start in range(0, len(rows), 64)]
    logits = torch.cat([network(images.batch(some).image) for some in batches])
    return logits.double().softmax(1)[:, 1].numpy()


def trained(
    folder: Path, train: Radiographs, val: Radiographs, *, width: int, epochs: int, seed: int
) -> ResNet:
    """The network in ``folder``; it is trained and saved there first if there is none."""
    if not (folder / "model.safetensors").exists():
        network = build(seed, width)
        curve = fit(network, train, val, epochs=epochs, seed=seed)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "curve.json").write_text(json.dumps(curve, indent=1) + "\n")
        save_model(network, folder)
    return cast("ResNet", load_model(folder))
