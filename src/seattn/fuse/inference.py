"""`fuse_for_inference`: an optimised copy of a network, proved against the original."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from seattn.fuse.compiled import compile_for_batch
from seattn.fuse.folding import fold_norms, unfolded_norms
from seattn.fuse.gpu import fit_to_gpu, runs_kernels
from seattn.fuse.micro_batches import is_joined
from seattn.fuse.rebuilding import rebuild_blocks
from seattn.fuse.recorded import RecordedNetwork
from seattn.fuse.report import FuseReport, Fusion
from seattn.fuse.verification import check_algebra, check_rounding, make_example, outputs

__all__ = ["fuse_for_inference"]


@torch.inference_mode(False)
def fuse_for_inference(
    model: nn.Module,
    *,
    example: Tensor | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    leave_unknown: bool = False,
    compile: bool = False,
) -> nn.Module:
    """Return a copy of a network that computes the same in evaluation, with less work.

    - Every BatchNorm goes into the convolution before it. The product is taken in float64.
    - In a bottleneck with squeeze-and-excitation, or another gate that reads the mean of every
      channel and no more, the last convolution is one of single pixels. It is linear, so the mean
      of its output is its value at the mean of its input, which has fewer channels: the gate is
      known before the convolution has run. The first layer of the gate, linear too, takes
      in the convolution. Exact up to rounding.
    - On an NVIDIA GPU in half precision, what follows a convolution joins it: bias, gate, shortcut
      and ReLU. Each layer is timed on the example with cuDNN's operator, with kernels of ours, and
      with one pass of its own, and keeps the fastest: ``report.ways``.
    - Elsewhere scale and shortcut are one pass.
    - Stochastic depth is gone, and 2D networks have channels-last weights.

    Known are the residual blocks of the ResNets and EfficientNets of seattn, timm and torchvision,
    of timm's SENets, and any ``Sequential``. A known block whose gate reads more than the means, or
    sits elsewhere, keeps its own code, with its BatchNorms folded. Other modules stay as they are.
    ``report`` of the copy says what was done where. Before it is returned the copy is compared with
    the original, in float64 and in its own dtype.

    The copy is for inference: its parameters need no gradient, and training it makes no sense. It
    has the outer names of the original (``layer1.0``) but other names and keys inside its blocks,
    so save the original. Hooks on modules that stay, and ``record_gates``, work on it. The
    original is not changed.

    Args:
        model: A network in floating point, in any mode.
        example: A batch that it takes, whose first two images are compared. None: two random ones
            of 64 x 96 pixels (or 64, or 32 x 48 x 32).
        dtype: Of the copy; None: that of the original.
        device: Of the copy; None: that of the original.
        leave_unknown: Leave a BatchNorm where it is if it is not known to follow a convolution,
            rather than refuse the network.
        compile: On the CPU compile with frozen weights, which takes about a minute and a C++
            compiler; another shape than that of ``example`` compiles again. Where it is faster,
            a batch then runs in micro-batches, whose maps have up to 32 MiB: ``micro_batch`` of
            what is returned, else None. Larger batches compile nothing then. On CUDA record a CUDA
            graph for the shape of ``example``, so that launches cost nothing; other shapes run
            without. While a hook is inside, it runs as it is. The copy is below the attribute
            ``network`` of what is returned, and never gives gradients.

    Returns:
        The copy, in evaluation, with a ``FuseReport`` as its attribute ``report``.

    Raises:
        TypeError: ``model`` is no module, or is compiled or scripted; ``example`` is no tensor;
            ``dtype`` is none of the four of floating point; ``compile`` is no bool.
        ValueError: Nothing can be fused; a BatchNorm would stay, without ``leave_unknown``; a
            module that would go has a hook; ``compile`` without ``example``, or elsewhere than on
            the CPU or CUDA; ``example`` without an image, or of more than two, where what is
            returned has no entry for each; a ``device`` that is not there.
        RuntimeError: The copy differs from the original on the example: in float64 by more than
            1e-8 of the largest output; or in its own dtype, where its distance from the original in
            float64 is more than four times that of the original in that dtype, and more than 1e-5
            (in half precision, more than the spacing of numbers at 1).

    Examples:
        >>> import torch
        >>> from seattn import fuse_for_inference, se_resnet50
        >>> network = se_resnet50(layers=(1, 1, 1, 1), in_chans=1, num_classes=2).eval()
        >>> fused = fuse_for_inference(network)
        >>> images = torch.randn(4, 1, 96, 80)
        >>> torch.allclose(fused(images), network(images), atol=1e-5)
        True
        >>> fused.report.folded, fused.layer1[0].conv
        (17, Conv2d(64, 256, kernel_size=(1, 1), stride=(1, 1)))
    """
    _check_model(model)
    own = next(p for p in model.parameters() if p.is_floating_point())
    target = own.dtype if dtype is None else dtype
    place = own.device if device is None else torch.device(device)
    _check_options(target, place, example, compile)
    network = _copy(model, torch.float64, "cpu")
    images = make_example(network) if example is None else example[:2]
    expected = outputs(network, images)
    network, fusions = _fuse(network, leave_unknown)
    check_algebra(outputs(network, images), expected)

    network.eval().to(device=place, dtype=target)
    batch = images if example is None else example
    ways: dict[str, str] = {}
    if all(parameter.ndim != 5 for parameter in network.parameters()):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # it has it
        if runs_kernels(place, target):
            ways = fit_to_gpu(network, batch, recorded=compile)
    if compile and place.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            network = compile_for_batch(network, batch.to(place, target))
    elif compile:
        network = RecordedNetwork(network, batch.shape)
    before = outputs(_copy(model, target, place), images)
    actual = [
        each[: len(images)] if is_joined(each, len(batch)) else each
        for each in outputs(network, batch)
    ]
    deviations = check_rounding(actual, before, expected)
    vars(network)["report"] = FuseReport(fusions, *deviations, ways)
    return network


def _check_model(model: Any) -> None:
    if isinstance(model, torch.jit.ScriptModule) or hasattr(model, "_orig_mod"):
        raise TypeError(
            f"`model` (a {type(model).__name__}) is compiled: pass the network that was compiled"
        )
    if not isinstance(model, nn.Module):
        raise TypeError(f"`model` (a {type(model).__name__}) must be a torch.nn.Module")
    if not any(parameter.is_floating_point() for parameter in model.parameters()):
        raise ValueError("`model` has no parameters of floating point, so there is nothing to fuse")


def _check_options(dtype: Any, device: torch.device, example: Any, compile: Any) -> None:
    if dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise TypeError(f"`dtype` (={dtype!r}) must be torch.float16, bfloat16, float32 or float64")
    if device.type == "meta" or (device.type == "cuda" and not torch.cuda.is_available()):
        raise ValueError(
            f"`device` (={str(device)!r}) must be one that computes here; "
            f"torch.cuda.is_available() is {torch.cuda.is_available()}"
        )
    if not (example is None or isinstance(example, Tensor)):
        raise TypeError(f"`example` (a {type(example).__name__}) must be a tensor, a batch")
    if example is not None and example.numel() == 0:
        raise ValueError(f"`example` (of shape {tuple(example.shape)}) must hold an image")
    if not isinstance(compile, bool):
        raise TypeError(f"`compile` (={compile!r}) must be True or False")
    if compile and example is None:
        raise ValueError("`compile` (=True) needs `example`, a batch of the shape to compile for")
    if compile and device.type not in ("cpu", "cuda"):
        raise ValueError(
            f"`compile` (=True) is for the CPU and CUDA, not for `device` (={str(device)!r}); give "
            "what comes back without it to `torch.compile`"
        )


def _copy(model: nn.Module, dtype: torch.dtype, device: torch.device | str) -> nn.Module:
    copied = copy.deepcopy(model).eval().requires_grad_(False).to(device=device, dtype=dtype)
    for module in copied.modules():
        if hasattr(module, "grad_checkpointing"):
            vars(module)["grad_checkpointing"] = False  # a stage looks at it in evaluation too
    return copied


def _fuse(network: nn.Module, leave_unknown: bool) -> tuple[nn.Module, tuple[Fusion, ...]]:
    """Fuse in place; return the network and what became of its modules."""
    root = type(network).__name__
    classes = {name: type(module).__name__ for name, module in network.named_modules()}
    folded = fold_norms(network)
    left = unfolded_norms(network)
    network, blocks = rebuild_blocks(network)
    if not folded and not any(outcome.startswith("rebuilt") for outcome in blocks.values()):
        raise ValueError(
            f"`model` (a {root}) has nothing that can be fused: no residual block of seattn, timm "
            "or torchvision with BatchNorm, no BatchNorm behind a convolution in a Sequential"
            + "".join(f"; {name!r} stays, as {reason}" for name, reason in list(left.items())[:1])
        )
    if left and not leave_unknown:
        name, reason = next(iter(left.items()))
        raise ValueError(
            f"`model` (a {root}) has {len(left)} BatchNorm that cannot be folded, first {name!r}: "
            f"{reason}. `leave_unknown=True` leaves them as they are, which is exact"
        )
    return network, tuple(
        Fusion(name, classes[name], folded.get(name, 0), blocks.get(name, ""), left.get(name, ""))
        for name in classes
        if name in folded or name in blocks or name in left
    )
