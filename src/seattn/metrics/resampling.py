"""How often each patient is drawn: the random part of every bootstrap, by chunks of resamples."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from seattn.metrics.inputs import Flags, Scores
from seattn.metrics.weighted import Weighted

__all__ = [
    "check_resamples",
    "chunk_sizes",
    "percentile_interval",
    "replicates",
    "resampled_counts",
]

# Numbers of eight bytes that one array of a chunk may hold: one megabyte.
_CHUNK = 2**17


def replicates(
    forms: Sequence[Weighted], strata: Flags, *, resamples: int, seed: int, width: int
) -> Scores:
    """(values, resamples) of every form on the same resampled patients.

    A form gives one value per resample, (B,), or several, (M, B).
    """
    drawn = resampled_counts(strata, resamples=resamples, seed=seed, width=width)
    chunks = [np.vstack([form(counts) for form in forms]) for counts in drawn]
    return np.concatenate(chunks, axis=1)


def percentile_interval(
    value: float, drawn: Scores, strata: Flags, level: float
) -> tuple[float, float, str | None]:
    """The ends between which ``level`` of the resamples lie, and what there is to say about it."""
    sizes = np.bincount(strata)
    defined = drawn[~np.isnan(drawn)]
    left_out = len(drawn) - len(defined)
    if math.isnan(value):
        reason = "not defined on these cases"
    elif 1 in sizes:
        reason = "no interval: a stratum of one patient is the same in every resample"
    elif left_out > len(drawn) * (1 - level) / 2:
        # They may all belong to one tail, as the resamples without a false positive do, in which
        # the positive likelihood ratio has no bound.
        reason = f"no interval: {left_out} of {len(drawn)} resamples undefined"
    elif np.ptp(defined) == 0:
        reason = "no interval: the same value in every resample"
    else:
        low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]).tolist()
        return low, high, f"{left_out} resamples undefined, left out" if left_out else None
    return math.nan, math.nan, reason


def resampled_counts(strata: Flags, *, resamples: int, seed: int, width: int) -> Iterator[Scores]:
    """Draw patients with replacement, as many of each stratum as there are.

    Each stratum has a stream of random numbers of its own, so that the counts do not depend on the
    sizes of the chunks.

    Args:
        strata: (I,) the stratum of each patient.
        resamples: Resamples in all.
        seed: Of the random numbers.
        width: Numbers per resample in the arrays that the counts will make.

    Yields:
        (chunk, I) whole numbers: how often each patient was drawn.
    """
    members = [np.flatnonzero(strata == value) for value in (False, True)]
    streams = [np.random.default_rng([seed, k]) for k in range(len(members))]
    for size in chunk_sizes(resamples, width):
        counts = np.zeros((size, len(strata)))
        for patients, stream in zip(members, streams, strict=True):
            if patients.size:
                drawn = stream.integers(0, patients.size, (size, patients.size))
                drawn += patients.size * np.arange(size)[:, None]
                found = np.bincount(drawn.ravel(), minlength=size * patients.size)
                counts[:, patients] = found.reshape(size, patients.size)
        yield counts


def chunk_sizes(total: int, width: int) -> Iterator[int]:
    """The sizes of the chunks that make up ``total`` rows of ``width`` numbers."""
    chunk = max(1, _CHUNK // width)
    yield from (min(chunk, total - start) for start in range(0, total, chunk))


def check_resamples(name: str, value: int) -> None:
    """Refuse a number of resamples below 100, from which no interval can be read."""
    if value < 100:
        raise ValueError(f"`{name}` (={value}) must be 100 or more, for example 2000.")
