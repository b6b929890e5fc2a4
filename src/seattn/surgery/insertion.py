"""Putting attention into a network that knows nothing of it, and taking it out."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from seattn.surgery.attachment import attach, attached, detach
from seattn.surgery.hosts import Host, Place, find_hosts
from seattn.surgery.identity import as_identity, identity_kind
from seattn.surgery.report import Insertion, InsertReport
from seattn.surgery.trial import try_out
from seattn.surgery.watching import example_inputs

__all__ = ["insert_attention", "remove_attention"]

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


@torch.inference_mode(False)  # in which blocks could never learn, and no convolution is seen
def insert_attention(
    model: nn.Module,
    block: Callable[[int], nn.Module],
    *,
    at: Place = "auto",
    init: str = "identity",
    example_input: Tensor | tuple[Any, ...] | None = None,
) -> InsertReport:
    """Put attention into ``model``, in place, so that at first nothing changes.

    Works on any network that runs: yours, torchvision's, timm's, ours. The block becomes the child
    ``attention`` of the module whose output it scales, and a forward hook applies it: no module is
    replaced, and every key of the state dict, every hook, mode and ``requires_grad`` stays what it
    was. New parameters require gradients and have the device and the dtype of the map.

    With ``init="identity"`` the outputs of the network, in training and in evaluation, and the
    gradients of its parameters are those of the network without blocks, bit for bit, and the blocks
    have gradients in the first step, unless the maps are zero, as behind a BatchNorm whose weight
    starts as zero. How depends on the block:

    - its own ``init_identity_``, where it has one;
    - a sigmoid gate (``SEBlock``, ``SqueezeExcite``, ``ECABlock``, ``GlobalContext``,
      ``CBAMBlock``, ``CoordAttention``, ``TripletAttention``, ``GatherExcite`` with parameters):
      its last layer starts as zero, which makes the gate 1/2 or 1/4, and the gate is multiplied by
      2 or 4 for good. ``fold_attention`` moves the factor into the network's weights;
    - any other module that keeps the shape: ``x + alpha * (block(x) - x)`` with a learnt ``alpha``
      that starts as 0, and alone has a gradient in the first step.

    ``at="auto"`` watches a forward pass and takes every branch of convolutions that is added to a
    shortcut: the block goes after the last module of the branch with parameters or buffers, before
    dropout and stochastic depth. In a network that adds nowhere it goes after the layers whose
    output is concatenated to what they were computed from (DenseNet). The report says what it took.

    Args:
        model: Any network. Compile it, or wrap it in DistributedDataParallel, afterwards.
        block: Takes a number of channels and returns a new module that keeps the shape of a map: a
            class such as ``SEBlock``, a ``functools.partial`` of one, a function.
        at: ``"auto"``; a name from ``model.named_modules()``, or several; a pattern for names, of
            the shell (``"layer[34].*.bn3"``, where ``*`` also matches dots) or a compiled regular
            expression, which has to match the whole name; a function of name and module that
            returns whether to take it. In a Sequential the block joins the last module.
        init: ``"identity"``, or ``"default"`` for blocks as they initialise themselves.
        example_input: What the network is run on, twice, to find places and channels: a tensor
            ``(N, C, *spatial)`` or a tuple of arguments. By default two constant images of 64 and
            of 96 pixels a side (32 and 48 voxels) with the channels of the network's first
            convolution. Hooks of yours see these runs.

    Returns:
        What went where. ``model`` is changed in place.

    Raises:
        ValueError: ``at`` matches nothing, or a module that has a block already, sits in several
            places, does not run exactly once or returns no feature map; ``init`` is none of the
            two; a block returns another shape, or one with ``init_identity_`` is not the identity;
            ``model`` is on the meta device.
        TypeError: ``model`` is scripted, compiled or wrapped; ``block`` is no factory of modules;
            ``at`` is of another type.
        Exception: Whatever ``block`` or the network raises, with a note where. ``model`` is as it
            was after any error.

    Examples:
        >>> import torch
        >>> from seattn import resnet18
        >>> from seattn.attention import SEBlock
        >>> from seattn.surgery import insert_attention, remove_attention
        >>> model, images = resnet18(num_classes=2), torch.randn(2, 3, 64, 64)
        >>> logits = model(images)
        >>> print(insert_attention(model, SEBlock, at="layer[34].*.bn2"))
        after         block    channels  map  parameters  identity
        layer3.0.bn2  SEBlock  256       4x4  8,464       scaled
        layer3.1.bn2  SEBlock  256       4x4  8,464       scaled
        layer4.0.bn2  SEBlock  512       2x2  33,312      scaled
        layer4.1.bn2  SEBlock  512       2x2  33,312      scaled
        4 places                              83,552
        >>> torch.equal(model(images), logits)
        True
    """
    _check_model(model)
    if init not in ("identity", "default"):
        raise ValueError(f"`init` (={init!r}) must be 'identity' or 'default'")
    if isinstance(block, nn.Module) or not callable(block):
        raise TypeError(
            f"`block` (={block!r}) must be a class, a functools.partial of one, or another "
            "function of a number of channels: every place gets a block of its own"
        )
    first, second = example_inputs(model, example_input)
    hosts = find_hosts(model, at, first)
    blocks = [_make(block, host) for host in hosts]
    if len(set(map(id, blocks))) < len(blocks):
        raise ValueError("`block` returned one module twice; it must make a new one for each place")
    attentions = [as_identity(made) if init == "identity" else made for made in blocks]
    with ExitStack() as undo:
        for host, attention in zip(hosts, attentions, strict=True):
            attention.to(device=host.output.device, dtype=host.output.dtype)
            attention.train(host.module.training)
            attach(host.module, attention)
            undo.callback(detach, host.module)
        try_out(model, hosts, blocks, second, identity=init == "identity")
        undo.pop_all()
    return InsertReport(
        tuple(
            Insertion(
                name=host.name,
                block=type(made).__name__,
                channels=host.output.shape[1],
                spatial=tuple(host.output.shape[2:]),
                parameters=sum(p.numel() for p in attention.parameters()),
                identity=identity_kind(attention) if init == "identity" else None,
            )
            for host, made, attention in zip(hosts, blocks, attentions, strict=True)
        )
    )


def remove_attention(model: nn.Module) -> list[str]:
    """Take every block that ``insert_attention`` put into ``model`` out again, in place.

    What is left is the network as it would be had it never had blocks: training with them has
    changed its weights, and nothing else.

    Args:
        model: A network, with inserted blocks or without.

    Returns:
        Names of the modules that had a block, in the order of the network's modules.

    Examples:
        >>> from seattn import resnet18
        >>> from seattn.attention import ECABlock
        >>> from seattn.surgery import insert_attention, remove_attention
        >>> model = resnet18()
        >>> report = insert_attention(model, ECABlock, at="layer4.*.bn2")
        >>> remove_attention(model)
        ['layer4.0.bn2', 'layer4.1.bn2']
    """
    hosts = attached(model)
    for host in hosts.values():
        detach(host)
    return list(hosts)


def _check_model(model: nn.Module) -> None:
    """Refuse what hooks cannot reach, and what would not learn of new parameters."""
    for name, module in model.named_modules():
        what = f"`model` ({name})" if name else "`model`"
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(
                f"{what} is scripted or traced, and such code runs no new module; insert attention "
                "into the Python network"
            )
        compiled = "_orig_mod" in module._modules or module._compiled_call_impl is not None
        if compiled or isinstance(module, _WRAPPERS):
            raise TypeError(
                f"{what} is compiled or wrapped already; insert attention first, then compile or "
                "wrap"
            )
    if any(map(is_lazy, model.parameters())):
        raise ValueError("`model` has uninitialised (lazy) parameters; run it once before")
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise ValueError(
            "`model` is on the meta device, where nothing can be run; call "
            "`model.to_empty(device='cpu')` first"
        )


def _make(block: Callable[[int], nn.Module], host: Host) -> nn.Module:
    channels = host.output.shape[1]
    try:
        made = block(channels)
    except Exception as error:
        error.add_note(f"while making the block for {host.name!r}, which has {channels} channels")
        raise
    if not isinstance(made, nn.Module):
        raise TypeError(
            f"`block` returned {type(made).__name__} for {channels} channels; it must return a "
            "module"
        )
    return made
