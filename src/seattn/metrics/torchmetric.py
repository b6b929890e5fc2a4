"""A metric of ours with the face of torchmetrics: ``pip install "seattn[torchmetrics]"``."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from seattn.metrics.predictions import Predictions

if TYPE_CHECKING:
    import torchmetrics
    from torch import Tensor

__all__ = ["as_torchmetric"]


def as_torchmetric(metric: Callable[..., float]) -> "torchmetrics.Metric":
    """Make a torchmetrics ``Metric`` that returns what the function returns for all cases.

    For loops, collections and loggers that expect one; ``Predictions`` needs no other library.
    ``update(preds, target, patients=None, ids=None)`` keeps the cases, ``compute()`` hands them to
    ``metric`` as ``y_true=``, ``y_score=`` and, where given, ``patients=``. torchmetrics
    synchronises tensors only: patients and ids are integers. Without ids the cases that a
    distributed sampler repeats count twice, as in every torchmetrics metric.

    Args:
        metric: A function of these arguments that returns a number: ``roc_auc``, ``brier``, or one
            of your own, which can be pickled if it is not a lambda.

    Returns:
        The metric; its ``compute()`` is a float64 tensor on the metric's device.

    Raises:
        ImportError: If torchmetrics is not installed.

    Examples:
        >>> import torch
        >>> from seattn.metrics import as_torchmetric, roc_auc
        >>> metric = as_torchmetric(roc_auc)  # doctest: +SKIP
        >>> metric.update(torch.tensor([0.9, 0.2]), torch.tensor([1, 0]))  # doctest: +SKIP
        >>> metric.compute()  # doctest: +SKIP
        tensor(1., dtype=torch.float64)
    """
    return _adapter()(metric)


@cache
def _adapter() -> "Callable[[Callable[..., float]], torchmetrics.Metric]":
    """The class; it is made here, so that nobody else needs torchmetrics."""
    import torch

    try:
        from torchmetrics import Metric
        from torchmetrics.utilities import dim_zero_cat
    except ImportError as error:
        raise ImportError(
            "`as_torchmetric` needs torchmetrics: pip install 'seattn[torchmetrics]'"
        ) from error

    # Of `Predictions.update`, and what torchmetrics calls them.
    arguments = {"y_true": "target", "y_score": "preds", "patients": "patients", "ids": "ids"}

    class Adapter(Metric):
        full_state_update = False

        def __init__(self, metric: Callable[..., float]) -> None:
            super().__init__()
            self.metric = metric
            for state in arguments.values():
                self.add_state(state, default=[], dist_reduce_fx="cat")

        def update(
            self,
            preds: "Tensor",
            target: "Tensor",
            patients: "Tensor | None" = None,
            ids: "Tensor | None" = None,
        ) -> None:
            given: dict[str, Any] = {
                "y_true": target,
                "y_score": preds,
                "patients": patients,
                "ids": ids,
            }
            Predictions().update(**given)  # refuses now what it would refuse after the epoch
            for name, values in given.items():
                if values is not None:
                    getattr(self, arguments[name]).append(values.detach())

        def compute(self) -> "Tensor":
            cases = Predictions()
            states = {name: getattr(self, state) for name, state in arguments.items()}
            cases.update(**{name: dim_zero_cat(s) for name, s in states.items() if len(s)})
            value = self.metric(**cases.cases())
            return torch.tensor(value, dtype=torch.float64, device=self.device)

        def __reduce__(self) -> tuple[Any, ...]:
            return as_torchmetric, (self.metric,), self.__getstate__()

    return Adapter
