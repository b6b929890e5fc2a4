"""Command line of the study of heat maps: ``python -m examples.heat_maps --help``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.rounds import circumstances
from examples.heat_maps.covering import covering_rows
from examples.heat_maps.measures import agreement_rows
from examples.heat_maps.pictures import draw_pages
from examples.heat_maps.radiographs import Radiographs, read_radiographs
from examples.heat_maps.training import probabilities, trained
from examples.heat_maps.volume import volume_row
from seattn.metrics import BinaryReport, binary_report

DESCRIPTION = """\
Train a small network on radiographs with and without a fracture, and compare its Grad-CAM with the
annotated fractures of the test images: once with all images, once without those with an implant.

DIR is FracAtlas, or a part of it (doi 10.1038/s41597-023-02432-4, CC BY 4.0): images, masks, and
labels.csv with the columns path, label, group, split, hardware and mask. The pictures hold the
radiographs: they go to --out with the networks, and nowhere else. --record appends numbers alone.
"""


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.heat_maps",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="the radiographs")
    add("--volume", type=Path, metavar="DIR", help="also a CT series, DICOM, for a map in 3D")
    add("--out", type=Path, default=Path("runs/heat_maps"), metavar="DIR", help="%(default)s")
    add("--record", type=Path, metavar="FILE.jsonl", help="append the rows of numbers to FILE")
    add("--size", type=int, default=224, help="pixels a side (%(default)s)")
    add("--width", type=int, default=32, help="channels of the first stage (%(default)s)")
    add("--epochs", type=int, default=80, help="each shows every fracture once (%(default)s)")
    add("--seeds", type=int, nargs="+", default=[0], help="one network a seed (0)")
    return parser.parse_args(arguments)


def run(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Trains what is not trained yet, draws, measures; returns the rows."""
    given.out.mkdir(parents=True, exist_ok=True)
    rows = [{"kind": "run", **circumstances(["torch", "seattn"], threads=torch.get_num_threads())}]
    for implants in (True, False):
        parts = read_radiographs(given.data, size=given.size, implants=implants)
        train, val, test = parts["train"], parts["val"], parts["test"]
        for seed in given.seeds:
            name = f"{'with' if implants else 'without'}_implants_seed{seed}"
            folder = given.out / name
            network = trained(folder, train, val, width=given.width, epochs=given.epochs, seed=seed)
            report = binary_report(
                y_true=test.labels,
                y_score=probabilities(network, test),
                threshold=0.5,
                patients=list(test.groups),
            )
            print(f"\n{name}\n{report}")
            draw_pages(network, test, given.out, name)
            found = [
                _network_row(parts, report, folder),
                *agreement_rows(network, train, test, seed=seed),
                *covering_rows(network, test),
            ]
            rows += [{"implants": implants, "seed": seed, **row} for row in found]
    if given.volume:
        flat = given.out / f"without_implants_seed{given.seeds[0]}"
        rows.append(volume_row(flat, given.volume, given.out / "volume.png", size=given.size))
    if given.record:
        with given.record.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return rows


def _network_row(
    parts: dict[str, Radiographs], report: BinaryReport, folder: Path
) -> dict[str, Any]:
    curve = json.loads((folder / "curve.json").read_text())
    best = max(curve, key=lambda row: (row["val_roc_auc"], row["epoch"]))
    auc = report["roc_auc"]
    return {
        "kind": "network",
        "images": {split: len(part) for split, part in parts.items()},
        "fractured": {split: int(part.labels.sum()) for split, part in parts.items()},
        "groups": {split: len(set(part.groups)) for split, part in parts.items()},
        "epochs": len(curve),
        "chosen": best,
        "test_roc_auc": [round(value, 4) for value in (auc.value, auc.low, auc.high)],
        "sensitivity": round(report["sensitivity"].value, 4),
        "specificity": round(report["specificity"].value, 4),
    }


def main() -> None:
    """Runs the study, or says in one line why it cannot."""
    torch.set_num_threads(1)
    try:
        run(parse(sys.argv[1:]))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
