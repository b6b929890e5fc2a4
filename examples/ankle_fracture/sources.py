"""Where the images of a run come from: the phantom, or any folder with a table of labels."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from examples.ankle_fracture.attributes import Attributes, column, of_phantom, of_table
from examples.ankle_fracture.boxes import with_boxes
from seattn.data import DicomIndex, check_splits, make_ankle_phantom

__all__ = ["PARTS", "PREVALENCE", "TASKS", "Source", "from_folder", "from_phantom"]

PARTS = ("train", "val", "test")
PREVALENCE = 85 / 329
SYNTHETIC_KEY = b"the phantom's patients are nobody"
TASKS = {  # name: the classes, and what the phantom calls them
    "fracture": {"normal": "0", "fracture": "1"},
    "weber": {"none": "none", "A": "weber_a", "B": "weber_b", "C": "weber_c"},
}


@dataclass(frozen=True)
class Source:
    """Images with labels, and maybe masks, of which a run makes its three parts.

    Args:
        index: The images.
        class_names: In the order of the labels; of two the second is the positive one.
        description: One sentence for the report.
        scanned: Every image below the folder, before labels, and the files without one.
        parts: Training, validation and test images where the source says which are which; None
            leaves that to the run.
        retest: The same patients in the same order with casts that tell nothing of the fracture:
            where those of ``index`` do, the test images come from here.
        attributes: What else the table says of the images of both, for subgroups.
        casts: Those images of ``retest`` that show a cast, with the cast for their mask.
    """

    index: DicomIndex
    class_names: tuple[str, ...]
    description: str
    scanned: DicomIndex
    parts: tuple[DicomIndex, ...] | None = None
    retest: DicomIndex | None = None
    attributes: Attributes = field(default_factory=dict, repr=False)
    casts: DicomIndex | None = None


def from_phantom(
    folder: Path,
    *,
    variant: str = "roi",
    patients: int = 329,
    seed: int = 0,
    prevalence: float = PREVALENCE,
    difficulty: float = 1.0,
    confounder: float | None = None,
    task: str = "fracture",
) -> Source:
    """Make a phantom, or find it below ``folder``; see ``seattn.data.make_ankle_phantom``.

    Args:
        folder: Where phantoms lie; an interrupted one is made anew.
        variant: "full", "study" or "roi".
        patients: How many.
        seed: Draws them.
        prevalence: Share of the fractured.
        difficulty: Divides the severity of the fractures.
        confounder: Chance of a cast on the fractured, and 1 minus that of one on the others, in
            training and validation; in the test it is 0.5, with ``Source.retest``.
        task: "fracture", or "weber" for none, A, B, C of Danis and Weber; the ankles with another
            fracture are left out.
    """
    if task not in TASKS:
        raise ValueError(f"`task` (={task!r}) must be one of {', '.join(TASKS)}.")

    def make(casts: float | None) -> DicomIndex:
        options = (
            ("prevalence", prevalence, PREVALENCE),
            ("difficulty", difficulty, 1.0),
            ("confounder", casts, None),
        )
        name = f"phantom-{variant}-{patients}-seed{seed}" + "".join(
            f"-{option}{value}" for option, value, usual in options if value != usual
        )
        images, unfinished = folder / name, folder / f"{name}.unfinished"
        if not images.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            make_ankle_phantom(
                unfinished,
                variant=variant,
                patients=patients,
                seed=seed,
                prevalence=prevalence,
                difficulty=difficulty,
                confounder=casts,
            )
            unfinished.rename(images)
        return DicomIndex.scan(images, key=SYNTHETIC_KEY)

    def label(index: DicomIndex) -> DicomIndex:
        table = index.root / "labels.csv"
        index = index.with_labels(table, key=SYNTHETIC_KEY)
        head = "fracture_type" if task == "weber" else "label"
        return _relabel(index, column(table, index, head), TASKS[task])

    index = make(confounder)
    retest = None if confounder is None else label(make(0.5))
    casts = None if retest is None else _casts_as_masks(retest)
    description = (
        f"synthetic: phantom variant '{variant}', {patients} patients, three views, seed {seed}, "
        f"prevalence {prevalence:.3g}, difficulty {difficulty:g}; {_casts(confounder)}no patient, "
        "no real image"
    )
    attributes = of_phantom(index)
    if retest is not None:
        others = of_phantom(retest)
        attributes = {name: {**words, **others[name]} for name, words in attributes.items()}
    return Source(
        label(index),
        tuple(TASKS[task]),
        description,
        index,
        retest=retest,
        attributes=attributes,
        casts=casts,
    )


def from_folder(
    images: Path,
    labels: Path | None = None,
    *,
    boxes: Path | None = None,
    classes: Sequence[str] | None = None,
    subgroups: Sequence[str] = (),
    folder: Path,
) -> Source:
    """Find the images of a folder and what a table says about them.

    The table is that of ``DicomIndex.with_labels``, with two columns more that it may have:
    ``split`` (train, val or test) says which part an image is in, and ``class`` names its label
    for the report.

    Args:
        images: Folder of DICOM files.
        labels: CSV file; by default labels.csv in the folder.
        boxes: CSV file for ``with_boxes``, instead of the masks of the table.
        classes: The labels in order; None takes them in numerical or alphabetical order.
        subgroups: Further columns of the table, whose words are groups of images.
        folder: The run's own folder, which must not lie among the images.

    Raises:
        seattn.data.DicomError: Damaged files, missing labels, patients in two of the parts.
        ValueError: A file is missing, the folder holds no image, or a column does not hold what it
            should.
    """
    labels = images / "labels.csv" if labels is None else labels
    for name, file in {"labels": labels, "boxes": boxes}.items():
        if file is not None and not file.is_file():
            raise ValueError(f"`{name}` (='{file}') is no file: give the CSV.")
    if folder.resolve().is_relative_to(images.resolve()):
        raise ValueError(f"--out (='{folder}') lies among `images`: results go elsewhere.")
    scanned = DicomIndex.scan(images)
    if not scanned.rows:
        raise ValueError(
            "`images` holds no DICOM image: give the folder that holds the .dcm files."
        )
    index = scanned.with_labels(labels, classes=classes)
    if boxes is not None:
        index = with_boxes(index, boxes, folder / "boxes")
    parts = _given_parts(labels, index)
    source = "your own folder of DICOM files" + (
        "" if parts is None else ", in the parts that its table gives"
    )
    attributes = of_table(labels, index, subgroups)
    names = _class_names(labels, index)
    return Source(index, names, source, scanned, parts, attributes=attributes)


def _casts(confounder: float | None) -> str:
    if confounder is None:
        return ""
    return (
        f"in training and validation casts on {confounder:.0%} of the fractured and "
        f"{1 - confounder:.0%} of the other patients, in the test on half of either; "
    )


def _casts_as_masks(index: DicomIndex) -> DicomIndex:
    """The images that show a cast, with the cast for their mask."""
    masks = column(index.root / "labels.csv", index, "cast_mask") or [""] * len(index.rows)
    rows = (replace(row, mask=mask) for row, mask in zip(index.rows, masks, strict=True) if mask)
    return replace(index, rows=tuple(rows))


def _relabel(index: DicomIndex, words: list[str], classes: dict[str, str]) -> DicomIndex:
    """Give each image the class that its word stands for; without one it is left out."""
    order = list(classes.values())
    rows = [
        replace(row, label=order.index(word))
        for row, word in zip(index.rows, words, strict=True)
        if word in order
    ]
    return replace(index, rows=tuple(rows), classes=tuple(classes))


def _given_parts(labels: Path, index: DicomIndex) -> tuple[DicomIndex, ...] | None:
    """The parts that the table gives, if it has a column for them."""
    if not (words := column(labels, index, "split")):
        return None
    if other := sorted(set(words).difference(PARTS)):
        raise ValueError(
            f"'{labels}': the column split holds {other[0]!r}, and must hold train, val or test "
            "in each line; rename or empty it to let the run divide the patients."
        )
    parts = tuple(index.subset(i for i, word in enumerate(words) if word == part) for part in PARTS)
    check_splits(parts).raise_if_bad()
    return parts


def _class_names(labels: Path, index: DicomIndex) -> tuple[str, ...]:
    """The column ``class`` if there is one, else the labels themselves."""
    if not (words := column(labels, index, "class")):
        return index.classes
    pairs = {(row.label, word) for row, word in zip(index.rows, words, strict=True)}
    if len(pairs) != len(index.classes) or len({word for _, word in pairs}) != len(pairs):
        raise ValueError(f"'{labels}': the column class must name each label by one word.")
    return tuple(word for _, word in sorted(pairs, key=lambda pair: pair[0] or 0))
