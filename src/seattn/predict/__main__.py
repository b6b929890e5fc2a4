"""The command line: ``python -m seattn.predict --help``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from seattn.data import DicomError
from seattn.data.dicom import Units
from seattn.predict.classifier import Precision
from seattn.predict.folder import predict_folder

__all__ = ["main"]

_DESCRIPTION = """\
Classify every DICOM image below a folder with a network that seattn.weights.save_model wrote, one
row of a CSV file for each. A saved network does not tell how its images were prepared: say what was
said in its training. An interrupted run goes on where it was when the same command is given again;
under torchrun its processes share the files.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, or say in one line why not."""
    if os.environ.get("RANK", "0") != "0":  # under torchrun the first process speaks
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    options = vars(_parser().parse_args(arguments))
    key_file = options.pop("key_file")
    try:
        key = None if key_file is None else key_file.read_bytes().strip()
        summary = predict_folder(options.pop("folder"), key=key, **options)
    except (DicomError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
    sys.stdout.write(f"{summary}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m seattn.predict",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", help="the folder of DICOM files")
    add("--model", required=True, metavar="DIR", help="the folder of the saved network")
    add("--out", default="predictions.csv", metavar="FILE.csv", help="default %(default)s")
    images = parser.add_argument_group("how the images were prepared in the training")
    add = images.add_argument
    add("--size", type=int, default=224, help="pixels that images are resized to (%(default)s)")
    add("--units", choices=get_args(Units), default="window", help="default %(default)s")
    add(
        "--window",
        nargs=2,
        type=float,
        metavar=("CENTRE", "WIDTH"),
        help="in modality units (default: each file's own)",
    )
    add("--voi", type=int, default=0, help="which window of a file, from 0 (%(default)s)")
    add("--bone-mask", action="store_true", help="black out all but bone")
    add(
        "--input-transform",
        action=argparse.BooleanOptionalAction,
        help="normalise as the pretrained weights expect; to be said of a network that began "
        "with some",
    )
    add = parser.add_argument_group("classes").add_argument
    add("--classes", nargs="+", metavar="NAME", help="in the order of the logits (0, 1, ...)")
    add(
        "--threshold",
        type=float,
        help="probability from which the second of two classes is predicted (0.5)",
    )
    add = parser.add_argument_group("speed").add_argument
    add("--device", help="where the network runs (cuda where there is a GPU, else cpu)")
    add("--batch", type=int, help="images at once (32; on a CPU 8)")
    add("--workers", type=int, default=0, help="processes that decode (0: a thread)")
    add("--precision", choices=get_args(Precision), default="fp32", help="default %(default)s")
    add("--fused", action="store_true", help="make the network faster first: fuse_for_inference")
    add = parser.add_argument_group("patients").add_argument
    add("--key-file", type=Path, metavar="FILE", help="secret of the pseudonyms (your own)")
    add("--redact-paths", action="store_true", help="a pseudonym in place of each path")
    return parser


if __name__ == "__main__":
    main()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # Gloo's threads at times abort an interpreter that ends.
        sys.stdout.flush()
        os._exit(0)
