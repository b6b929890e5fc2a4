"""Inference on a GPU, layer by layer: ``python -m benchmarks.inference_kernels --record FILE``.

Each convolution of the fused SE-ResNet50 with all that follows it, each gate and the pooling, on
what it is given in a run: the seconds of every way, and how near the fastest comes to the floor.
The floor is the larger of its operations over a matrix product's rate and its bytes over a copy's,
each input read once and each output written once. Small maps stay in the cache and may come out
above it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import seattn
from benchmarks.roofline import ceilings
from benchmarks.rounds import circumstances
from benchmarks.throughput.contestants import weights_of
from benchmarks.throughput.steps import DTYPES
from benchmarks.throughput.timing import device_clock
from seattn.fuse.chosen import Chosen, time_ways
from seattn.fuse.epilogue import Epilogue
from seattn.weights import load_weights


def main() -> int:
    """Measure, print, record; the exit status is 2 without a GPU."""
    torch.backends.cudnn.benchmark = True
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference_kernels")
    add = parser.add_argument
    add("--network", default="se_resnet50", choices=("se_resnet50", "resnet50"))
    add("--batches", nargs="+", type=int, default=[1, 256], metavar="N")
    add("--dtype", choices=("bf16", "fp16"), default="bf16")
    add("--record", type=Path, metavar="FILE", help="append a row for each layer to a JSONL file")
    choices = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no CUDA GPU here, and the kernels are for one")
        return 2
    dtype = DTYPES[choices.dtype]
    flops, bandwidth = ceilings("cuda", dtype, clock=device_clock("cuda"))
    facts = {
        "device": torch.cuda.get_device_name(),
        "network": choices.network,
        "dtype": choices.dtype,
        "ceiling_flops": flops,
        "ceiling_bytes": bandwidth,
        **circumstances(("seattn", "torch", "triton"), threads=torch.get_num_threads()),
    }
    print(f"{facts['device']}: {flops / 1e12:.0f} TFLOP/s, {bandwidth / 1e12:.2f} TB/s")
    for batch in choices.batches:
        layers = measure(choices.network, batch, dtype, peak=(flops, bandwidth))
        show(batch, layers)
        if choices.record:
            with choices.record.open("a") as file:
                for layer in layers:
                    file.write(json.dumps({**facts, "batch": batch, **layer}) + "\n")
    return 0


def measure(
    name: str, batch: int, dtype: torch.dtype, *, peak: tuple[float, float]
) -> list[dict[str, Any]]:
    """Time every layer of the fused network on random images."""
    network = seattn.create_model(name)
    load_weights(network, weights_of(name, in_chans=3))
    fused = seattn.fuse_for_inference(network, dtype=dtype, device="cuda")
    images = torch.randn(batch, 3, 224, 224, device="cuda").to(
        dtype, memory_format=torch.channels_last
    )
    layers: list[dict[str, Any]] = []
    hooks = []
    for path, module in fused.named_modules():
        if isinstance(module, Chosen):
            layer: dict[str, Any] = {"layer": path}
            layers.append(layer)

            def weigh(
                module: Any, args: tuple[Any, ...], out: Tensor, layer: dict[str, Any] = layer
            ) -> None:
                layer |= timed(module, args) | priced(module, args, out, peak)

            hooks.append(module.register_forward_hook(weigh))
    with torch.no_grad():
        fused(images)
    for hook in hooks:
        hook.remove()
    return layers


def timed(module: Chosen, args: tuple[Any, ...]) -> dict[str, Any]:
    """Seconds by way, and the fastest."""
    seconds = time_ways(module, *args, recorded=True)
    return {"seconds": seconds, "fastest": min(seconds, key=lambda way: seconds[way])}


def priced(
    module: Any, args: tuple[Any, ...], out: Tensor, peak: tuple[float, float]
) -> dict[str, Any]:
    """Operations, bytes and the floor in seconds."""
    moved = [*args, *module.parameters(), out]
    size = sum(each.numel() * each.element_size() for each in moved if isinstance(each, Tensor))
    flops = 0
    if isinstance(module, Epilogue):
        flops = 2 * out[:, 0].numel() * module.conv.weight.numel()
    return {
        "shapes": [list(each.shape) for each in (args[0], out)],
        "flops": flops,
        "bytes": size,
        "floor": max(flops / peak[0], size / peak[1]),
    }


def show(batch: int, layers: list[dict[str, Any]]) -> None:
    """Print a line a layer and the sum."""
    print(f"\nbatch {batch}")
    for layer in layers:
        ways = sorted(layer["seconds"].items(), key=lambda item: item[1])
        best = ways[0][1]
        text = ", ".join(f"{way} {seconds * 1e6:.1f}" for way, seconds in ways[:4])
        plain = layer["seconds"]["torch"]
        print(
            f"{layer['layer']:22} {layer['floor'] / best:5.2f} of the floor, {text} us"
            f" (torch {plain * 1e6:.1f})"
        )
    best, floor = (
        sum(layer["seconds"][layer["fastest"]] for layer in layers),
        sum(layer["floor"] for layer in layers),
    )
    plain = sum(layer["seconds"]["torch"] for layer in layers)
    print(
        f"all: {best * 1e3:.3f} ms, floor {floor * 1e3:.3f} ms, torch {plain * 1e3:.3f} ms: "
        f"{floor / best:.2f} of the floor, {batch / best:.0f} images/s without what is between"
    )


if __name__ == "__main__":
    sys.exit(main())
