"""Batch norm, channel gate, shortcut and ReLU in two passes over memory each way.

The mean over space of ``BN(x)`` is affine in the mean of ``x``. One read of ``x`` therefore gives
the statistics of the batch norm *and* the squeeze of the gate, and one pass applies the rest:

    mean, m2 = moments(x)                                    one read
    scale, shift = ordinary torch code on (N, C)             nothing
    y = relu(scale * x + shift + shortcut)                   one pass

``reference``: the passes in plain torch. ``kernels``, ``silu_kernels``: the same in Triton, for
CUDA. ``operators``: both as torch operators. ``affine``: their gradients. ``batch_norm``: what a
residual network uses. ``silu``: the same for EfficientNets, whose activation takes a pass more.
``switch``: whether it may; ``self_check``: the check before its first use on a GPU.
``sync_batch_norm``: batch norm over the batches of several processes, fused or as a module;
``statistics``: how it and the running ones are merged.

For inference, where the gate is known before the last convolution, ``dense`` has convolutions that
end in all that follows them, and ``dense_kernels`` the same in Triton; see `seattn.fuse`.
"""

from seattn.ops.batch_norm import batch_norm_act
from seattn.ops.silu import batch_norm_silu
from seattn.ops.switch import set_fused
from seattn.ops.sync_batch_norm import SyncBatchNorm

__all__ = ["SyncBatchNorm", "batch_norm_act", "batch_norm_silu", "set_fused"]
