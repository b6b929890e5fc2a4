"""Does the study's data pipeline keep up? ``python -m benchmarks.study_pipeline``.

Images of the phantom go through ``Items.batch`` as in a training epoch: gathered from the cache,
made float32, with noise, mirrored, turned, scaled and with another contrast. Their rate stands
beside that of the training step on the same device. Wall time, since threads are what is measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from benchmarks.rounds import circumstances, record
from examples.ankle_fracture import networks
from examples.ankle_fracture.cohort import gather
from examples.ankle_fracture.config import PRESETS
from examples.ankle_fracture.items import Items, items_of, prefetch, to_device
from examples.ankle_fracture.processes import ALONE
from examples.ankle_fracture.step import Step

PACKAGES = ("seattn", "torch", "numpy")
BATCH = 32
EPOCHS = 10


def main() -> None:
    """Measures, prints, and with ``--record`` appends a JSON row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224, help="pixels of a side (default 224)")
    parser.add_argument("--models", nargs="+", default=["se_resnet50", "resnet50"], metavar="NAME")
    parser.add_argument("--patients", type=int, default=60, help="of the phantom (default 60)")
    parser.add_argument("--makers", nargs="+", type=int, default=[1, 2, 4], metavar="N")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each (default 1)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="fp32", help="of the step (default fp32)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append rows to a JSONL file")
    choices = parser.parse_args()
    torch.set_num_threads(choices.threads)
    config = dataclasses.replace(
        PRESETS["quick"], size=choices.size, patients=choices.patients, device=choices.device
    )
    device = torch.device(choices.device)
    with tempfile.TemporaryDirectory() as folder:
        train = items_of(gather(config, Path(folder)).parts, config, seed=0)["train"]
        contestants = {
            f"batches, {makers} making": epoch(train, makers, device) for makers in choices.makers
        } | {
            f"step, {name}": step(train, name, device, choices.precision) for name in choices.models
        }
        rates = {
            name: [rate(turn, device) for _ in range(choices.rounds + 1)][1:]
            for name, turn in contestants.items()
        }
    row = {
        "case": "study pipeline",
        "unit": "images a second, wall time",
        "images_per_second": rates,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "precision": choices.precision,
        "size": choices.size,
        "batch": BATCH,
        "images": len(train),
        **circumstances(PACKAGES, threads=choices.threads),
    }
    for name, each in rates.items():
        print(f"{name:24} {statistics.median(each):9.1f}  {min(each):.1f} to {max(each):.1f}")
    record([row], choices.record)


def rate(turn: Callable[[], int], device: torch.device) -> float:
    """Images a second of one turn."""
    start = time.perf_counter()
    images = turn()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return images / (time.perf_counter() - start)


def epoch(train: Items, makers: int, device: torch.device) -> Callable[[], int]:
    """The batches of some epochs as training takes them."""

    def turn() -> int:
        batches = prefetch(
            lambda numbers: to_device(train.batch(numbers, epoch=0), device),
            [each for epoch in range(EPOCHS) for each in train.numbers(BATCH, epoch=epoch)],
            threads=makers,
        )
        return sum(len(label) for _, label in batches)

    return turn


def step(train: Items, name: str, device: torch.device, precision: str) -> Callable[[], int]:
    """Steps on one batch that is on the device already."""
    network = networks.build(name, in_chans=1, num_classes=2, weights=None)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    optimizer = torch.optim.Adam(network.parameters())
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    take = Step(network, optimizer, scaler, torch.ones(2, device=device), precision, ALONE)
    batch: Any = to_device(train.batch(train.numbers(BATCH)[0]), device)
    steps = 1 if device.type == "cpu" else 20

    def turn() -> int:
        for _ in range(steps):
            take(iter([batch]), count=1, weighs=float(BATCH))
        return steps * BATCH

    return turn


if __name__ == "__main__":
    main()
