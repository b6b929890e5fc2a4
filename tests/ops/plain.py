"""The modules one after the other: what `batch_norm_act` must equal."""

import copy

import torch
from torch import Tensor, nn

from seattn.ops import batch_norm_act

NORMS = {3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def plain(x, norm, *, gate=None, shortcut=None, shortcut_norm=None, relu=True):
    z = norm(x)
    if gate is not None:
        z = z * gate(z.flatten(2).mean(2)).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    if shortcut is not None:
        z = z + (shortcut if shortcut_norm is None else shortcut_norm(shortcut))
    return z.relu() if relu else z


class ECA(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, s):
        return self.conv(s[:, None])[:, 0].sigmoid()


def make_gate(kind: str | None, channels: int) -> nn.Module | None:
    if kind == "se":
        hidden = max(channels // 4, 1)
        layers = nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        return nn.Sequential(*layers)
    return {"eca": ECA, "identity": nn.Identity, None: lambda: None}[kind]()


class Tail(nn.Module):
    """The end of a residual block, fused or plain, with the same parameters."""

    def __init__(self, x: Tensor, *, gate="se", shortcut: str | None = "map", relu=True, **options):
        super().__init__()
        channels, kind = x.shape[1], NORMS[x.ndim]
        self.norm = kind(channels, **options)
        self.gate = make_gate(gate, channels)
        self.shortcut_norm = kind(channels) if shortcut == "norm" else None
        self.has_shortcut, self.relu, self.fused = shortcut is not None, relu, False
        with torch.no_grad():
            for norm in (self.norm, self.shortcut_norm):
                for name, value in {} if norm is None else norm.state_dict().items():
                    if name == "running_var":
                        value.uniform_(0.5, 2)
                    elif value.is_floating_point():
                        value.normal_()
        self.to(x.dtype)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        return (batch_norm_act if self.fused else plain)(
            x,
            self.norm,
            gate=self.gate,
            shortcut=shortcut if self.has_shortcut else None,
            shortcut_norm=self.shortcut_norm,
            relu=self.relu,
        )


def results(tail: nn.Module, x: Tensor, shortcut: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """The output, every gradient and every buffer of a copy of ``tail``."""
    tail = copy.deepcopy(tail)
    x, shortcut = x.detach().requires_grad_(), shortcut.detach().requires_grad_()
    y = tail(x, shortcut)
    y.backward(grad)
    grads = {"x": x.grad, "shortcut": shortcut.grad}
    grads |= {name: p.grad for name, p in tail.named_parameters()}
    named = {"y": y.detach(), **{f"d {name}": g for name, g in grads.items()}}
    return {k: v for k, v in named.items() if v is not None} | dict(tail.named_buffers())


def both(tail: Tail, *args: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """`results` of the tail, fused and plain."""
    tail = copy.deepcopy(tail)
    tail.fused = True
    fused = results(tail, *args)
    tail.fused = False
    return fused, results(tail, *args)


def assert_equal(fused: dict[str, Tensor], expected: dict[str, Tensor], tolerance=1e-12) -> None:
    assert fused.keys() == expected.keys()
    for name, value in expected.items():
        assert fused[name].dtype == value.dtype, name
        bound = tolerance * max(value.abs().max().item(), 1)
        torch.testing.assert_close(
            fused[name], value, rtol=0, atol=bound, msg=lambda text, name=name: f"{name}: {text}"
        )


def maps(*shape: int, dtype=torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """An x, a shortcut and a gradient, in channels-last memory."""
    x, shortcut, grad = (torch.randn(*shape, dtype=dtype) for _ in range(3))
    if len(shape) == 4:
        return tuple(t.to(memory_format=torch.channels_last) for t in (x, shortcut, grad))
    return x, shortcut, grad
