"""The check of the kernels before their first use: a block forward and backward, on the card."""

import torch
from torch import Tensor, nn

from seattn.ops.batch_norm import batch_norm_act
from seattn.ops.silu import batch_norm_silu

__all__ = ["TOLERANCES", "self_check"]

TOLERANCES = {torch.float32: 1e-5, torch.float16: 5e-4, torch.bfloat16: 4e-3}
"""Relative deviations (L2) a dtype may have from float64: about twice its own rounding."""


@torch.inference_mode(False)
@torch.enable_grad()
def self_check(device: torch.device, dtype: torch.dtype) -> float:
    """Return the largest relative deviation from plain torch in float64.

    Random numbers are the check's own. In float64 the operators are plain torch, so that it is
    the kernels that are compared: output and gradients of ReLU(BN(x)), of BN(x) with gate,
    projected shortcut and ReLU, and of the gated SiLU(BN(x)), on a map of more than one tile and
    sizes that divide none.
    """
    draw = torch.Generator().manual_seed(0)
    x, shortcut, grad = (torch.randn(3, 136, 13, 11, generator=draw) for _ in range(3))
    x, shortcut, grad = (
        each.to(device, dtype, memory_format=torch.channels_last) for each in (x, shortcut, grad)
    )
    found = _results(x, shortcut, grad)
    exact = _results(x.double(), shortcut.double(), grad.double())
    ratios = [
        torch.linalg.vector_norm(a.double() - b) / torch.linalg.vector_norm(b)
        for a, b in zip(found, exact, strict=True)
    ]
    return float(torch.stack(ratios).max())


def _results(x: Tensor, shortcut: Tensor, grad: Tensor) -> list[Tensor]:
    """Outputs and gradients of the three forms in training."""
    vectors = torch.float64 if x.dtype == torch.float64 else torch.float32
    norms = [nn.BatchNorm2d(x.shape[1], device=x.device, dtype=vectors) for _ in range(4)]
    leaves = [x.detach().requires_grad_(), shortcut.detach().requires_grad_()]
    leaves += [p for norm in norms for p in norm.parameters()]
    outputs = (
        batch_norm_act(leaves[0], norms[0]),
        batch_norm_act(
            leaves[0], norms[1], gate=torch.sigmoid, shortcut=leaves[1], shortcut_norm=norms[2]
        ),
        batch_norm_silu(leaves[0], norms[3], gate=torch.sigmoid),
    )
    grads = torch.autograd.grad(outputs, leaves, (grad, grad, grad))
    return [each.detach() for each in outputs + grads]
