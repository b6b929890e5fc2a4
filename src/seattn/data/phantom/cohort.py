"""A folder of synthetic patients: DICOM files, masks and labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

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
    lessons on heat maps. Everything else is drawn without regard to the label, and patient ``i``
    of a seed is the same however many patients, views or variants are made.

    ``labels.csv`` has a row per image:
        ``path``, ``mask`` (empty for normals): relative to ``folder``. Masks are ``.npy``
        arrays, uint8 of the size of the image, 1 in the fracture gap and within 1 mm of it; each
        shows at least 5 mm2, otherwise its plane is moved towards the site.

        ``label`` (0 or 1), ``patient``, ``view``, ``fracture_type`` ("weber_a", "weber_b",
        "weber_c", "medial", "posterior" or "none"), ``severity`` (0 hairline to 1.2; 0 for
        normals), ``swelling`` (0 or 1).

    Args:
        folder: A new or empty folder.
        patients: Number of patients, at least 1.
        seed: 0 or more; the same seed gives the same bytes on the same machine and versions.
        size: Pixels along a side, 32 to 512; if None 512 (full), 224 (study) or 64 (roi).
        variant: "full", "study" or "roi".
        views: Any of "axial", "coronal", "sagittal".
        prevalence: Share of fractured patients, 0 to 1; their number is
            ``round(prevalence * patients)``.
        difficulty: Divides the severity of the fractures; above 0.
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

    size = check_request(views, variant, size, difficulty, seed)
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
            )
            path = f"{patient_id}/{view}.dcm"
            mask = f"masks/{patient_id}/{view}.npy" if fracture else ""
            identity = (seed, patient, variant, size, difficulty, fracture)
            write_ct(folder / path, image, patient_id=patient_id, view=view, identity=identity)
            if fracture:
                (folder / mask).parent.mkdir(parents=True, exist_ok=True)
                np.save(folder / mask, image.mask)
            rows.append(
                {
                    "path": path,
                    "label": int(fracture),
                    "patient": patient_id,
                    "mask": mask,
                    "view": view,
                    "fracture_type": image.injury.site if fracture else "none",
                    "severity": round(image.injury.severity, 3) if fracture else 0,
                    "swelling": int(image.ankle.swelling > 0),
                }
            )
    labels = folder / "labels.csv"
    with labels.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return labels
