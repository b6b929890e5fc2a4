"""SE-ResNet50's forward pass beside timm's, on the CPU: ``python -m benchmarks.forward_cpu``.

Both networks hold the same weights and get the same images; their outputs are compared before
anything is timed. Rounds are interleaved in random order, the figure of merit is the process's CPU
time, and the ratio is taken within a round, so that a machine that slows down slows both. Set
``OMP_WAIT_POLICY=passive``: waiting threads that spin would be counted as work.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from torch import nn

import seattn
from benchmarks.peers import skip_torchvision_fakes
from benchmarks.rounds import commit_hash, measure, version_of

FLOOR = """\
Floor: 4.1 G multiply-accumulates an image at 224x224, and 2.5 M of SE, whose gates also read and
rewrite the 5.5 M outputs of the blocks' last convolutions. Both networks run the same operators of
the same library, but timm overwrites what a hook may hold, and ours does not: what is above 1.00
is the price of those copies."""


def main() -> None:
    """Measures, prints, and with ``--record`` appends one JSON row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8, help="images in one forward (default 8)")
    parser.add_argument("--size", type=int, default=224, help="pixels of a side (default 224)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    parser.add_argument("--rounds", type=int, default=15, help="counted rounds (default 15)")
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="append the row to this JSONL file"
    )
    choices = parser.parse_args()
    torch.set_num_threads(choices.threads)

    networks = contestants()
    images = torch.randn(choices.batch, 3, choices.size, choices.size)
    images = images.contiguous(memory_format=torch.channels_last)
    difference = check(networks, images)
    with torch.inference_mode():
        seconds = measure(
            {name: partial(net, images) for name, net in networks.items()}, rounds=choices.rounds
        )
    ratios = [a / b for a, b in zip(seconds["seattn"], seconds["timm"], strict=True)]
    row = {
        "case": "se_resnet50 forward, inference mode, float32, channels last",
        "date": datetime.date.today().isoformat(),
        "commit": commit_hash(),
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": version_of("timm"),
        "batch": choices.batch,
        "size": choices.size,
        "threads": choices.threads,
        "relative_difference_of_outputs": difference,
        "cpu_seconds": seconds,
        "ratio_quartiles": statistics.quantiles(ratios, n=4),
    }
    for name, times in seconds.items():
        low, median, high = statistics.quantiles(times, n=4)
        print(f"{name:8} {median:7.3f} CPU s a batch, quartiles {low:.3f} to {high:.3f}")
    low, median, high = row["ratio_quartiles"]
    print(f"seattn / timm within a round: {median:.3f}, quartiles {low:.3f} to {high:.3f}")
    print(f"outputs agree to {difference:.1e} of their largest value\n{FLOOR}")
    if choices.record:
        with choices.record.open("a") as file:
            file.write(json.dumps(row) + "\n")


def contestants() -> dict[str, nn.Module]:
    """Both networks with the same weights, ready for inference."""
    skip_torchvision_fakes()
    import timm

    ours, theirs = seattn.se_resnet50(), timm.create_model("seresnet50")
    ours.load_state_dict(theirs.state_dict())
    networks: dict[str, nn.Module] = {"seattn": ours, "timm": theirs}
    return {
        name: net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, net in networks.items()
    }


@torch.inference_mode()
def check(networks: dict[str, nn.Module], images: torch.Tensor) -> float:
    """Largest difference of the outputs, relative to the largest; a wrong one is an error."""
    ours, theirs = (net(images) for net in networks.values())
    difference = float((ours - theirs).abs().max() / theirs.abs().max())
    if difference > 1e-4:
        raise RuntimeError(f"the outputs differ by {difference:.1e}: no time is taken")
    return difference


if __name__ == "__main__":
    main()
