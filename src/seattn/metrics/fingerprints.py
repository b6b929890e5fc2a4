"""Which cases a number was chosen on: a hash that tells whether others are the same."""

import hashlib

import numpy as np

from seattn.metrics.inputs import Flags, Labels, Scores

__all__ = ["fingerprint"]


def fingerprint(labels: Labels | Flags, scores: Scores) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the cases, in any order.

    Args:
        labels: (N,) labels.
        scores: (N,) or (N, K) scores.
    """
    # Adding 0.0 makes one zero of the two.
    rows = np.column_stack([labels.astype(np.float64), scores]) + 0.0
    ordered = rows[np.lexsort(rows.T)]
    shape = f"{ordered.shape}".encode()
    return hashlib.sha256(shape + ordered.astype("<f8").tobytes()).hexdigest()[:16]
