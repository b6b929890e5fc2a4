"""The price of Grad-CAM, in time and memory, beside peers: ``python -m benchmarks.grad_cam``.

Every contestant goes from the same images to maps at their size, on a copy of the same network, and
its maps are compared with ours before anything is timed. Times are taken as ``benchmarks.rounds``
says; peak memory in fresh processes. The floor at the last stage is the plain forward pass, without
a graph; at an early layer it is that and the way back through the head.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from benchmarks.grad_cam_memory import peak
from benchmarks.grad_cam_peers import LAYERS, NAMES, PLAIN, check, contestant, network
from benchmarks.rounds import circumstances, cpu_time, judge, measure, record, show

PACKAGES = ("seattn", "torch", "captum", "torchcam", "grad-cam", "monai")
PEERS = ("captum", "captum, frozen parameters", "torch-cam", "pytorch-grad-cam", "MONAI")
LIMITS = {
    "last": [
        ("seattn", PLAIN, 1.1),
        ("seattn, three classes", PLAIN, 1.25),
        *(("seattn", peer, 1.05) for peer in PEERS),
        ("seattn, three classes", "captum, three classes", 1.05),
    ],
    "early": [
        *(("seattn", peer, 1.05) for peer in PEERS),
        ("seattn, three classes", "captum, three classes", 1.05),
    ],
}


def main() -> None:
    """Measures, prints, and with ``--record`` appends a JSON row for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--layers", nargs="+", choices=LIMITS, default=list(LIMITS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8], metavar="N")
    parser.add_argument("--size", type=int, default=224, help="pixels of a side (default 224)")
    parser.add_argument("--rounds", type=int, default=9, help="counted rounds (default 9)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append rows to a JSONL file")
    choices = parser.parse_args()
    torch.set_num_threads(choices.threads)
    torch.backends.cudnn.allow_tf32 = False  # else maps differ by the arithmetic
    for net in choices.networks:
        for place in choices.layers:
            for batch in choices.batches:
                row = compare(choices, net, place, batch)
                show(row)
                layer = LAYERS[net][place]
                row["peak_mib"] = {
                    name: peak(choices, net, layer, batch, name) for name in row["cpu_seconds"]
                }
                show_memory(row)
                record([row], choices.record)


def compare(choices: argparse.Namespace, net: str, place: str, batch: int) -> dict[str, Any]:
    """One row: the times of all contestants."""
    built, layer = network(net, device=choices.device), LAYERS[net][place]
    images = torch.randn(batch, 3, choices.size, choices.size, device=choices.device)
    found = {name: contestant(name, built, layer, images) for name in NAMES}
    turns = {name: turn for name, turn in found.items() if turn is not None}
    differences = check({name: turn() for name, turn in turns.items()}, images)
    seconds = measure(
        {name: partial(finish, turn, choices.device) for name, turn in turns.items()},
        rounds=choices.rounds,
        clock=cpu_time if choices.device == "cpu" else time.perf_counter,
    )
    return {
        "case": f"{net}, {layer} ({place}), batch {batch}",
        "unit": "a call" if choices.device == "cpu" else "a call (wall)",
        "network": net,
        "layer": layer,
        "place": place,
        "batch": batch,
        "size": choices.size,
        "device": device_name(choices.device),
        "relative_difference_of_maps": differences,
        "cpu_seconds": seconds,
        "ratios": judge(seconds, LIMITS[place]),
        "absent": {name: "not installed" for name, turn in found.items() if turn is None},
        **circumstances(PACKAGES, threads=choices.threads),
    }


def finish(turn: Callable[[], Any], device: str) -> None:
    """One turn, to its end on the device."""
    turn()
    if device == "cuda":
        torch.cuda.synchronize()


def device_name(device: str) -> str:
    """What computes."""
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


def show_memory(row: dict[str, Any]) -> None:
    """Print the peaks, and whether ours is within 1.1 times the plain forward's plus 64 MiB."""
    peaks = {name: mib for name, mib in row["peak_mib"].items() if mib is not None}
    for name, mib in sorted(peaks.items(), key=lambda each: each[1]):
        print(f"  {name:26} {mib:8.0f} MiB at the peak")
    if row["place"] == "last" and PLAIN in peaks:
        limit = 1.1 * peaks[PLAIN] + 64
        verdict = "within" if peaks["seattn"] <= limit else "ABOVE"
        print(f"  seattn: {peaks['seattn']:.0f} MiB, {verdict} {limit:.0f} MiB")


if __name__ == "__main__":
    main()
