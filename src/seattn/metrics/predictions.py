"""Labels and scores collected batch by batch, and from every process, each case once."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seattn.metrics.batches import Batch, check_alike, each_once, joined
from seattn.metrics.inputs import Labels, Scores, as_identifiers, binary_scores, class_scores
from seattn.metrics.prediction_files import read_csv, write_csv

if TYPE_CHECKING:
    import torch

__all__ = ["Predictions"]


class Predictions:
    """Collects the cases of an evaluation, of any batch size and on any device.

    Metrics of ranks and intervals need all cases at once, so all are kept, on the CPU, as float64.
    With ``ids`` cases come out in the order of the ids, and one that came several times, as the
    padding of a distributed sampler does, comes out once. Without them they come out as they came
    in.

    Examples:
        >>> import torch
        >>> from seattn.metrics import Predictions, binary_report, roc_auc
        >>> predictions = Predictions()
        >>> for start in (0, 2):  # batches of a loader
        ...     predictions.update(
        ...         y_true=torch.tensor([0, 1]),
        ...         y_score=torch.tensor([0.2, 0.9]),
        ...         patients=["a", "b"],
        ...         ids=torch.arange(start, start + 2),
        ...     )
        >>> len(predictions), roc_auc(y_true=predictions.y_true, y_score=predictions.y_score)
        (4, 1.0)
        >>> binary_report(**predictions.gather().cases()).n_patients  # of every process
        2
    """

    def __init__(self) -> None:
        self._batches: list[Batch] = []

    def update(
        self,
        *,
        y_true: npt.ArrayLike,
        y_score: npt.ArrayLike,
        patients: npt.ArrayLike | None = None,
        ids: npt.ArrayLike | None = None,
    ) -> None:
        """Add a batch.

        Args:
            y_true: Labels, 0 or 1 for (N,) scores, 0 .. K - 1 for (N, K).
            y_score: Any finite scores, probabilities or logits; nothing is done to them.
            patients: The patient of each case, numbers or strings.
            ids: Something of each case that no other case has, such as its place in the dataset.

        Shape:
            ``y_true``, ``patients`` and ``ids`` (N,), ``y_score`` (N,) or (N, K).

        Raises:
            TypeError: If labels or scores are not numbers, or identifiers are mixed.
            ValueError: If an argument is empty, not finite, of another shape or length; if an
                identifier is missing; or if the batch is not like those before: other columns, or
                patients or ids that came before and do not now.
        """
        check = class_scores if np.ndim(y_score) == 2 else binary_scores
        labels, scores = check(y_true, y_score)
        n = len(labels)
        batch = Batch(  # of copies: the caller may fill its arrays anew
            y_true=labels.astype(np.int64),
            y_score=scores.copy(),
            patients=None if patients is None else as_identifiers("patients", patients, n).copy(),
            ids=None if ids is None else as_identifiers("ids", ids, n).copy(),
        )
        if self._batches:
            check_alike(self._batches[0], batch)
        self._batches.append(batch)

    def reset(self) -> None:
        """Forget all cases, as before a new epoch."""
        self._batches.clear()

    def gather(self, group: "torch.distributed.ProcessGroup | None" = None) -> "Predictions":
        """The cases of all processes, in every process; without processes, those of this one.

        All processes must call it. This object is left alone. The order of the ids is the order of
        the result, so it does not depend on which process had what.

        Args:
            group: The processes, or ``None`` for all.

        Raises:
            ValueError: With several processes and no ids: the cases that a sampler repeats to fill
                up the last process could not be told from others.
        """
        from torch import distributed

        gathered = Predictions()
        gathered._batches = list(self._batches)
        if not (distributed.is_available() and distributed.is_initialized()):
            return gathered
        of_each: list[list[Batch]] = [[] for _ in range(distributed.get_world_size(group))]
        own = [joined(self._batches)] if self._batches else []
        distributed.all_gather_object(of_each, own, group=group)
        gathered._batches = [batch for batches in of_each for batch in batches]
        # Checked after the exchange, so that no process waits for one that raised.
        for batch in gathered._batches:
            check_alike(gathered._batches[0], batch)
            if batch.ids is None and len(of_each) > 1:
                raise ValueError(
                    "`ids` are needed to gather from several processes: samplers repeat cases to "
                    "fill up the last, and those must count once. Pass `ids=` to `update`, such as "
                    "places in the dataset."
                )
        return gathered

    def cases(self) -> dict[str, npt.NDArray[Any]]:
        """``y_true``, ``y_score`` and, where given, ``patients``: the arguments of a report."""
        all_cases = self._cases()
        named: dict[str, npt.NDArray[Any]] = {
            "y_true": all_cases.y_true,
            "y_score": all_cases.y_score,
        }
        if all_cases.patients is not None:
            named["patients"] = all_cases.patients
        return named

    def to_csv(self, path: str | Path) -> None:
        """Write a line per case: ``id`` and ``patient`` where given, ``y_true``, and the scores.

        The scores are one column ``y_score``, or ``y_score_0``, ``y_score_1``, ... The file holds
        the identifiers as ``update`` got them: pass pseudonyms where it leaves the house.

        Args:
            path: The file; one that exists is replaced.
        """
        write_csv(path, self._cases())

    @classmethod
    def from_csv(cls, path: str | Path) -> "Predictions":
        """Read what ``to_csv`` wrote, with every digit.

        Identifiers that are whole numbers in all lines become integers, others strings.

        Args:
            path: A file with columns ``y_true`` and ``y_score``, or ``y_score_0`` and on, and
                perhaps ``patient`` and ``id``; others are left out.

        Raises:
            ValueError: If a column is missing, the file has no cases, or ``update`` refuses them.
        """
        predictions = cls()
        predictions.update(**read_csv(path))
        return predictions

    @property
    def y_true(self) -> Labels:
        """(N,) labels."""
        return self._cases().y_true

    @property
    def y_score(self) -> Scores:
        """(N,) or (N, K) scores."""
        return self._cases().y_score

    @property
    def patients(self) -> npt.NDArray[Any] | None:
        """(N,) patients, or ``None``."""
        return self._cases().patients

    @property
    def ids(self) -> npt.NDArray[Any] | None:
        """(N,) ids, in increasing order, or ``None``."""
        return self._cases().ids

    def __len__(self) -> int:
        """The number of cases, each counted once."""
        return len(self._cases().y_true) if self._batches else 0

    def _cases(self) -> Batch:
        if not self._batches:
            raise ValueError("these predictions are empty; `update` adds a batch.")
        self._batches = [each_once(joined(self._batches))]
        return self._batches[0]
