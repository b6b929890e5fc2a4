"""Batch normalisation over the batches of all processes, as if they were one.

Ioffe & Szegedy, "Batch Normalization", arXiv 1502.03167, algorithm 1, in which the mini-batch is
that of every process. ``torch.nn.SyncBatchNorm`` does that on GPUs only; this runs wherever the
process group does, and takes empty batches.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["SynchronisedBatchNorm", "all_sum", "synchronised"]


class _AllSum(torch.autograd.Function):
    """Every process has the sum, so the loss of every process depends on each summand."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        total = grad.clone()
        dist.all_reduce(total)
        return total


@torch.compiler.disable  # type: ignore[untyped-decorator] # a graph ends here, and the next begins after it
def all_sum(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all processes, in each; its gradient is summed over them as well."""
    return _AllSum.apply(tensor)  # type: ignore[no-untyped-call]


class SynchronisedBatchNorm(_BatchNorm):
    """``BatchNorm`` whose training statistics are those of the batches of all processes.

    Arguments, state dict and evaluation mode are those of ``torch.nn.BatchNorm2d``. The gradient is
    that of the sum of all processes' losses; DistributedDataParallel divides it by their number.

    Shape:
        (N, C, ...) in each process; N may differ between them, and be 0.
    """

    def _check_input_dim(self, input: torch.Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"`input` has shape {tuple(input.shape)}, and must have (N, C, ...).")

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The input of this process, normalised by the statistics of all."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        x = input.float() if input.dtype in {torch.float16, torch.bfloat16} else input
        dims = [dim for dim in range(x.ndim) if dim != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        channels = x.shape[1]
        summed = all_sum(torch.cat([x.sum(dims), x.new_tensor([x.numel() / channels])]))
        count = summed[-1]
        mean = summed[:-1] / count  # (C,)
        centred = x - mean.view(shape)
        variance = all_sum(centred.square().sum(dims)) / count  # (C,)
        if self.running_mean is not None:
            self._track(mean.detach(), variance.detach() * count / (count - 1))
        x = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            x = x * self.weight.view(shape) + self.bias.view(shape)
        return x.to(input.dtype)

    def _track(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Move the running statistics by ``momentum``; None is their plain mean so far."""
        self.get_buffer("num_batches_tracked").add_(1)
        momentum = self.momentum
        step = 1 / int(self.get_buffer("num_batches_tracked")) if momentum is None else momentum
        self.get_buffer("running_mean").lerp_(mean, step)
        self.get_buffer("running_var").lerp_(variance, step)


def synchronised(network: nn.Module, device: torch.device) -> nn.Module:
    """A copy whose batch normalisations are synchronised: by torch's class on a GPU, else by ours.

    The state dict has the keys of the original.
    """
    network = copy.deepcopy(network)
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return _convert(network)


def _convert(module: nn.Module) -> nn.Module:
    if isinstance(module, _BatchNorm):
        new = SynchronisedBatchNorm(module.num_features, module.eps, module.momentum)
        new.affine, new.track_running_stats = module.affine, module.track_running_stats
        new._parameters, new._buffers = module._parameters, module._buffers
        return new
    for name, child in module.named_children():
        setattr(module, name, _convert(child))
    return module
