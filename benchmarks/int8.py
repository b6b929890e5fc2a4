"""A network in int8 by ONNX Runtime, beside itself in float32, on real radiographs.

``python -m benchmarks.int8 DATA --network FOLDER [--record FILE]``. DATA is FracAtlas or a part of
it, as in ``examples.heat_maps``; FOLDER has a network that was saved with ``save_model``, or gets
an SE-ResNet-50 that is trained there first. The graph is that of ``fuse_for_inference``. One row
holds, for each way to quantise it: how its probabilities differ on the test images, its ROC area
and its labels at the threshold that the float32 network chose on validation. Times are CPU seconds
an image, one thread, rounds interleaved. No image, name or prediction is in the row.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import onnxruntime
import torch
from onnxruntime import quantization
from onnxruntime.quantization import CalibrationMethod, QuantType
from torch import nn

import seattn
from benchmarks.rounds import circumstances, measure, record
from examples.heat_maps.radiographs import Radiographs, read_radiographs
from examples.heat_maps.training import fit, probabilities
from seattn.metrics import OperatingPoint, choose_threshold, delong_test, roc_auc_interval
from seattn.weights import load_model, save_model

__all__ = ["FORMS", "Form", "compare", "quantise"]

PACKAGES = ("seattn", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")
IMAGES = 128
BATCHES = (1, 8)


@dataclass(frozen=True)
class Form:
    """One way to quantise.

    Args:
        name: What the page calls it.
        calibrator: Member of ``CalibrationMethod``, which finds the ranges of the activations.
        images: Training images that it sees.
        fused: Quantise the graph of the fused copy, not that of the network itself.
        timed: Take its time as well; that of the graph does not depend on how it was calibrated.
        options: Of ``quantize_static``, instead of the defaults in ``quantise``.
    """

    name: str
    calibrator: str = "MinMax"
    images: int = IMAGES
    fused: bool = True
    timed: bool = False
    options: dict[str, Any] = field(default_factory=dict)


FORMS = [
    Form("int8", timed=True),
    Form("int8, not fused", fused=False, timed=True),
    Form(
        "int8, Conv and Gemm only", timed=True, options={"op_types_to_quantize": ["Conv", "Gemm"]}
    ),
    Form("int8, one scale a tensor", timed=True, options={"per_channel": False}),
    Form("int8, signed activations", timed=True, options={"activation_type": QuantType.QInt8}),
    *(
        Form(f"int8, {calibrator}, {images} images", calibrator, images)
        for calibrator in ("MinMax", "Entropy", "Percentile")
        for images in (8, 32, IMAGES)
        if (calibrator, images) != ("MinMax", IMAGES)  # that is the first
    ),
]


class Batches(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Single images for the calibrator."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = iter(images[:, None])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next image, None at the end."""
        image = next(self.images, None)
        return None if image is None else {"images": image.numpy()}


def export(network: nn.Module, example: torch.Tensor, file: Path) -> None:
    """Write the graph, batch size free, ready to be quantised."""
    free = {0: torch.export.Dim("N", max=1024)}
    program = torch.onnx.export(
        network, (example,), dynamo=True, dynamic_shapes=(free,), verbose=False,
        input_names=["images"], output_names=["logits"],
    )  # fmt: skip
    assert program is not None  # noqa: S101  with dynamo=True there is one
    program.save(file)
    quantization.quant_pre_process(file, file)


def quantise(graph: Path, images: torch.Tensor, form: Form, file: Path) -> None:
    """Write ``graph`` in int8, calibrated on ``images``."""
    quantization.quantize_static(
        graph,
        file,
        Batches(images),
        calibrate_method=CalibrationMethod[form.calibrator],
        **{"activation_type": QuantType.QUInt8, "per_channel": True} | form.options,
    )


class Session(nn.Module):
    """A graph in ONNX Runtime, one thread, called as a network is."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The logits of the images."""
        return torch.from_numpy(self.session.run(None, {"images": images.numpy()})[0])


def compare(
    y_true: np.ndarray,
    ours: np.ndarray,
    exact: np.ndarray,
    point: OperatingPoint,
    groups: tuple[str, ...],
) -> dict[str, Any]:
    """Probabilities beside those of the float32 network: how they differ, and what it costs."""
    area = roc_auc_interval(y_true=y_true, y_score=ours, patients=groups)
    loss = delong_test(y_true=y_true, y_score_a=ours, y_score_b=exact, patients=groups)
    ends = (loss.low, loss.high) if math.isfinite(loss.low) else (None, None)  # equal ranks
    labels = point.apply(ours)
    return {
        "largest_difference": float(np.abs(ours - exact).max()),
        "mean_difference": float(np.abs(ours - exact).mean()),
        "roc_auc": [area.value, area.low, area.high],
        "roc_auc_difference": [loss.difference, *ends],
        "accuracy": float((labels == y_true).mean()),
        "sensitivity": float(labels[y_true == 1].mean()),
        "specificity": float(1 - labels[y_true == 0].mean()),
        "labels_changed": int((labels != point.apply(exact)).sum()),
    }


