"""Whether the operators run in the place of modules: the user's word, the proof, a first check."""

import importlib.util
import warnings

import torch
from torch import Tensor
from torch.autograd import forward_ad

from seattn.ops.self_check import TOLERANCES, self_check

__all__ = ["PROVED", "set_fused", "why_plain"]

PROVED: frozenset[tuple[int, int]] = frozenset([(9, 0)])
"""Compute capabilities with a passed row in ``benchmarks/results/fused_correctness.jsonl``."""

_MODES = ("auto", "on", "off")
_DEVICES = ("cuda",)
_mode = "auto"
_passed: dict[tuple[tuple[int, int], torch.dtype], bool] = {}  # of this process


def set_fused(mode: str) -> str:
    """Say whether networks may train with fused kernels, for the whole process.

    The kernels compute batch norm, channel gate, shortcut and ReLU of a residual block together;
    see ``seattn.fused_paths`` for which block takes them. Results are those of the modules up to
    rounding, but a second derivative is an error; ``"off"`` gives it back.

    Args:
        mode: ``"auto"``, the default: on GPUs whose compute capability has a recorded proof of
            correctness. ``"on"``: on every CUDA GPU. ``"off"``: nowhere.

    Returns:
        The mode until now.

    Raises:
        ValueError: ``mode`` is none of the three.

    Examples:
        >>> import seattn
        >>> before = seattn.set_fused("off")
        >>> seattn.set_fused(before)
        'off'
    """
    global _mode  # one switch for the process
    if mode not in _MODES:
        raise ValueError(f"`mode` (={mode!r}) must be 'auto', 'on' or 'off'")
    before, _mode = _mode, mode
    return before


def why_plain(x: Tensor) -> str | None:
    """Return why modules run on this map, or None where the operators may take their place."""
    if type(x) is not Tensor:
        return "the input is not a plain tensor: torch.fx traces, or it is of a subclass"
    if _mode == "off":
        return "set_fused('off') was called"
    if x.device.type not in _DEVICES:
        return f"the input is on {x.device.type}; the kernels are for cuda"
    return _why_not_now() or _why_not_map(x) or _why_not_ready(x.device, x.dtype, _mode)


def _why_not_now() -> str | None:
    if torch.compiler.is_exporting() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return "the network is being exported"
    if torch._C._are_functorch_transforms_active():
        return "a transform of torch.func is active"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is active"
    return None


def _why_not_map(x: Tensor) -> str | None:
    if x.dtype not in TOLERANCES:
        return f"the input is {x.dtype}; the kernels take float32, bfloat16 and float16"
    if x.ndim < 3:
        return f"the input has shape {tuple(x.shape)}"
    if x.shape[1] % 8:
        return f"the number of channels (={x.shape[1]}) is no multiple of 8"
    if not x.flatten(2).transpose(1, 2).is_contiguous():
        return "the input is not in channels-last memory"
    return None


def _why_not_ready(device: torch.device, dtype: torch.dtype, mode: str) -> str | None:
    if not _has_triton():
        return "the kernels need an NVIDIA GPU and Triton"
    capability = torch.cuda.get_device_capability(device)
    if mode != "on" and capability not in PROVED:
        return (
            f"no run on compute capability {capability[0]}.{capability[1]} is recorded yet; "
            "set_fused('on') opts in"
        )
    if (capability, dtype) not in _passed:
        if torch.cuda.is_current_stream_capturing():
            return "a CUDA graph is being captured, and the kernels were not checked before"
        _passed[capability, dtype] = _passes(device, dtype)
    return None if _passed[capability, dtype] else "the kernels failed their check on this GPU"


def _has_triton() -> bool:
    return torch.version.hip is None and importlib.util.find_spec("triton") is not None


# What `torch.compiler.assume_constant_result` does, without the seconds that its import takes.
_why_not_ready._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _passes(device: torch.device, dtype: torch.dtype) -> bool:
    """Run the self-check; a failure is told once and never raised."""
    try:
        deviation = self_check(device, dtype)
        if deviation <= TOLERANCES[dtype]:
            return True
        fault = f"they deviate by {deviation:.1e} from plain torch, more than {TOLERANCES[dtype]}"
    except Exception as error:  # noqa: BLE001  # of a compiler, a driver, a card
        fault = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    warnings.warn(
        f"seattn's fused kernels failed their check on {torch.cuda.get_device_name(device)} in "
        f"{dtype}, and the plain modules run instead ({fault})",
        stacklevel=2,
    )
    return False
