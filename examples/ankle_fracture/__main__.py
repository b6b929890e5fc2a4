"""Command line of the study: ``python -m examples.ankle_fracture --help``."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

import torch

from examples.ankle_fracture.config import PRESETS, Config, tuples
from examples.ankle_fracture.contestant import assist
from examples.ankle_fracture.networks import names
from examples.ankle_fracture.processes import join
from examples.ankle_fracture.sources import TASKS
from examples.ankle_fracture.step import PRECISIONS
from examples.ankle_fracture.study import run
from seattn.data import DicomError

DESCRIPTION = """\
Train and compare classifiers of ankle CT images, split by patient, and write a report.

Without --images the images are synthetic: a phantom writes them as DICOM files into the run's
folder, and they are read back like any others. With --images DIR the study runs on your own DICOM
files. DIR/labels.csv, or the file given with --labels, has the columns

  path      DICOM file, relative to the folder given with --images
  label     name of the class; any number of classes (the last of two is the positive one)
  patient   optional: images of one patient stay in one part; default: the file's own Patient ID
  mask      optional: a .npy or .png image of the annotated region; --boxes FILE.csv instead
  split     optional: train, val or test; without it patients are divided 60/20/20
  class     optional: what the report calls the label
  others    passed over, unless --subgroups names them

Under torchrun, networks are trained by all of its processes.
An interrupted run goes on where it stopped when it is started again with the same arguments.
"""


def parse(arguments: list[str]) -> tuple[Config, Path, Path | None]:
    """Turns the command line into a configuration, the run's folder and that of ``--beside``."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.ankle_fracture",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        default=Path("runs/ankle_fracture"),
        metavar="DIR",
        help="the run's folder (default %(default)s)",
    )
    add(
        "--preset",
        choices=sorted(PRESETS),
        default="quick",
        help="sound: the sound protocol, three networks at 224 pixels, five seeds, for a GPU; "
        "paper: the paper's protocol; quick (default) and quick-paper: the same two with small "
        "networks at 64 pixels and one seed, minutes on a CPU",
    )
    add("--images", metavar="DIR", help="your folder of DICOM files, instead of the phantom")
    add("--labels", metavar="FILE.csv", help="their labels (DIR/labels.csv)")
    add(
        "--boxes", metavar="FILE.csv", help="boxes instead of masks: path, x0, y0, x1, y1 in pixels"
    )
    add(
        "--classes", nargs="+", metavar="LABEL", help="their labels in order, 'nothing found' first"
    )
    add(
        "--subgroups",
        nargs="+",
        metavar="COLUMN",
        help="further columns of the labels: results by the groups that their words name",
    )
    add(
        "--models",
        nargs="+",
        metavar="NAME",
        help=f"any of {', '.join(names())} (quick: the small two; else SE-ResNet50, ResNet50, "
        "EfficientNet-B5)",
    )
    add(
        "--weights",
        nargs="+",
        metavar="NAME=FILE",
        help="start networks from weights (timm's, torchvision's, ...; default: from scratch)",
    )
    add("--size", type=int, help="pixels that images are resized to (quick 64, paper 224)")
    add(
        "--window",
        nargs="+",
        metavar="WINDOW",
        help="CENTRE WIDTH in HU (quick: 400 1800); 'file': each file's own window; 'minmax': "
        "each image's own range (paper)",
    )
    add(
        "--bone-mask",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="black out all but bone (paper: yes)",
    )
    add(
        "--flips",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="mirror training images (quick: yes); not where the side is part of the label",
    )
    add("--phantom", choices=["full", "study", "roi"], help="its variant (quick roi, else study)")
    add("--task", choices=sorted(TASKS), help="of the phantom: fracture, or weber (none, A, B, C)")
    add("--patients", type=int, help="patients of the phantom (329)")
    add("--prevalence", type=float, help="share of them with a fracture (85/329)")
    add("--difficulty", type=float, help="divides the severity of their fractures (1)")
    add(
        "--confounder",
        type=float,
        help="chance of a cast on the fractured, 1 minus that on the others; in the test 0.5",
    )
    add("--epochs", type=int, help="passes over the training images (quick 40, else 20)")
    add("--seed", type=int, help="draws phantom, split, weights and augmentation (0)")
    add("--seeds", type=int, help="repetitions, with this seed and those after it (sound 5)")
    add(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="where networks run (default: cuda where there is a GPU; here %(default)s)",
    )
    add("--precision", choices=list(PRECISIONS), help="of the training (fp32)")
    add(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="train through torch.compile",
    )
    add(
        "--accumulate",
        type=int,
        metavar="K",
        help="pieces in which a batch goes through the network, where it does not fit at once (1)",
    )
    add(
        "--beside",
        type=Path,
        metavar="DIR",
        help="folder of a finished run: the report puts its choices and results beside these",
    )
    given = vars(parser.parse_args(arguments))
    for name in ("labels", "boxes", "classes", "subgroups"):
        if given[name] is not None and given["images"] is None:
            parser.error(f"--{name} goes with --images")
    for name in ("phantom", "task", "patients", "prevalence", "difficulty", "confounder"):
        if given[name] is not None and given["images"] is not None:
            parser.error(f"--{name} is the phantom's; --images has its own")
    out, beside, preset = given.pop("out"), given.pop("beside"), PRESETS[given.pop("preset")]
    changed = {name: value for name, value in given.items() if value is not None}
    if "window" in changed:
        changed["window"] = _window(changed["window"], parser)
    return dataclasses.replace(preset, **tuples(changed)), out, beside


def _window(words: list[str], parser: argparse.ArgumentParser) -> tuple[float, float] | str:
    """Two numbers, or one word."""
    if len(words) == 1 and words[0] in {"file", "minmax"}:
        return words[0]
    try:
        centre, width = map(float, words)
    except ValueError:
        parser.error(f"--window (={' '.join(words)}) is CENTRE WIDTH in HU, 'file' or 'minmax'")
    return centre, width


def main() -> None:
    """Runs the study, or says in one line why it cannot; under torchrun, its first process does."""
    try:
        with join() as processes:
            if processes.first:
                try:
                    arguments = parse(sys.argv[1:])
                except SystemExit as end:
                    if not end.code:  # --help: nothing is wrong, and the others may go
                        processes.send(None)
                    raise
                run(*arguments, processes)
            else:
                assist(processes)
    except (DicomError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on after the last whole epoch")


if __name__ == "__main__":
    main()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # Gloo's threads at times abort an interpreter that ends.
        sys.stdout.flush()
        os._exit(0)
