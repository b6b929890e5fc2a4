"""Where a network's modules may be computed together by `seattn.ops`, and which were.

A module is left out of its own computation only if nobody could tell: of exactly the class that
the operators stand for, without hooks, and on a map of `seattn.ops.switch.why_plain`.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules

from seattn.backbones.stage import DropPath
from seattn.ops import SyncBatchNorm, batch_norm_act, batch_norm_silu
from seattn.ops.switch import why_plain

__all__ = [
    "FusedPath", "fused_paths", "norm_act", "norm_act_gate", "norm_add", "residual_sum",
]  # fmt: skip

_NORMS: dict[int, tuple[type[nn.Module], ...]] = {
    3: (nn.BatchNorm1d, SyncBatchNorm),
    4: (nn.BatchNorm2d, SyncBatchNorm),
    5: (nn.BatchNorm3d, SyncBatchNorm),
}


@dataclass(frozen=True)
class FusedPath:
    """How a batch norm and what follows it were computed.

    Args:
        name: Of the batch norm.
        why_plain: Why its modules ran; None: they did not, it was fused.

    Examples:
        >>> from seattn.backbones import FusedPath
        >>> print(FusedPath("layer1.0.bn3", why_plain=None))
        layer1.0.bn3: fused
    """

    name: str
    why_plain: str | None

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.name}: " + (
            "fused" if self.why_plain is None else f"plain, {self.why_plain}"
        )


_watchers: list[list[tuple[nn.Module, str | None]]] = []  # calls of `fused_paths`


# ---- what blocks call -----------------------------------------------------------------------


def norm_act(x: Tensor, norm: nn.Module, act: nn.Module) -> Tensor:
    """Return ``act(norm(x))``."""
    kind = nn.SiLU if type(act) is nn.SiLU else nn.ReLU
    why = why_plain(x) or _why_not_norm(norm, x) or _why_not(act, kind, "the activation")
    if not _is_fused(norm, why):
        out: Tensor = act(norm(x))
        return out
    if kind is nn.SiLU:
        return batch_norm_silu(x, norm)  # type: ignore[arg-type]
    return batch_norm_act(x, norm)  # type: ignore[arg-type]


def norm_act_gate(x: Tensor, norm: nn.Module, act: nn.Module, attention: nn.Module) -> Tensor:
    """Return ``attention(act(norm(x)))``, which is fused where the activation is SiLU."""
    why = why_plain(x) or _why_not_norm(norm, x) or _why_not(act, nn.SiLU, "the activation")
    why = why or _why_not_gate(attention, norm) or _why_not_left_out(attention, "the attention")
    if _is_fused(norm, why):
        return batch_norm_silu(x, norm, gate=_gate(attention, None))  # type: ignore[arg-type]
    out: Tensor = attention(act(norm(x)))
    return out


def norm_add(x: Tensor, norm: nn.Module, drop_path: DropPath, shortcut: Tensor) -> Tensor:
    """Return ``shortcut + drop_path(norm(x))``."""
    why = why_plain(x) or _why_not_norm(norm, x) or _why_not(drop_path, DropPath, "the drop path")
    why = why or _why_not_shortcut(shortcut, x)
    if _is_fused(norm, why):
        gate = _gate(None, drop_path)
        return batch_norm_act(x, norm, gate=gate, shortcut=shortcut, relu=False)  # type: ignore[arg-type]
    return shortcut + drop_path(norm(x))


def residual_sum(
    x: Tensor,
    norm: nn.Module,
    *,
    attention: nn.Module,
    position: str,
    drop_path: DropPath,
    source: Tensor,
    downsample: nn.Module,
) -> Tensor | None:
    """Return ``relu(drop_path(attention(norm(x))) + downsample(source))`` if it may be fused.

    Args:
        x: The residual before its last batch norm.
        norm: That batch norm.
        attention: The block's attention; it is left to the caller unless it acts on the residual.
        position: Where it acts, as in ``ResNet``.
        drop_path: The block's stochastic depth.
        source: The block's input.
        downsample: The shortcut.

    Returns:
        The sum behind its ReLU. None: the modules have to run, and none of them did so far.
    """
    attends = type(attention) is not nn.Identity
    gates = attends and position == "standard"
    why = why_plain(x) or _why_not_norm(norm, x) or _why_not(drop_path, DropPath, "the drop path")
    if gates:
        why = why or _why_not_gate(attention, norm)
    elif attends and position == "identity":
        why = why or "the attention is on the shortcut"
    why = why or _why_not_left_out(attention, "the attention")
    why = why or _why_not_projection(downsample, x, source)
    if not _is_fused(norm, why):
        return None
    shortcut, shortcut_norm = source, None
    if isinstance(downsample, nn.Sequential):
        convolution, shortcut_norm = downsample
        shortcut = convolution(source)
    return batch_norm_act(
        x,
        norm,  # type: ignore[arg-type]
        gate=_gate(attention if gates else None, drop_path),
        shortcut=shortcut,
        shortcut_norm=shortcut_norm,  # type: ignore[arg-type]
    )


def _gate(
    attention: nn.Module | None, drop_path: DropPath | None
) -> Callable[[Tensor], Tensor] | None:
    """Return the factor of a residual's channels, which stochastic depth can be part of."""
    if drop_path is not None and not (drop_path.training and drop_path.rate > 0):
        drop_path = None
    if attention is None and drop_path is None:
        return None

    def gate(squeeze: Tensor) -> Tensor:
        factor = torch.ones_like(squeeze)
        if attention is not None:
            factor = attention.gate(squeeze[:, :, None, None]).flatten(1)  # type: ignore[operator]
        return factor if drop_path is None else drop_path(factor)

    return gate


