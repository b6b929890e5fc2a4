"""The three parts of a run: the images of a source, checked, split by patient, decoded."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from examples.ankle_fracture.attributes import Attributes, of_index
from examples.ankle_fracture.config import Config
from examples.ankle_fracture.sources import Source, from_folder, from_phantom
from seattn.data import DicomDataset, DicomIndex, IndexRow, read_dicom, split_by_patient, split_hash

__all__ = ["Cohort", "gather"]


@dataclass(frozen=True)
class Cohort:
    """Three datasets without a patient in common.

    Args:
        train, val, test: The parts.
        class_names: In the order of the labels; for two classes the second is the positive one.
        source: One sentence for the report.
        scanned: Every image of the source, before labels, and the files without one.
        confounded_test: With a confounder: the test patients with casts dealt as in training, what
            a study of one hospital would test on. In ``test`` they tell nothing.
        attributes: What else the source says of its images.
        casts: With a confounder: the images of ``test`` that show a cast, with the cast for their
            mask; None where none does.
    """

    train: DicomDataset
    val: DicomDataset
    test: DicomDataset
    class_names: tuple[str, ...]
    source: str
    scanned: DicomIndex
    confounded_test: DicomDataset | None = None
    attributes: Attributes = field(default_factory=dict, repr=False)
    casts: DicomDataset | None = None

    @property
    def parts(self) -> dict[str, DicomDataset]:
        """The parts by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    @property
    def index_report(self) -> str:
        """What the index read, passed over and refused, as text."""
        return self.scanned.report()

    @property
    def split_hash(self) -> str:
        """Digest of which patient is in which part."""
        return split_hash([dataset.index for dataset in self.parts.values()])

    @property
    def digest(self) -> str:
        """Digest of everything that a run rests on: files, patients, labels, masks and parts.

        Of contents, not of where they lie or when they were written: a copied run goes on.
        """
        rows = [
            (part, asdict(row) | {"mtime_ns": 0, "mask": _mask_digest(data.index.root, row)})
            for part, data in self.parts.items()
            for row in data.index.rows
        ]
        return hashlib.blake2b(repr(rows).encode(), digest_size=16).hexdigest()

    def labels(self, part: str) -> list[int]:
        """Class numbers of the images of a part."""
        return [row.label for row in self.parts[part].index.rows if row.label is not None]

    def attributes_of(self, part: str) -> dict[str, list[str]]:
        """By attribute, "view" the first: the word of each image of a part, "" for none."""
        return of_index(self.attributes, self.parts[part].index)

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
        ] + ([f"positive class: {self.class_names[1]}"] if len(self.class_names) == 2 else [])


def gather(config: Config, folder: Path) -> Cohort:
    """Makes or finds the images and refuses, before anything is trained, what cannot be studied.

    Args:
        config: The run's choices.
        folder: The run's folder; the phantom and the decoded cache go below it.

    Raises:
        seattn.data.DicomError: Damaged files, missing labels, a part without one of the classes.
        ValueError: A folder without DICOM images, or fewer than two classes.
    """
    source = _find(config, folder)
    print(source.scanned.report(), flush=True)
    index = source.index
    if len(index.classes) < 2:
        raise ValueError(f"the labels name one class, {index.classes[0]}; a classifier needs two.")
    if not isinstance(config.window, str):
        _check_hounsfield(index)
    parts = source.parts or split_by_patient(index, *config.fractions, seed=config.seed)

    def decode(part: DicomIndex) -> DicomDataset:
        return DicomDataset(
            part,
            size=config.size,
            units="minmax" if config.window == "minmax" else "window",
            window=None if isinstance(config.window, str) else config.window,
            bone_mask=config.bone_mask,
            cache=folder / "cache",
        )

    train, val, test = map(decode, parts)
    confounded = casts = None
    if source.retest is not None and source.casts is not None:
        paths = {row.path for row in test.index.rows}
        confounded, test = test, decode(source.retest.filter(lambda row: row.path in paths))
        worn = source.casts.filter(lambda row: row.path in paths)
        casts = decode(worn) if worn.rows else None
    return Cohort(
        train,
        val,
        test,
        source.class_names,
        source.description,
        source.scanned,
        confounded,
        source.attributes,
        casts,
    )


def _mask_digest(root: Path, row: IndexRow) -> str | None:
    if row.mask is None:
        return None
    return hashlib.blake2b((root / row.mask).read_bytes(), digest_size=16).hexdigest()


def _find(config: Config, folder: Path) -> Source:
    if config.images is None:
        return from_phantom(
            folder,
            variant=config.phantom,
            patients=config.patients,
            seed=config.seed,
            prevalence=config.prevalence,
            difficulty=config.difficulty,
            confounder=config.confounder,
            task=config.task,
        )
    return from_folder(
        Path(config.images),
        None if config.labels is None else Path(config.labels),
        boxes=None if config.boxes is None else Path(config.boxes),
        classes=config.classes,
        subgroups=config.subgroups,
        folder=folder,
    )


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