def network_in(folder: Path, parts: dict[str, Radiographs], *, epochs: int) -> nn.Module:
    """The network saved in the folder; an SE-ResNet-50 is trained there if there is none."""
    if not (folder / "model.safetensors").exists():
        torch.manual_seed(0)
        network = seattn.se_resnet50(in_chans=1, num_classes=2, drop_rate=0.2, zero_init_last=False)
        curve = fit(network, parts["train"], parts["val"], epochs=epochs, seed=0)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "curve.json").write_text(json.dumps(curve, indent=1) + "\n")
        save_model(network, folder)
    return load_model(folder).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def times(
    contestants: dict[str, nn.Module], images: torch.Tensor, *, rounds: int
) -> dict[str, list[float]]:
    """CPU seconds an image of each contestant in batches like ``images``, by round."""
    repeats = max(1, 8 // len(images))

    def call(network: nn.Module) -> None:
        for _ in range(repeats):
            network(images)

    calls: dict[str, Callable[[], object]] = {
        name: partial(call, network) for name, network in contestants.items()
    }
    with torch.inference_mode():
        return measure(calls, rounds=rounds, per=repeats * len(images))


def run(given: argparse.Namespace) -> dict[str, Any]:
    """The row of one network."""
    parts = read_radiographs(given.data, size=given.size, implants=True)
    network = network_in(given.network, parts, epochs=given.epochs)
    val, test = parts["val"], parts["test"]
    y_true, exact = test.labels.numpy(), probabilities(network, test)
    point = choose_threshold(
        y_true=val.labels, y_score=probabilities(network, val), patients=list(val.groups)
    )
    order = np.random.default_rng(0).permutation(len(parts["train"])).tolist()
    seen = parts["train"].batch(order[:IMAGES]).image
    fused = seattn.fuse_for_inference(network)
    contestants = {"torch": network, "torch, fused": fused}
    forms = [{"name": "torch"} | compare(y_true, exact, exact, point, test.groups)]
    with tempfile.TemporaryDirectory() as place:
        graphs = {}
        for name, source in (("not fused", network), ("fused", fused)):
            graphs[name] = Path(place, f"{name}.onnx")
            export(source, seen[:2], graphs[name])
            contestants[f"float32, {name}"] = session = Session(graphs[name])
            found = compare(y_true, probabilities(session, test), exact, point, test.groups)
            if found["largest_difference"] > 1e-4:
                raise RuntimeError(f"the graph differs by {found['largest_difference']:.1e}")
            size = graphs[name].stat().st_size
            forms.append({"name": f"float32, {name}", "bytes": size} | found)
        for number, form in enumerate(FORMS):
            file = Path(place, f"{number}.onnx")
            start = time.perf_counter()
            graph = graphs["fused" if form.fused else "not fused"]
            quantise(graph, seen[: form.images], form, file)
            seconds = time.perf_counter() - start
            session = Session(file)
            if form.timed:
                contestants[form.name] = session
            about = {"name": form.name, "calibrator": form.calibrator, "images": form.images}
            about |= {"bytes": file.stat().st_size, "seconds_to_quantise": seconds}
            forms.append(
                about | compare(y_true, probabilities(session, test), exact, point, test.groups)
            )
            print(json.dumps(forms[-1]), flush=True)
        measured = {
            str(batch): times(contestants, test.batch(range(batch)).image, rounds=given.rounds)
            for batch in BATCHES
        }
    return {
        "case": f"{given.name}, {given.size} pixels",
        **circumstances(PACKAGES, threads=1),
        "images": {split: len(part) for split, part in parts.items()},
        "fractured": {split: int(part.labels.sum()) for split, part in parts.items()},
        "groups": {split: len(set(part.groups)) for split, part in parts.items()},
        "parameters": sum(p.numel() for p in network.parameters()),
        "threshold": point.threshold,
        "rule": f"{point.rule} on {point.fitted_on}",
        "forms": forms,
        "cpu_seconds": measured,
    }


def main() -> None:
    """Measures, prints, and with ``--record`` appends one JSON row."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.int8",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="the radiographs")
    add("--network", type=Path, required=True, metavar="FOLDER", help="the saved network")
    add("--name", default="SE-ResNet-50", help="of the network, for the row (%(default)s)")
    add("--size", type=int, default=112, help="pixels of a side (%(default)s)")
    add("--epochs", type=int, default=32, help="to train for, if there is none (%(default)s)")
    add("--rounds", type=int, default=15, help="counted rounds of the times (%(default)s)")
    add("--record", type=Path, metavar="FILE.jsonl", help="append the row to FILE")
    given = parser.parse_args()
    torch.set_num_threads(1)
    row = run(given)
    for batch, seconds in row["cpu_seconds"].items():
        print(f"\nCPU ms an image, batch {batch}")
        for name, values in seconds.items():
            print(f"  {name:26} {1000 * np.median(values):8.2f}")
    record([row], given.record)


if __name__ == "__main__":
    main()