# ---- why not --------------------------------------------------------------------------------


def _why_not_norm(norm: nn.Module, x: Tensor) -> str | None:
    if type(norm) not in _NORMS.get(x.ndim, ()):
        return f"the norm is of class {type(norm).__name__}"
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        if isinstance(tensor, Tensor) and tensor.dtype not in (torch.float32, x.dtype):
            return f"the norm has {tensor.dtype}, its input {x.dtype}"
        if isinstance(tensor, Tensor) and tensor.device != x.device:
            return "the norm is on another device"
    # Processes that share statistics go the same way, whatever the share of one of them.
    if x.numel() in (0, x.shape[1]) and type(norm) is not SyncBatchNorm:
        return "the batch has " + ("one value a channel" if x.numel() else "no values")
    return _why_not_left_out(norm, "the norm")


def _why_not_gate(attention: nn.Module, norm: nn.Module) -> str | None:
    if not vars(type(attention)).get("gate_reads_mean_only", False):
        return f"the gate of {type(attention).__name__} may read more than the channels' means"
    weight: Tensor | None = norm.weight  # type: ignore[assignment]
    dtype = torch.float32 if weight is None else weight.dtype
    if any(parameter.dtype != dtype for parameter in attention.parameters()):
        return "the attention has another dtype than the norm"
    return None


def _why_not_projection(downsample: nn.Module, x: Tensor, source: Tensor) -> str | None:
    if type(downsample) is nn.Identity:
        if why := _why_not_shortcut(source, x):
            return why
    elif type(downsample) is nn.Sequential and len(downsample) == 2:
        why = _why_not_norm(downsample[1], x)
        if why is not None:
            return f"in the shortcut, {why}"
    else:
        return f"the shortcut is of class {type(downsample).__name__}"
    return _why_not_left_out(downsample, "the shortcut")


def _why_not_shortcut(shortcut: Tensor, x: Tensor) -> str | None:
    if type(shortcut) is not Tensor or shortcut.shape != x.shape or shortcut.device != x.device:
        return "the shortcut is not a map like the residual"
    return None


def _why_not(module: nn.Module, kind: type[nn.Module], name: str) -> str | None:
    if type(module) is not kind:
        return f"{name} is of class {type(module).__name__}"
    return _why_not_left_out(module, name)


def _why_not_left_out(module: nn.Module, name: str) -> str | None:
    """Somebody watches the module's calls, or has replaced its forward."""
    hooks = (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or torch_modules._has_any_global_hook()  # type: ignore[no-untyped-call]
    )
    if hooks:
        return f"{name} has hooks"
    if "forward" in vars(module) or "gate" in vars(module):
        return f"{name} has a forward of its own"
    return None


# ---- which were -----------------------------------------------------------------------------


def _is_fused(norm: nn.Module, why: str | None) -> bool:
    for watcher in _watchers:
        watcher.append((norm, why))
    return why is None


@torch.no_grad()
def fused_paths(model: nn.Module, x: Tensor) -> list[FusedPath]:
    """Say how each batch norm of a network and what follows it is computed, and why so.

    A copy of the network runs once, so that nothing of it or of the random numbers moves. Call it
    as training will run: in that mode, on that device and memory format, under that autocast.

    Args:
        model: One of our networks, or a network that contains one; compiled or not.
        x: An input of it, ``(N, in_chans, *spatial)``.

    Returns:
        The paths in the order of the computation. Batch norms that have no fused form are not
        among them: those of other libraries, of the deep stem, and in EfficientNets the last of a
        block without shortcut.

    Examples:
        >>> import torch
        >>> import seattn
        >>> network = seattn.se_resnet18(layers=(1, 1, 1, 1))
        >>> print(seattn.fused_paths(network, torch.rand(1, 3, 64, 64))[0])
        bn1: plain, the input is on cpu; the kernels are for cuda
    """
    trial = copy.deepcopy(getattr(model, "_orig_mod", model))
    names = {module: name for name, module in trial.named_modules()}
    seen: list[tuple[nn.Module, str | None]] = []
    _watchers.append(seen)
    try:
        with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
            trial(x)
    finally:
        _watchers.pop()
    return [FusedPath(names[norm], why) for norm, why in seen]
