"""Lets torchvision's Python half be imported beside a CPU-only torch.

The torchvision of the package registry holds CUDA operators that do not load there, and registers
fakes for them while it is imported. Those registrations, and only those, are skipped.
"""

from collections.abc import Callable
from typing import Any

import torch

_register_fake = torch.library.register_fake


def _skip_torchvision(op: Any, func: Callable[..., Any] | None = None, /, **kwargs: Any) -> Any:
    if isinstance(op, str) and op.startswith("torchvision::"):
        return (lambda f: f) if func is None else func
    return _register_fake(op, **kwargs) if func is None else _register_fake(op, func, **kwargs)


torch.library.register_fake = _skip_torchvision
