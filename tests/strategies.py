"""Hypothesis strategies shared by the tests. One section per module."""

import math
from dataclasses import replace

import hypothesis.strategies as st
import torch
from torch import Tensor

from seattn.data.index import IndexRow

# ---- attention ------------------------------------------------------------------------------


@st.composite
def feature_maps(draw: st.DrawFn) -> Tensor:
    """Normal numbers (N, C, L), (N, C, H, W) or (N, C, D, H, W) in float64, down to one pixel.

    Seeds torch, so that the blocks a test then builds are part of the example.
    """
    batch, channels = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    space = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    torch.manual_seed(draw(st.integers(0, 2**16)))
    return torch.randn(batch, channels, *space, dtype=torch.float64) * 3


# ---- explain --------------------------------------------------------------------------------


@st.composite
def maps_and_masks(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """A batch of maps with many ties, some blank, and one of masks, some empty."""
    shape = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    count = torch.Size(shape).numel()
    levels = st.lists(st.sampled_from([0.0, 0.0, 0.1, 2.5, 1e-30]), min_size=count, max_size=count)
    marks = st.lists(st.booleans(), min_size=count, max_size=count)
    cam = torch.tensor(draw(levels), dtype=draw(st.sampled_from([torch.float32, torch.float64])))
    return cam.reshape(shape), torch.tensor(draw(marks)).reshape(shape)


# ---- metrics --------------------------------------------------------------------------------


@st.composite
def labels_and_scores(
    draw: st.DrawFn, *, min_each: int = 0
) -> tuple[list[int], list[float], list[int]]:
    """Labels 0 and 1 with ``min_each`` of both at least, scores with many ties, and patients.

    The scores are probabilities: a few levels, floats beside each other among them.
    """
    free = draw(st.lists(st.integers(0, 1), min_size=0 if min_each else 1, max_size=16))
    labels = draw(st.permutations(free + [0, 1] * min_each))
    levels = st.sampled_from([0.0, 0.25, 0.5, math.nextafter(0.5, 0), 0.7, 0.9, 1.0])
    n = len(labels)
    scores = draw(st.lists(levels, min_size=n, max_size=n))
    return labels, scores, draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))


@st.composite
def class_labels(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    """True and predicted labels of 2 to 5 classes, some of which have no case, and their number."""
    classes = draw(st.integers(2, 5))
    pairs = st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1))
    true, predicted = zip(*draw(st.lists(pairs, min_size=1, max_size=20)), strict=True)
    return list(true), list(predicted), classes


@st.composite
def class_probabilities(draw: st.DrawFn) -> tuple[list[int], list[list[float]]]:
    """Labels of 3 to 5 classes, each with a case, and rows of probabilities with many ties."""
    classes = draw(st.integers(3, 5))
    free = draw(st.lists(st.integers(0, classes - 1), max_size=12))
    labels = draw(st.permutations(free + list(range(classes))))
    weights = st.lists(st.integers(0, 3), min_size=classes, max_size=classes).filter(any)
    rows = [draw(weights) for _ in labels]
    return labels, [[w / sum(row) for w in row] for row in rows]


@st.composite
def findings(draw: st.DrawFn) -> tuple[list[list[int]], list[list[float]]]:
    """Rows of 2 to 4 findings, present together or not, some never, and their probabilities."""
    columns, cases = draw(st.integers(2, 4)), draw(st.integers(1, 10))
    present = st.lists(st.integers(0, 1), min_size=columns, max_size=columns)
    levels = st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.8]), min_size=columns, max_size=columns)
    return [draw(present) for _ in range(cases)], [draw(levels) for _ in range(cases)]


# ---- data -----------------------------------------------------------------------------------


@st.composite
def studies(draw: st.DrawFn) -> list[list[int]]:
    """For each patient the labels of the images: some of one class, some of several, 3 classes.

    Every class is there in enough patients for three parts.
    """
    labels = st.lists(st.integers(0, 2), min_size=1, max_size=4)
    return [[0], [1], [2]] * 5 + draw(st.lists(labels, max_size=15))


@st.composite
def archives(draw: st.DrawFn) -> list[IndexRow]:
    """Rows of 15 patients of one image, whose class is known, and of others who share things."""
    rows = [archive_row(k, f"lone {k}", label=k % 3) for k in range(15)]
    shared = st.tuples(*[st.sampled_from(["", "", "1", "2", "3", "4"])] * 3)
    others = st.tuples(st.integers(0, 9), shared, st.integers(0, 2))
    for k, (patient, (study, place, pixels), label) in enumerate(
        draw(st.lists(others, max_size=25)), start=15
    ):
        row = archive_row(k, f"patient {patient}", label=label)
        rows.append(replace(row, study=study, frame_of_reference=place, pixels=pixels))
    return rows


def archive_row(number: int, patient: str, *, label: int | None = None) -> IndexRow:
    """Make the row of a file that shares its patient alone."""
    return IndexRow(f"{number}.dcm", 0, patient, "", "", "axial", 8, 8, 128, 0, label)
