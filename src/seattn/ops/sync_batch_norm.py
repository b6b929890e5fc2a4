"""Batch norm whose training statistics are those of the batches of all processes.

Ioffe & Szegedy, "Batch Normalization", arXiv 1502.03167, algorithm 1, whose mini-batch is that of
every process.
"""

import copy
from typing import Any, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from seattn.ops.reference import statistics_dtype
from seattn.ops.statistics import all_sum, gather_moments, move_running_statistics

__all__ = ["SyncBatchNorm", "group_of"]

Module = TypeVar("Module", bound=nn.Module)


class SyncBatchNorm(_BatchNorm):
    """``BatchNorm1d``, ``2d`` or ``3d`` over the batches of all processes of a group, as one batch.

    Ioffe & Szegedy, arXiv 1502.03167, algorithm 1. Arguments and state dict are those of
    ``torch.nn.BatchNorm2d``. It runs wherever the process group does, on CPUs too, and
    ``torch.compile(fullgraph=True)`` takes it, unlike ``torch.nn.SyncBatchNorm``.

    In training each process gathers count, mean and centred sum of squares of all, in float32
    (float64 of float64), and backward sums two vectors: one exchange each way. Gradients are those
    of the sum of all processes' losses. All processes must call it alike; their batches may differ
    in size and be empty. With fewer than two values a channel in all of them together the running
    statistics stay. In evaluation, and without other processes, it is ``torch.nn.BatchNorm2d``.
    A second derivative in training is an error.

    Args:
        num_features: C.
        eps: Added to the variance.
        momentum: Weight of a new batch in the running statistics; None: their plain mean.
        affine: Whether there are weight and bias.
        track_running_stats: Whether there are running statistics.
        process_group: The processes; None: all. Copies of the module share it.
        device: Of parameters and buffers.
        dtype: Of parameters and buffers.

    Shape:
        ``(N, C, *spatial)`` in each process, to the same.

    Raises:
        ValueError: The input has no second dimension, or another size of it than C.

    Examples:
        >>> import torch
        >>> from seattn.ops import SyncBatchNorm
        >>> norm = SyncBatchNorm(8)
        >>> norm(torch.randn(4, 8, 5, 5)).shape  # one process
        torch.Size([4, 8, 5, 5])
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: "dist.ProcessGroup | None" = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        self.process_group = process_group

    @classmethod
    def convert_sync_batchnorm(
        cls, module: Module, process_group: "dist.ProcessGroup | None" = None
    ) -> Module:
        """Make every batch norm of a network one of these, in place.

        Parameters, statistics, options, hooks, names and the modules themselves stay.

        Args:
            module: The network, before DistributedDataParallel or ``torch.compile`` wrap it.
            process_group: The processes; None: all.

        Returns:
            ``module``.

        Raises:
            TypeError: A batch norm is a subclass of torch's, which may do more; nothing is changed.

        Examples:
            >>> import seattn
            >>> from seattn.ops import SyncBatchNorm
            >>> network = SyncBatchNorm.convert_sync_batchnorm(seattn.se_resnet18())
            >>> type(network.bn1).__name__
            'SyncBatchNorm'
        """
        kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, cls)
        norms = {k: m for k, m in module.named_modules() if isinstance(m, _BatchNorm)}
        for name, norm in norms.items():
            if type(norm) not in kinds:
                raise TypeError(
                    f"`module` has a {type(norm).__name__} at '{name}', which may do more than "
                    "torch's batch norms; put a SyncBatchNorm in its place yourself"
                )
        for norm in norms.values():
            norm.__class__ = cls
            norm.process_group = process_group  # type: ignore[assignment]
        return module

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2 or input.shape[1] != self.num_features:
            raise ValueError(
                f"`input` (of shape {tuple(input.shape)}) must be (N, C, *spatial) with "
                f"C = `num_features` (={self.num_features})"
            )

    def forward(self, input: Tensor) -> Tensor:
        """Return the input of this process, normalised by the statistics of all."""
        group = group_of(self)
        if group is None:
            return super().forward(input)
        self._check_input_dim(input)
        y, *moments = _Normalise.apply(input, self.weight, self.bias, self.eps, group)  # type: ignore[no-untyped-call]
        if self.track_running_stats:
            move_running_statistics(self, *moments)
        # Not in `_Normalise`: compiled by torch 2.11, a cast of its output that casts nothing
        # lets its backward go.
        return y.to(input.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy all but the process group, which is no value and cannot be copied."""
        memo[id(self.process_group)] = self.process_group
        memo[id(self)] = copied = copy.copy(self)
        vars(copied).update(copy.deepcopy(vars(self), memo))
        return copied


def group_of(norm: nn.Module) -> "dist.ProcessGroup | None":
    """Return the processes that a norm shares its statistics with now; None: it does not."""
    if not (isinstance(norm, SyncBatchNorm) and norm.training):
        return None
    if not (dist.is_available() and dist.is_initialized()):
        return None
    group = norm.process_group or dist.group.WORLD
    return group if group is not None and group.size() > 1 else None


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        group: "dist.ProcessGroup",
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dims, shape = _axes(x)
        count, mean, m2 = gather_moments(*_moments(x, dims), group)
        rstd = torch.rsqrt(m2 / count + eps)
        ctx.group = group
        ctx.save_for_backward(x, weight, count, mean, rstd)
        ctx.mark_non_differentiable(count, mean, m2)
        y = (x - mean.view(shape)) * _scale(rstd, weight).view(shape)
        y = y if bias is None else y + bias.view(shape)
        return y, count, mean, m2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, count, mean, rstd = ctx.saved_tensors
        dims, shape = _axes(x)
        centred = x - mean.view(shape)
        sum_grad, sum_product = grad.sum(dims), (grad * centred).sum(dims)
        dx = d_weight = d_bias = None
        if ctx.needs_input_grad[0]:
            scale = _scale(rstd, weight)
            d_mean = -scale * sum_grad
            d_m2 = scale * sum_product * rstd.square() / (-2 * count)
            d_mean, d_m2 = all_sum((d_mean, d_m2), ctx.group)
            dx = scale.view(shape) * grad + (2 * d_m2).view(shape) * centred
            dx = (dx + (d_mean / count).view(shape)).to(x.dtype)
        if ctx.needs_input_grad[1]:
            d_weight = (sum_product * rstd).to(weight.dtype)
        if ctx.needs_input_grad[2]:
            d_bias = sum_grad.to(weight.dtype)
        return dx, d_weight, d_bias, None, None


def _axes(x: Tensor) -> tuple[list[int], list[int]]:
    """Return the dimensions that are summed over, and the shape of a vector beside ``x``."""
    return [0, *range(2, x.ndim)], [-1] + [1] * (x.ndim - 2)


def _moments(x: Tensor, dims: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Count, mean and m2 of each channel of this process."""
    x = x.to(statistics_dtype(x))
    count = x.numel() // x.shape[1]
    total = x.new_full((), count)
    if count == 0:
        return total, x.new_zeros(x.shape[1]), x.new_zeros(x.shape[1])
    var, mean = torch.var_mean(x, dims, correction=0)
    return total, mean, var * count


def _scale(rstd: Tensor, weight: Tensor | None) -> Tensor:
    return rstd if weight is None else rstd * weight.to(rstd.dtype)
