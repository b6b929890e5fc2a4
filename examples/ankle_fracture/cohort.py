"""The images of a run: from the phantom or your own folder, indexed, labelled, split by patient."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from examples.ankle_fracture.config import CLASSES, Config
from examples.ankle_fracture.weber import write_weber_labels
from seattn.data import (
    DicomDataset,
    DicomIndex,
    make_ankle_phantom,
    read_dicom,
    split_by_patient,
    split_hash,
)

__all__ = ["Cohort", "gather"]

SYNTHETIC_KEY = b"the phantom's patients are nobody"


@dataclass(frozen=True)
class Cohort:
    """Three datasets without a patient in common.

    Args:
        train, val, test: The parts.
        class_names: In the order of the labels; for two classes the second is the positive one.
        source: One sentence for the report.
        index_report: What the index read, passed over and refused, as text.
    """

    train: DicomDataset
    val: DicomDataset
    test: DicomDataset
    class_names: tuple[str, ...]
    source: str
    index_report: str

    @property
    def parts(self) -> dict[str, DicomDataset]:
        """The parts by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    @property
    def split_hash(self) -> str:
        """Digest of which patient is in which part."""
        return split_hash([dataset.index for dataset in self.parts.values()])

    @property
    def digest(self) -> str:
        """Digest of everything that a run rests on: files, patients, labels, masks and parts."""
        rows = [(part, asdict(row)) for part, data in self.parts.items() for row in data.index.rows]
        return hashlib.blake2b(repr(rows).encode(), digest_size=16).hexdigest()

    def labels(self, part: str) -> list[int]:
        """Class numbers of the images of a part."""
        return [row.label for row in self.parts[part].index.rows if row.label is not None]

    def counts(self) -> list[dict[str, Any]]:
        """Patients, images and images of each class, by part."""
        return [
            {
                "part": part,
                "patients": len({row.patient for row in dataset.index.rows}),
                "images": len(dataset),
                "images_of_class": [
                    self.labels(part).count(k) for k in range(len(self.class_names))
                ],
            }
            for part, dataset in self.parts.items()
        ]

    def flow(self) -> list[str]:
        """The counts as lines to print."""
        return [
            f"{c['part']:6}{c['patients']:5} patients {c['images']:5} images: "
            + ", ".join(
                f"{n} {name}"
                for n, name in zip(c["images_of_class"], self.class_names, strict=True)
            )
            for c in self.counts()
        ]


def gather(config: Config, folder: Path) -> Cohort:
    """Makes or finds the images and refuses, before anything is trained, what cannot be studied.

    Args:
        config: The run's choices.
        folder: The run's folder; the phantom and the decoded cache go below it.

    Raises:
        seattn.data.DicomError: Damaged files, missing labels, a part without one of the classes.
        ValueError: A folder without DICOM images, or fewer than two classes.
    """
    if config.images is None:
        images, labels, key = _phantom(config, folder)
        source = (
            f"synthetic: phantom variant '{config.phantom}', {config.patients} patients, three "
            f"views, seed {config.seed}; no patient, no real image"
        )
    else:
        images, labels, key = Path(config.images), Path(str(config.labels)), None
        if not labels.is_file():
            raise ValueError(f"`labels` (='{labels}') is no file: give the CSV with the classes.")
        if folder.resolve().is_relative_to(images.resolve()):
            raise ValueError(f"--out (='{folder}') lies among `images`: results go elsewhere.")
        source = "your own folder of DICOM files"
    index = DicomIndex.scan(images, key=key)
    report = index.report()
    print(report, flush=True)
    if not index.rows:
        raise ValueError(
            "`images` holds no DICOM image: give the folder that holds the .dcm files."
        )
    if config.images is None and config.task == "weber":
        labels = write_weber_labels(labels, folder / f"weber-seed{config.seed}.csv")
        index = index.with_labels(labels, missing="drop", key=key)
    else:
        index = index.with_labels(labels, classes=config.classes, key=key)
    if not isinstance(config.window, str):
        _check_hounsfield(index)
    if len(index.classes) < 2:
        raise ValueError(f"'{labels}' names one class, {index.classes[0]}; a classifier needs two.")
    parts = split_by_patient(index, *config.fractions, seed=config.seed)
    train, val, test = (
        DicomDataset(
            part,
            size=config.size,
            units="minmax" if config.window == "minmax" else "window",
            window=None if isinstance(config.window, str) else config.window,
            bone_mask=config.bone_mask,
            cache=folder / "cache",
        )
        for part in parts
    )
    names = CLASSES[config.task] if config.images is None else index.classes
    return Cohort(train, val, test, names, source, report)


def _check_hounsfield(index: DicomIndex) -> None:
    """Looks at one image of each patient: a window in HU means nothing to other units."""
    first = {row.patient: row for row in reversed(index.rows)}
    for row in first.values():
        meta = read_dicom(index.root / row.path, units="stored", frame=row.frame).meta
        if meta.units != "HU":
            raise ValueError(
                f"{row.path} is not in Hounsfield units, and `window` is: give --window file for "
                "the files' own windows, or --window minmax for each image's own range."
            )


def _phantom(config: Config, folder: Path) -> tuple[Path, Path, bytes]:
    """The phantom of this run; an interrupted one is made anew."""
    images = folder / f"phantom-{config.phantom}-{config.patients}-seed{config.seed}"
    if not images.exists():
        unfinished = images.with_name(images.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        make_ankle_phantom(
            unfinished, variant=config.phantom, patients=config.patients, seed=config.seed
        )
        unfinished.rename(images)
    return images, images / "labels.csv", SYNTHETIC_KEY
