"""Networks with the fused operators on the CPU, where these are plain torch, and without."""

import copy

import torch

import seattn
from seattn.backbones import fused_paths
from seattn.ops import self_check, switch

__all__ = [
    "assert_same", "compiled", "errors", "images", "in_bfloat16", "open_here",
    "plain_step", "step", "why",
]  # fmt: skip


def open_here(monkeypatch):
    """Let the operators run on the CPU, in float64 too."""
    monkeypatch.setattr(switch, "_mode", "auto")
    monkeypatch.setattr(switch, "_DEVICES", ("cuda", "cpu"))
    monkeypatch.setattr(switch, "_why_not_ready", lambda device, dtype, mode: None)
    monkeypatch.setitem(self_check.TOLERANCES, torch.float64, 1e-12)


def images(*shape, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(*(shape or (3, 1, 45, 38)), generator=draw, dtype=dtype)
    return x.to(memory_format=torch.channels_last) if x.ndim == 4 else x


def step(network, x, run=None):
    """Logits, gradients and buffers of one step of a copy."""
    network = copy.deepcopy(network)
    x = x.clone().requires_grad_()
    torch.manual_seed(1)
    logits = (run(network) if run else network)(x)
    aims = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype)
    (logits * aims.view_as(logits)).sum().backward()
    found = {"logits": logits.detach(), "x": x.grad}
    found |= {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return found | dict(network.named_buffers())


def plain_step(network, x, run=None):
    before = seattn.set_fused("off")
    try:
        return step(network, x, run)
    finally:
        seattn.set_fused(before)


def assert_same(network, x, run=None, tolerance=1e-10):
    """What a step gives is what the modules give."""
    expected = plain_step(network, x, run)
    found = step(network, x, run)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        bound = tolerance * max(1, float(value.abs().max()))
        torch.testing.assert_close(found[name], value, rtol=0, atol=bound, msg=name)


def why(network, x):
    return {path.name: path.why_plain for path in fused_paths(network, x)}


def errors(found, exact):
    values = {name: value for name, value in exact.items() if value.is_floating_point()}
    return {k: float((found[k].double() - v).norm() / v.norm()) for k, v in values.items()}


def in_bfloat16(network):
    def run(x):
        with torch.autocast("cpu", torch.bfloat16):
            return network(x)

    return run


def compiled(network):
    torch.compiler.reset()
    return torch.compile(network, fullgraph=True, backend="aot_eager")
