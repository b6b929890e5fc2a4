"""A folder of synthetic patients: DICOM files, masks and labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seattn.data.phantom.dicom import write_ct
from seattn.data.phantom.plane import VIEWS
from seattn.data.phantom.render import check_request, render_ankle

__all__ = ["make_ankle_phantom"]


def make_ankle_phantom(
    folder: str | Path,
    *,
    patients: int = 329,
    seed: int = 0,
    size: int | None = None,
    variant: str = "full",
    views: Sequence[str] = tuple(VIEWS),
    prevalence: float = 85 / 329,
    difficulty: float = 1.0,
    confounder: float | None = None,
    progress: bool = True,
) -> Path:
    """Write a study of synthetic ankle CT: one slice per patient and view.

    The defaults are the numbers of Wang et al. (doi 10.1186/s12891-024-07355-8): 329 patients,
    85 with a fracture, three views each. Bones and soft tissue are implicit solids in mm, cut by
    one plane per image; see ``render_ankle`` for a single image in memory. The phantom is made
    for software: it is no substitute for patients, and no result on it is a clinical one.

    Variants:
        ``"full"``: the whole ankle, a field of 105 to 165 mm.

        ``"study"``: a region of interest of 58 mm around the site.

        ``"roi"``: a region of interest with pixels of 0.6 mm (38 mm at 64 pixels).

        In either region of interest the site of the fracture, or of the virtual one that every
        normal ankle has, is uniform over the central 70 % x 70 % of the image. The crop is thus
        placed by one who knows the site, in both classes alike.

    What the label changes: the break with its flakes and its blood, and soft-tissue swelling,
    present in 65 % of the fractured and 35 % of the normal ankles. That shortcut is meant, for
    lessons on heat maps, and ``confounder`` adds another. Everything else is drawn without regard
    to the label, and patient ``i`` of a seed is the same however many patients, views or variants
    are made.

    Difficulty: severity, gap and step-off (mm) of the fractures, medians with 10th and 90th
    percentile of 4,000; noise and anatomy stay as they are.

    ==========  ========  =====================  =====================
    difficulty  severity  gap                    step-off
    ==========  ========  =====================  =====================
    0.5         0.88      2.3 (1.0 to 3.3)       1.8 (0.5 to 4.0)
    1           0.44      1.4 (0.7 to 2.2)       1.0 (0.2 to 2.3)
    2           0.22      0.9 (0.6 to 1.4)       0.5 (0.1 to 1.2)
    4           0.11      0.7 (0.6 to 0.9)       0.2 (0.1 to 0.6)
    ==========  ========  =====================  =====================

    The confounder is a cast about the leg. Two folders of one seed that differ in ``confounder``
    alone hold the same ankles with the same breaks, and only the casts are dealt anew: train on
    one of 0.9, test on the other patients of one of 0.5. A cast shows in 84 % of the images of a
    patient who wears one in the variant "study", in all of "full", and in 37 % of "roi".

    ``labels.csv`` has a row per image:
        ``path``, ``mask`` (empty for normals): relative to ``folder``. Masks are ``.npy``
        arrays, uint8 of the size of the image, 1 in the fracture gap and within 1 mm of it; each
        shows at least 5 mm2, otherwise its plane is moved towards the site.

        ``label`` (0 or 1), ``patient``, ``view``, ``fracture_type`` ("weber_a", "weber_b",
        "weber_c", "medial", "posterior" or "none"), ``severity`` (0 hairline to 1.2; 0 for
        normals), ``swelling`` (0 or 1), ``side`` ("left" or "right"), ``cast`` (0 or 1).

        ``cast_mask``, with ``confounder`` only: a mask of the cast, empty where none shows.

    Args:
        folder: A new or empty folder.
        patients: Number of patients, at least 1.
        seed: 0 or more; the same seed gives the same bytes on the same machine and versions.
        size: Pixels along a side, 32 to 512; if None 512 (full), 224 (study) or 64 (roi).
        variant: "full", "study" or "roi".
        views: Any of "axial", "coronal", "sagittal".
        prevalence: Share of fractured patients, 0 to 1; their number is
            ``round(prevalence * patients)``.
        difficulty: Divides the severity of the fractures, which is at most 1.2; above 0.
        confounder: Chance of a cast on a fractured ankle, 0 to 1; on a normal one it is 1 minus
            that, so that the cast alone tells the label with this balanced accuracy. At 0.5 it
            tells nothing. If None, a cast is on 15 % of either.
        progress: Whether to show a progress bar.

    Returns:
        The path of ``labels.csv``.

    Raises:
        ValueError: If an argument is out of its range, or ``folder`` is not empty.

    Examples:
        >>> import tempfile
        >>> from seattn.data.phantom import make_ankle_phantom
        >>> folder = tempfile.mkdtemp()
        >>> labels = make_ankle_phantom(folder, patients=4, variant="roi", progress=False)
        >>> header, *rows = labels.read_text().splitlines()
        >>> len(rows), rows[0].split(",")[0]
        (12, 'SYN-0001/axial.dcm')
    """
    import csv

    from tqdm import tqdm

    size = check_request(views, variant, size, difficulty, seed, confounder)
    if patients < 1:
        raise ValueError(f"`patients` (={patients}) must be at least 1.")
    if not 0 <= prevalence <= 1:
        raise ValueError(f"`prevalence` (={prevalence}) must be between 0 and 1.")
    folder = Path(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(
            f"`folder` (={str(folder)!r}) must be new or empty: nothing is overwritten. "
            "Remove it or name another."
        )
    order = np.random.default_rng(seed).permutation(patients)
    fractured = set(order[: round(prevalence * patients)].tolist())
    rows = []
    for patient in tqdm(range(patients), unit="patient", disable=not progress):
        patient_id = f"SYN-{patient + 1:04d}"
        (folder / patient_id).mkdir(parents=True)
        fracture = patient in fractured
        for view in views:
            image = render_ankle(
                seed,
                fracture=fracture,
                patient=patient,
                view=view,
                variant=variant,
                size=size,
                difficulty=difficulty,
                confounder=confounder,
            )
            path = f"{patient_id}/{view}.dcm"
            identity = [seed, patient, variant, size, difficulty, fracture]
            if confounder is not None:
                identity.append(confounder)
            write_ct(folder / path, image, patient_id=patient_id, view=view, identity=identity)
            row = {
                "path": path,
                "label": int(fracture),
                "patient": patient_id,
                "mask": _save(image.mask, folder, f"masks/{patient_id}/{view}.npy"),
                "view": view,
                "fracture_type": image.injury.site if fracture else "none",
                "severity": round(image.injury.severity, 3) if fracture else 0,
                "swelling": int(image.ankle.swelling > 0),
                "side": "left" if image.ankle.left else "right",
                "cast": int(image.ankle.cast_hu is not None),
            }
            if confounder is not None:
                row["cast_mask"] = _save(image.cast, folder, f"casts/{patient_id}/{view}.npy")
            rows.append(row)
    labels = folder / "labels.csv"
    with labels.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return labels


def _save(mask: npt.NDArray[np.uint8], folder: Path, name: str) -> str:
    """Save a mask that marks something, and return the name that it has then, else ""."""
    if not mask.any():
        return ""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    np.save(folder / name, mask)
    return name
