"""Inserted attention as the attention of an SE-ResNet, the factor folded into its weights."""

import re

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from seattn.surgery.attachment import CHILD, attached
from seattn.surgery.identity import Blended, ScaledGate, readers

__all__ = ["fold_attention"]


def fold_attention(model: nn.Module) -> dict[str, Tensor]:
    """Return a state dict for the network whose blocks are built in, not inserted.

    ``model`` is a ResNet (ours, timm's, torchvision's: names like ``layer1.0.bn3``) with a block
    after the last BatchNorm of its residual blocks. A block there is the ``se`` of timm's
    ``seresnet50`` and of our ``se_resnet50``, except for the factor by which ``insert_attention``
    scales a gate: ``x * (2 * gate(x))``. The last BatchNorm takes it over, ``2 * x``, and the
    layers of the block that read ``x`` are divided by it. These are powers of two, so that the
    logits are the same; in timm's network bit for bit, where timm rounds as we do.

    ``model`` is left as it is. The dict has its tensors, new ones where a factor was folded.

    Args:
        model: A ResNet after ``insert_attention``, trained or not. With ``SEBlock`` in every block
            the result loads strictly into timm's ``seresnet50``; for timm's ``seresnet18`` and
            ``34`` the blocks need ``hidden_channels=max(8, channels // 16)``.

    Returns:
        State dict with timm's keys, in timm's order.

    Raises:
        ValueError: ``model`` has no inserted block, or one elsewhere than after a last BatchNorm,
            or one in a residual block with attention of its own, or one without an exact
            counterpart (``x + alpha * (block(x) - x)``).

    Examples:
        >>> import torch
        >>> from seattn import resnet50, se_resnet50
        >>> from seattn.attention import SEBlock
        >>> from seattn.surgery import fold_attention, insert_attention
        >>> model, images = resnet50(num_classes=2).eval(), torch.randn(1, 3, 64, 64)
        >>> report = insert_attention(model, SEBlock)
        >>> folded = se_resnet50(num_classes=2).eval()
        >>> folded.load_state_dict(fold_attention(model), strict=True)
        <All keys matched successfully>
        >>> torch.equal(folded(images), model(images))
        True
    """
    hosts = attached(model)
    if not hosts:
        raise ValueError("`model` has no inserted attention to fold; see `insert_attention`")
    state = model.state_dict()
    renamed: dict[str, str] = {}  # prefixes of keys
    for name, host in hosts.items():
        _check_place(model, name, host)
        attention = host.get_submodule(CHILD)
        inside = f"{name}.{CHILD}."
        if isinstance(attention, Blended):
            raise ValueError(
                f"the {type(attention.block).__name__} at {name!r} is mixed in by "
                "`x + alpha * (block(x) - x)`, which has no counterpart without `alpha`"
            )
        if isinstance(attention, ScaledGate):
            inside += "block."
            for key in (f"{name}.weight", f"{name}.bias"):
                state[key] = state[key] * attention.factor
            for key in readers(attention.block):
                state[inside + key] = state[inside + key] / attention.factor
        renamed[inside] = f"{name.rpartition('.')[0]}.se."
    return {_rename(key, renamed): tensor for key, tensor in state.items()}


def _check_place(model: nn.Module, name: str, host: nn.Module) -> None:
    """Refuse a host that is not the last BatchNorm of a ResNet's residual block."""
    path, _, _ = name.rpartition(".")
    residual = model.get_submodule(path)
    last = "bn3" if hasattr(residual, "bn3") else "bn2"
    if not re.fullmatch(rf"(.+\.)?layer[1-4]\.\d+\.{last}", name):
        raise ValueError(
            f"the attention at {name!r} is not after the last BatchNorm of a ResNet's block, such "
            "as 'layer1.0.bn3', where `se` stands; only there it can be folded"
        )
    if not (isinstance(host, _BatchNorm) and host.affine):
        raise ValueError(
            f"the attention at {name!r} is after a {type(host).__name__}({host.extra_repr()}), and "
            "only a BatchNorm with weights takes over the factor of the gate"
        )
    if any(key.startswith("se.") for key in residual.state_dict()):
        raise ValueError(
            f"{path!r} has attention of its own, {path + '.se'!r}; a second one has no place there"
        )


def _rename(key: str, renamed: dict[str, str]) -> str:
    for old, new in renamed.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key
