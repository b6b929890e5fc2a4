"""One call: a folder of DICOM files, a saved network, a table; what they are is checked first."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from seattn.data import ScanError
from seattn.data.arguments import check_whole
from seattn.data.dicom import Units
from seattn.data.file_rows import file_state
from seattn.data.preprocess import Preprocessing
from seattn.data.pseudonym import pseudonym, resolve_key
from seattn.data.records import Failure
from seattn.data.scan import files_below
from seattn.predict.classifier import Classifier, Precision, fingerprint
from seattn.predict.flow import classify_files
from seattn.predict.images import Reader
from seattn.predict.processes import join
from seattn.predict.summary import PredictionSummary, total
from seattn.predict.table import begin, count_rows, finish, printable

__all__ = ["predict_folder"]


def predict_folder(
    folder: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    size: int | tuple[int, int] = 224,
    units: Units = "window",
    window: Sequence[float] | None = None,
    bone_mask: bool = False,
    voi: int = 0,
    input_transform: bool | None = None,
    classes: Sequence[str] | None = None,
    threshold: float | None = None,
    device: str | None = None,
    batch: int | None = None,
    workers: int = 0,
    precision: Precision = "fp32",
    fused: bool = False,
    key: bytes | str | None = None,
    redact_paths: bool = False,
    progress: bool = True,
) -> PredictionSummary:
    """Classify every DICOM image below a folder, and write a row for each into a CSV file.

    The rows are in the order of (path, frame): ``path`` relative to the folder and ``frame``
    counted from 0, the pseudonyms ``patient`` and ``series``, ``probability:<class>`` for each
    class, the class that is ``predicted``, and ``error``, which is empty for an image. A file that
    cannot be used has a row with the class and the reason of its error. What is no image has none,
    as in ``DicomIndex.scan``.

    Rows are written as they come. A run that was killed goes on where it was when it is called
    again, and ends with the same file, byte for byte. ``<out>.json`` keeps the settings, the hash
    of the network and one of the paths and sizes of all files; with others the run is refused.

    Under torchrun each process takes a share of the files, on a GPU of its own if ``device`` is
    "cuda", and the first joins the shares at the end. All need to see ``folder`` and ``out``.

    A saved network does not tell how its images were prepared. Say here what was said to
    ``DicomDataset`` in its training; the defaults are those of ``DicomDataset``.

    Args:
        folder: The folder. Links to folders are not followed.
        model: A folder that ``seattn.weights.save_model`` wrote.
        out: The CSV file, with the ending ``.csv``.
        size: As in ``DicomDataset``.
        units: As in ``read_dicom``.
        window: As in ``read_dicom``: (center, width), or None for each file's own.
        bone_mask: As in ``DicomDataset``.
        voi: As in ``read_dicom``.
        input_transform: Whether images then pass ``seattn.pretrained.input_transform`` of the
            network's ``pretrained_cfg``. A network that has one needs an answer.
        classes: Their names in the order of the logits; None counts them from 0. One logit is that
            of the second of two classes.
        threshold: Of two classes the second is predicted where its probability is at least this;
            None stands for 0.5. Of more classes the most probable is predicted.
        device: Where the network runs; None is "cuda" where there is a GPU, else "cpu".
        batch: Images that go through the network at once; None is 32, and 8 on a CPU, where more
            take longer: their maps leave the caches, and their memory is asked for anew each time.
        workers: How many processes decode; 0 decodes in a thread beside the network. They are
            spawned, so a script needs ``if __name__ == "__main__":``.
        precision: "fp32", or "bf16" or "fp16" by autocast.
        fused: Whether ``fuse_for_inference`` makes the network faster first, in ``precision``;
            probabilities are the same up to rounding.
        key: As in ``DicomIndex.scan``: the secret of the pseudonyms.
        redact_paths: Whether ``path`` is a keyed pseudonym, and errors name no file of ``folder``.
        progress: Whether to show a progress bar, on a terminal.

    Returns:
        What was done, and whether the decoder or the network was the slower.

    Raises:
        ValueError: An argument is not possible, or does not go with the network; ``out`` is another
            file, or holds a run with other settings.
        ScanError: A folder cannot be listed.
        FileNotFoundError, RuntimeError: As ``load_model`` raises them.
        TypeError: ``key`` is neither bytes nor text.
        SystemExit: Under torchrun: the first process has failed.

    Examples:
        >>> import seattn
        >>> from seattn.data import make_ankle_phantom
        >>> from seattn.predict import predict_folder
        >>> from seattn.weights import save_model
        >>> labels = make_ankle_phantom("scans", patients=2, variant="roi", progress=False)
        >>> save_model(seattn.se_resnet18(in_chans=1, num_classes=2, stem="small"), "trained")
        >>> run = predict_folder(
        ...     "scans", model="trained", out="predictions.csv", size=64, window=(400, 1800)
        ... )
        >>> run.images, run.failed
        (6, 0)
        >>> with open("predictions.csv") as file:
        ...     print(file.readline().strip())
        path,frame,patient,series,probability:0,probability:1,predicted,error
    """
    root, out = Path(folder).absolute(), Path(out).absolute()
    if not root.is_dir():
        raise ValueError(f"`folder` (={os.fspath(folder)!r}) is not a folder.")
    if out.suffix != ".csv":
        raise ValueError(f"`out` (={os.fspath(out)!r}) must end in '.csv'.")
    if batch is not None:
        check_whole("batch", batch, least=1)
    check_whole("workers", workers, least=0, note="0 is a thread of this process")
    preprocessing = Preprocessing(
        size=size if isinstance(size, tuple | list) else (size, size),
        units=units,
        window=window,
        bone_mask=bone_mask,
        voi=voi,
    )
    with join() as processes:
        chosen = processes.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        batch = batch or (8 if chosen.type == "cpu" else 32)
        classifier = Classifier(
            os.fspath(model),
            classes=classes,
            threshold=threshold,
            input_transform=input_transform,
            device=chosen,
            precision=precision,
            fused=fused,
            shape=(batch, *preprocessing.size),
        )
        settings = {
            "size": preprocessing.size,
            "units": units,
            "window": preprocessing.window,
            "bone_mask": bone_mask,
            "voi": voi,
            "input_transform": input_transform,
            "classes": classifier.classes,
            "activation": classifier.activation,
            "threshold": classifier.threshold,
            "device": chosen.type,
            "batch": batch,
            "precision": precision,
            "fused": fused,
            "redact_paths": redact_paths,
            "processes": processes.size,
            "model_sha256": fingerprint(os.fspath(model)),
        }
        parts = _parts(out, processes.size)
        plan = processes.from_first(lambda: _plan(root, out, settings, key, redact_paths))
        if plan.finished:
            return PredictionSummary(resumed=count_rows(out))
        share = np.array_split(np.arange(len(plan.paths)), processes.size)[processes.rank]
        summary = classify_files(
            [plan.paths[i] for i in share],
            Reader(root, preprocessing, plan.key, classifier.channels),
            classifier,
            parts[processes.rank],
            batch=batch,
            workers=workers,
            name=partial(pseudonym, key=plan.key) if redact_paths else printable,
            progress=progress and processes.rank == 0,
        )
        summary = total(processes.gather(summary))
        processes.from_first(lambda: finish(out, parts))
        return summary


class _Plan(NamedTuple):
    """What the first process finds out for all."""

    paths: list[str]
    key: bytes
    finished: bool


def _plan(
    root: Path,
    out: Path,
    settings: dict[str, Any],
    key: bytes | str | None,
    redact_paths: bool,
) -> _Plan:
    secret = resolve_key(key)
    failures: list[Failure] = []
    ours = {root / path for path in (out, out.with_suffix(".json"))}
    paths = sorted(
        path
        for path in files_below(root, failures)
        if root / path not in ours and not _is_part(root / path, out)
    )
    for failure in failures:
        if not failure.skipped:
            name = "(path withheld)" if redact_paths else failure.path
            raise ScanError(name, failure.stage, failure.reason)
    sizes = [file_state(root / path)[0] for path in paths]
    settings = settings | {
        "pseudonyms": pseudonym("seattn predictions", secret),
        "files": len(paths),
        "paths_and_sizes": pseudonym(repr(list(zip(paths, sizes, strict=True))), secret),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    return _Plan(paths, secret, begin(out, settings))


def _parts(out: Path, processes: int) -> list[Path]:
    if processes == 1:
        return [out]
    return [out.with_name(f"{out.name}.part-{i}-of-{processes}") for i in range(processes)]


def _is_part(path: Path, out: Path) -> bool:
    return path.parent == out.parent and path.name.startswith((f"{out.name}.part-", f".{out.name}"))
