"""Deals groups of patients to parts of given sizes, and evens out images and classes by exchange.

A group is a row of ``images``: its images of each class, and in the last column all of them.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

__all__ = ["apportion", "deal", "exchange"]

_CANDIDATES = 256
"""Groups of each part considered for an exchange; in larger parts the deal alone is balanced."""


def apportion(number: int, fractions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Share out a number of groups by the method of the largest remainder."""
    quota = np.round(number * fractions, 6)  # 0.2 * 5 is 1, whatever the last bit says
    sizes = np.floor(quota).astype(np.int64)
    behind = np.argsort(sizes - quota, kind="stable")
    sizes[behind[: number - sizes.sum()]] += 1
    return sizes


def deal(
    images: NDArray[np.int64],
    part: NDArray[np.int64],
    free: NDArray[np.int64],
    draw: np.random.Generator,
) -> NDArray[np.int64]:
    """Give each part its number of groups, among them one of every class if there are enough.

    Args:
        images: Images of each group.
        part: The part of each group, -1 for those that are to be dealt.
        free: How many groups each part takes, as many as there are to be dealt.
        draw: Where chance comes from.

    Returns:
        The part of each group.
    """
    part, free = part.copy(), free.copy()
    has = images > 0
    for label in np.argsort(has.sum(0), kind="stable"):  # the rarest class first
        for p in range(len(free)):
            left = np.flatnonzero(has[:, label] & (part < 0))
            if free[p] and left.size and not has[part == p, label].any():
                part[left[0]] = p
                free[p] -= 1
    # The others, sorted so that like follows like, are dealt round: a part that still takes n has
    # one turn in each n-th of them, at random within it.
    others = np.flatnonzero(part < 0)
    others = others[np.lexsort(images[others, ::-1].T)]
    turn = np.concatenate([(np.arange(count) + draw.random(count)) / count for count in free])
    owner = np.repeat(np.arange(len(free)), free)
    part[others] = owner[np.argsort(turn, kind="stable")]
    return part


def exchange(
    part: NDArray[np.int64],
    images: NDArray[np.int64],
    patients: NDArray[np.int64],
    fractions: NDArray[np.float64],
    movable: NDArray[np.bool_],
    holder_weight: float,
) -> None:
    """Let pairs of groups change places, the best pair first, while that improves the balance.

    The imbalance is the sum, over the parts and over the columns of images, of groups with a class
    and of patients, of the squared difference between the part's share of the column and its
    fraction, for the last two kinds times ``holder_weight`` squared.

    Args:
        part: The part of each group, changed in place.
        images: Images of each group.
        patients: Patients of each group.
        fractions: The share of each part.
        movable: Which groups may change places.
        holder_weight: How much it matters who has images, beside how many.
    """
    has = images > 0
    counts = np.concatenate([images, has[:, :-1], patients[:, None]], axis=1)
    weight = np.where(np.arange(counts.shape[1]) < images.shape[1], 1.0, holder_weight)
    share = weight * counts / np.maximum(counts.sum(0), 1)  # what each group holds of each column
    while True:
        members = [np.flatnonzero(part == p) for p in range(len(fractions))]
        excess = [
            share[each].sum(0) - weight * wanted
            for each, wanted in zip(members, fractions, strict=True)
        ]
        candidates = [each[movable[each]][:_CANDIDATES] for each in members]
        best_gain, pair = 0.0, [0, 0]
        for p, q in itertools.combinations(range(len(fractions)), 2):
            a, b = candidates[p], candidates[q]
            if not (a.size and b.size):
                continue
            # With d = share[a] - share[b], |e_p|^2 + |e_q|^2 falls by 2 (d . (e_p - e_q) - |d|^2).
            slope = excess[p] - excess[q]
            gain = (
                (share[a] @ slope - (share[a] ** 2).sum(1))[:, None]
                - (share[b] @ slope + (share[b] ** 2).sum(1))
                + 2 * share[a] @ share[b].T
            )
            # The last group of a class in a part leaves it for none but another of that class.
            last_a = has[a] & (has[members[p]].sum(0) == 1)
            last_b = has[b] & (has[members[q]].sum(0) == 1)
            gain[last_a @ ~has[b].T | ~has[a] @ last_b.T] = 0
            gain = np.round(gain, 12)  # so that the last bits of a sum do not choose between equals
            i, j = np.unravel_index(gain.argmax(), gain.shape)
            if gain[i, j] > best_gain:
                best_gain, pair = gain[i, j], [int(a[i]), int(b[j])]
        if best_gain == 0:
            return
        part[pair] = part[pair[::-1]]
