"""Who takes part: a network, of a library, in a mode of execution."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

import seattn
from benchmarks.peers import find
from seattn.fuse.compiled import CompiledNetwork
from seattn.weights import load_weights

__all__ = ["INFERENCE", "MODES", "NETWORKS", "Contestant", "all_contestants", "weights_of"]

Build = Callable[[int], nn.Module]
"""From the channels of an image to a network."""


def _ours(name: str) -> Build:
    return lambda in_chans: seattn.create_model(name, in_chans=in_chans)


def _peer(module: str, function: str, channels: str = "in_chans", **options: object) -> Build:
    def build(in_chans: int) -> nn.Module:
        library = find(module)
        if library is None:
            raise ImportError(f"{module} is not installed")
        return getattr(library, function)(**{channels: in_chans}, **options)

    return build


def _torchvision(name: str) -> Build:
    def build(in_chans: int) -> nn.Module:
        models = find("torchvision.models")
        if models is None:
            raise ImportError("torchvision is not installed")
        network = getattr(models, name)()
        if in_chans != 3:
            network.conv1 = nn.Conv2d(in_chans, 64, 7, stride=2, padding=3, bias=False)
        return network

    return build


_timm = partial(_peer, "timm", "create_model")

# The first library of a network gives the reference that the others' numbers are checked against.
NETWORKS: Mapping[str, Mapping[str, Build]] = {
    "se_resnet50": {"timm": _timm(model_name="seresnet50"), "seattn": _ours("se_resnet50")},
    "resnet50": {
        "timm": _timm(model_name="resnet50"),
        "torchvision": _torchvision("resnet50"),
        "seattn": _ours("resnet50"),
    },
    # The SE authors' network has its strides in the 1x1 convolutions: other work, other weights.
    "legacy_se_resnet50": {
        "timm": _timm(model_name="legacy_seresnet50", drop_rate=0.0),
        "MONAI": _peer(
            "monai.networks.nets", "SEResNet50", "in_channels", spatial_dims=2, dropout_prob=None
        ),
    },
    "efficientnet_b5": {
        "timm": _timm(model_name="efficientnet_b5"),
        "seattn": _ours("efficientnet_b5"),
    },
}
MODES: Mapping[str, dict[str, object] | None] = {
    "eager": None,
    "compiled": {},
    "CUDA graphs": {"mode": "reduce-overhead"},
    "max-autotune": {"mode": "max-autotune"},
    "fused": None,
    "fused, compiled": {},
    "fused, CUDA graphs": {"mode": "reduce-overhead"},
}
"""Arguments of ``torch.compile``; fused modes are for our ResNets on a GPU."""


def _frozen(network: nn.Module, images: Tensor) -> nn.Module:
    return CompiledNetwork(network.to(images.dtype).eval())


def _for_inference(network: nn.Module, images: Tensor, **options: bool) -> nn.Module:
    return seattn.fuse_for_inference(
        network, example=images, dtype=images.dtype, device=images.device, **options
    )


INFERENCE: Mapping[str, Callable[[nn.Module, Tensor], nn.Module]] = {
    "compiled, frozen": _frozen,
    "for inference": _for_inference,
    "for inference, compiled": partial(_for_inference, compile=True),
}
"""From a float32 network and its images to one in their dtype, which infers and does not train."""


@dataclass(frozen=True)
class Contestant:
    """A network of a library in one mode; ``network`` and ``library`` are keys of ``NETWORKS``."""

    network: str
    library: str
    mode: str

    @property
    def name(self) -> str:
        """As the tables show it."""
        return f"{self.library} {self.network}, {self.mode}"

    @property
    def fused(self) -> bool:
        """Whether our fused kernels run everywhere."""
        return self.mode.startswith("fused")

    @property
    def switch(self) -> str:
        """What ``seattn.set_fused`` has to be; a copy for inference runs kernels where it can."""
        return "on" if self.mode.startswith(("fused", "for inference")) else "off"

    def build(self, weights: Mapping[str, Tensor], *, in_chans: int, device: str) -> nn.Module:
        """Return the network with the weights of all its rivals, in float32, channels last."""
        network = NETWORKS[self.network][self.library](in_chans)
        load_weights(network, dict(weights))
        return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def ready(self, network: nn.Module, images: Tensor) -> Callable[[Tensor], Tensor]:
        """Return what runs in the contestant's mode; ``torch.compile`` waits for its first call."""
        if self.mode in INFERENCE:
            return INFERENCE[self.mode](network, images)
        arguments = MODES[self.mode]
        return network if arguments is None else torch.compile(network, **arguments)  # type: ignore[call-overload]


def weights_of(network: str, *, in_chans: int) -> dict[str, Tensor]:
    """Return seeded weights, in the layout of the network's first library that is installed.

    Each residual's last BatchNorm starts at random as well: at zero, as timm has it, nothing of
    the residual, and so of its gate, would reach output or gradients.
    """
    for build in NETWORKS[network].values():
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                built = build(in_chans)
                for module in built.modules():
                    if isinstance(module, nn.BatchNorm2d):
                        nn.init.uniform_(module.weight, 0.5, 1.5)
                        nn.init.normal_(module.bias, std=0.1)
            return built.state_dict()
        except ImportError:
            continue
    raise ImportError(f"no library of {network} is installed")


def all_contestants(
    networks: list[str], libraries: list[str], modes: list[str]
) -> Iterator[Contestant]:
    """Every combination that exists; a mode may be of one library alone: ``"timm/compiled"``."""
    for network in networks:
        for library in NETWORKS[network]:
            if library in libraries:
                for each in modes:
                    of, _, mode = each.rpartition("/")
                    contestant = Contestant(network, library, mode)
                    can_fuse = library == "seattn" and network in ("se_resnet50", "resnet50")
                    if of in ("", library) and (can_fuse or not contestant.fused):
                        yield contestant
