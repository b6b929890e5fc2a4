"""The statistics of a batch whose parts lie in several processes, and the running ones.

A part is known by ``(count, mean, m2)`` with ``m2 = sum (x - mean)^2``. Those of the whole follow
from those of the parts (Chan et al.), without a square of a mean that is far from zero. Forward
gathers them once, backward sums their gradients once.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["all_sum", "gather_moments", "merge_moments", "move_running_statistics"]


def gather_moments(
    count: Tensor, mean: Tensor, m2: Tensor, group: "dist.ProcessGroup"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the moments of the parts of all processes of the group together; the count from 1 on.

    Args:
        count: ``()``, values a channel in this process; 0 of an empty part, whose moments are 0.
        mean: ``(C,)``.
        m2: ``(C,)``.
        group: The processes.
    """
    part = torch.cat((count.view(1), mean, m2))
    parts = [torch.empty_like(part) for _ in range(group.size())]
    dist.all_gather(parts, part, group=group)
    gathered = torch.stack(parts)
    counts, means, m2s = gathered[:, :1], gathered[:, 1 : 1 + len(mean)], gathered[:, -len(mean) :]
    count = counts.sum().clamp(min=1)
    mean = (counts * means).sum(0) / count
    between = counts * (means - mean).square()
    return count, mean, (m2s + between).sum(0)


def all_sum(tensors: tuple[Tensor, ...], group: "dist.ProcessGroup") -> tuple[Tensor, ...]:
    """Return the sums over all processes of tensors of one shape."""
    total = torch.stack(tensors)
    dist.all_reduce(total, group=group)
    return total.unbind()


def merge_moments(
    count: Tensor, mean: Tensor, m2: Tensor, group: "dist.ProcessGroup"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `gather_moments` does, with gradients: those of the sum of all processes."""
    return _MergeMoments.apply(count, mean, m2, group)  # type: ignore[no-untyped-call]


class _MergeMoments(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, count: Tensor, mean: Tensor, m2: Tensor, group: "dist.ProcessGroup"
    ) -> tuple[Tensor, Tensor, Tensor]:
        total, merged_mean, merged_m2 = gather_moments(count, mean, m2, group)
        ctx.group = group
        ctx.save_for_backward(count, mean, total, merged_mean)
        ctx.mark_non_differentiable(total)
        return total, merged_mean, merged_m2

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, _: Tensor, d_mean: Tensor, d_m2: Tensor
    ) -> tuple[None, Tensor, Tensor, None]:
        count, mean, total, merged_mean = ctx.saved_tensors
        d_mean, d_m2 = all_sum((d_mean, d_m2), ctx.group)
        share = count / total
        return None, share * d_mean + 2 * count * (mean - merged_mean) * d_m2, d_m2, None


@torch.no_grad()
def move_running_statistics(
    norm: _BatchNorm, count: int | Tensor, mean: Tensor, m2: Tensor
) -> None:
    """Move the running mean and variance as a batch norm does; fewer than two values move none."""
    batches = norm.get_buffer("num_batches_tracked").add_(1).to(mean.dtype)
    if not isinstance(count, Tensor) and count < 2:
        return
    new = 1 / batches if norm.momentum is None else norm.momentum  # None: cumulative
    for name, value in (("running_mean", mean), ("running_var", m2 / (count - 1))):
        running = norm.get_buffer(name)
        moved = running.to(value.dtype) * (1 - new) + value * new
        if isinstance(count, Tensor):  # known on the device only
            moved = torch.where(count > 1, moved, running)
        running.copy_(moved)
