"""Part of the report: settings, versions, splits, seconds."""

from __future__ import annotations

import platform

import numpy as np
import pydicom
import torch

import seattn
from examples.ankle_fracture.config import shareable
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.protocol import choices
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.part import Part

__all__ = ["part"]

OF_FOLDERS = ("images", "labels", "boxes", "classes", "subgroups")
OF_PHANTOMS = ("task", "phantom", "patients", "prevalence", "difficulty", "confounder")


def part(findings: Findings) -> Part:
    """What it takes to do the same again."""
    decided = {f.name for f in choices()}
    config = findings.config
    decided.update(OF_FOLDERS if config.images is None else OF_PHANTOMS)
    settings = [
        (name, str(value)) for name, value in shareable(config).items() if name not in decided
    ]
    settings.append(("processes", str(findings.processes)))
    versions = _versions()
    body = [
        html.table(("choice", "value"), settings),
        html.table(("package", "version"), versions.items()),
        _splits(findings),
        html.paragraph(
            "Split by patient. The test images were shown to each network once, when its "
            "weights, calibration and thresholds were fixed. "
            f"{findings.seconds:.0f} seconds in all. "
            "Method: Wang et al. 2024, doi 10.1186/s12891-024-07355-8."
        ),
    ]
    return Part(
        "How it was made", body, {"versions": versions, "seconds": round(findings.seconds, 1)}
    )


def _versions() -> dict[str, str]:
    modules = (seattn, torch, np, pydicom)
    found = {module.__name__: str(module.__version__) for module in modules}
    return found | {"python": platform.python_version()}


def _splits(findings: Findings) -> str:
    """The hash of each seed's split: equal hashes, equal patients in each part."""
    rows = [(str(each.seed), each.cohort.split_hash) for each in findings.replicates]
    return html.table(("seed", "hash of the split"), rows)
