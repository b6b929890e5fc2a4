"""Part of the report: the paper's figure 3, the residual module with and without excitation."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from examples.ankle_fracture.contestant import Result
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import png
from examples.ankle_fracture.report.module_drawing import Module, convolution_words, drawn
from examples.ankle_fracture.report.part import Part
from seattn.attention import SEBlock, SqueezeExcite
from seattn.backbones import ResNet
from seattn.explain import tap

__all__ = ["part"]


def part(findings: Findings) -> Part:
    """The modules of this run's residual networks, and the parameters of every network."""
    results = findings.first.results
    image = findings.first.cohort.train[0].image
    found = {name: _module(result, image) for name, result in results.items()}
    modules = {name: module for name, module in found.items() if module is not None}
    sizes = {name: _parameters(result) for name, result in results.items()}
    shown = _pair(list(modules.values()))
    body = [html.figure(png(drawn(shown), dpi=200), _caption(shown))] if shown else []
    if others := [results[name].title for name in results if name not in modules]:
        body.append(
            html.paragraph(
                f"Not drawn, since they are not made of such modules: {', '.join(others)}."
            )
        )
    body.append(_table(sizes))
    return Part("The networks", body, {"modules": modules, "parameters": sizes})


def _module(result: Result, image: torch.Tensor) -> Module | None:
    """What there is to draw of a network; nothing where it is built in another way."""
    network = result.network
    if not isinstance(network, ResNet):
        return None
    depth = len(network.layer4)
    name = f"layer4.{depth - 1}"
    before = f"layer4.{depth - 2}" if depth > 1 else "layer3"
    block: Any = network.get_submodule(name)
    plain = isinstance(block.se, nn.Identity)
    if not plain and (not isinstance(block.se, SEBlock) or block.attention_position != "standard"):
        return None
    device = next(network.parameters()).device
    with tap(network, [before, name]) as tapped:
        (entering, leaving), _ = tapped.grads(network(image[None].to(device)))
    convolutions = [layer for layer in block.children() if isinstance(layer, nn.Conv2d)]
    identity = isinstance(block.downsample, nn.Identity)
    return Module(
        result.title,
        name,
        tuple(entering.shape[1:]),
        tuple(leaving.shape[1:]),
        tuple(map(_convolution, convolutions)),
        "identity" if identity else convolution_words(*_convolution(block.downsample[0])),
        None if plain else block.se.fc1.out_channels,
    )


def _convolution(layer: nn.Conv2d) -> tuple[int, int, int, int, int]:
    size, stride = layer.kernel_size[0], layer.stride[0]
    return size, layer.in_channels, layer.out_channels, stride, layer.groups


def _parameters(result: Result) -> dict[str, Any]:
    """How many there are, and in the blocks of squeeze-and-excitation."""
    blocks = [m for m in result.network.modules() if isinstance(m, SEBlock | SqueezeExcite)]
    total = _count(result.network)
    excitation = sum(map(_count, blocks))
    return {
        "title": result.title,
        "parameters": total,
        "excitation_blocks": len(blocks),
        "excitation_parameters": excitation,
        "excitation_share": excitation / total,
    }


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _pair(modules: list[Module]) -> list[Module]:
    """The first without excitation and the first with it, as far as there are any."""
    firsts = [
        next((m for m in modules if (m.hidden is None) == plain), None) for plain in (True, False)
    ]
    return [module for module in firsts if module is not None]


def _caption(modules: list[Module]) -> str:
    text = "Figure 3. The last module of "
    text += " and of ".join(f"{module.title} ({module.block})" for module in modules)
    text += ", with the channels, height and width of this run's images"
    for module in modules:
        if module.hidden is not None:
            text += (
                f"; {module.hidden} hidden units for {module.shape_out[0]} channels, a reduction "
                f"of {module.reduction:g}"
            )
    if all(module.hidden is None for module in modules):
        return text + "."
    return text + (
        ". Pooling is the squeeze; the two fully connected (FC) layers are the excitation, whose "
        "gates in 0..1 scale the channels of the residual before the addition."
    )


def _table(sizes: dict[str, dict[str, Any]]) -> str:
    rows = [
        (
            size["title"],
            f"{size['parameters']:,}",
            str(size["excitation_blocks"]),
            f"{size['excitation_parameters']:,}",
            f"{size['excitation_share']:.1%}",
        )
        for size in sizes.values()
    ]
    head = ("network", "parameters", "SE blocks", "parameters in them", "share")
    return html.table(head, rows, caption="Squeeze-and-excitation (SE) in each network.")
