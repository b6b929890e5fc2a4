"""Makes the peers importable: torchvision, and timm which needs it, beside a CPU-only torch.

The torchvision of the package registry holds CUDA operators that do not load there, and registers
fakes for them while it is imported. Those registrations, and only those, are skipped.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["find", "skip_torchvision_fakes"]

_register_fake = torch.library.register_fake


def skip_torchvision_fakes() -> None:
    """Call it before the first import of torchvision or timm."""
    torch.library.register_fake = _skip


def _skip(op: Any, func: Callable[..., Any] | None = None, /, **kwargs: Any) -> Any:
    if isinstance(op, str) and op.startswith("torchvision::"):
        return (lambda f: f) if func is None else func
    return _register_fake(op, **kwargs) if func is None else _register_fake(op, func, **kwargs)


def find(module: str) -> Any:
    """Import a peer, or return None where it is not installed."""
    skip_torchvision_fakes()
    try:
        return importlib.import_module(module)
    except ImportError:
        return None
