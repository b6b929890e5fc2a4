"""Command line of the study: ``python -m examples.ankle_fracture --help``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from examples.ankle_fracture.config import CLASSES, PRESETS, Config, tuples
from examples.ankle_fracture.networks import names
from examples.ankle_fracture.study import run
from seattn.data import DicomError

DESCRIPTION = """\
Train and compare classifiers of ankle CT images, split by patient, and write a report.

Without --images the images are synthetic: a phantom writes them as DICOM files into the run's
folder, and they are read back like any others. With --images DIR --labels FILE.csv the study runs
on your own DICOM files. The CSV has the columns

  path      DICOM file, relative to the folder given with --images
  label     name of the class; any number of classes (the last of two is the positive one)
  patient   optional: images of one patient stay in one part; default: the file's own Patient ID
  mask      optional: a .npy or .png image of the annotated region

An interrupted run goes on where it stopped when it is started again with the same arguments.
"""


def parse(arguments: list[str]) -> tuple[Config, Path]:
    """Turns the command line into a configuration and the run's folder."""
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
    add("--labels", metavar="FILE.csv", help="their labels; goes with --images")
    add(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="the classes in order, 'nothing found' first: none A B C (default: sorted)",
    )
    add(
        "--task",
        choices=sorted(CLASSES),
        help="of the phantom: fracture or none (default), or weber: none, Danis-Weber A, B, C",
    )
    add("--phantom", choices=("roi", "study", "full"), help="its variant (quick roi, else study)")
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
    add("--patients", type=int, help="patients of the phantom (329)")
    add("--epochs", type=int, help="passes over the training images (quick 40, else 20)")
    add("--seed", type=int, help="draws phantom, split, weights and augmentation (0)")
    add("--seeds", type=int, help="repetitions, with this seed and those after it (sound 5)")
    add(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="where networks run (default: cuda where there is a GPU; here %(default)s)",
    )
    given = vars(parser.parse_args(arguments))
    if (given["images"] is None) != (given["labels"] is None):
        parser.error("--images and --labels go together")
    if given["images"] and given["patients"]:
        parser.error("--patients is the phantom's number of patients; --images has its own")
    if given["images"] and given["task"]:
        parser.error("--task is the phantom's; with --images the labels say what the classes are")
    if given["classes"] and not given["images"]:
        parser.error("--classes orders the classes of --labels; the phantom has --task")
    out, preset = given.pop("out"), PRESETS[given.pop("preset")]
    changed = {name: value for name, value in given.items() if value is not None}
    if "window" in changed:
        changed["window"] = _window(changed["window"], parser)
    return dataclasses.replace(preset, **tuples(changed)), out


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
    """Runs the study, or says in one line why it cannot."""
    try:
        run(*parse(sys.argv[1:]))
    except (DicomError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on after the last whole epoch")


if __name__ == "__main__":
    main()
