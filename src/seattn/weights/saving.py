"""Networks on disk: the weights as safetensors, the arguments that rebuild the network as JSON."""

import dataclasses
import functools
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seattn import attention, backbones
from seattn.backbones import EfficientNet, ResNet
from seattn.weights.pretrained_config import PretrainedConfig
from seattn.weights.reading import read_safetensors

__all__ = ["load_model", "save_model"]

_FORMAT = 1
_NETWORKS: dict[str, type[ResNet | EfficientNet]] = {"EfficientNet": EfficientNet, "ResNet": ResNet}
_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


def save_model(model: ResNet | EfficientNet, folder: str | Path) -> None:
    """Write a network into a folder, from which ``load_model`` rebuilds it bit by bit.

    ``model.safetensors`` holds the tensors by timm's names, in their dtype; ``config.json`` the
    class, its arguments, and ``pretrained_cfg``. Both are replaced if they exist. What is no part
    of these comes back as in a new network: ``requires_grad``, gradient checkpointing, and the
    memory format, whose convolutions may round otherwise
    (``.to(memory_format=torch.channels_last)`` sets it again).

    Args:
        model: One of our networks, on any device, in any mode; it is not changed.
        folder: Made if it does not exist.

    Raises:
        ValueError: An argument is no plain value and no block of ours, such as a block class of
            your own; or the network was changed after it was built, so that its arguments would
            not rebuild it.
        TypeError: ``model`` is another module (for a wrapped or compiled network, pass what is
            beneath), or its ``pretrained_cfg`` no ``seattn.pretrained.PretrainedConfig``.

    Examples:
        >>> import torch
        >>> from seattn.backbones import se_resnet18
        >>> from seattn.weights import load_model, save_model
        >>> network = se_resnet18(in_chans=1, num_classes=2).eval()
        >>> save_model(network, "fracture")
        >>> image = torch.randn(1, 1, 64, 64)
        >>> torch.equal(load_model("fracture")(image), network(image))
        True
    """
    from safetensors.torch import save_file

    name = type(model).__name__
    if type(model) is not _NETWORKS.get(name):
        raise TypeError(
            f"`model` (a {name}) must be a ResNet or EfficientNet of seattn itself; of another "
            "network, write the state dict with `safetensors.torch.save_file`"
        )
    arguments = {key: _encode(key, value) for key, value in model.config.items()}
    with torch.device("meta"):
        rebuilt = _NETWORKS[name](**model.config)
    _check_rebuilt(model, rebuilt)
    config = {
        "format": _FORMAT,
        "seattn": importlib.metadata.version("seattn"),
        "class": name,
        "arguments": arguments,
        "pretrained_cfg": _encode_pretrained(model.pretrained_cfg),
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(tensors, folder / _WEIGHTS, metadata={"format": "pt"})
    (folder / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_model(
    folder: str | Path, *, device: torch.device | str | None = None
) -> ResNet | EfficientNet:
    """Rebuild the network that ``save_model`` wrote; nothing is unpickled.

    Args:
        folder: The folder.
        device: Where to put the network; None for the CPU.

    Returns:
        The network in eval mode. Its ``pretrained_cfg`` is that of the network that was saved.

    Raises:
        FileNotFoundError: One of the two files is not there.
        ValueError: ``config.json`` is not one of ``save_model``, or of a later version of it; the
            file of weights is damaged.
        RuntimeError: The weights are those of another network; the keys are named.

    Examples:
        >>> from seattn.backbones import se_resnet18
        >>> from seattn.weights import load_model, save_model
        >>> save_model(se_resnet18(in_chans=1, num_classes=2), "fracture")
        >>> network = load_model("fracture")
        >>> type(network).__name__, network.num_classes, network.training
        ('ResNet', 2, False)
        >>> network.config["in_chans"], network.config["attention"]
        (1, <class 'seattn.attention.squeeze_excitation.SEBlock'>)
    """
    path = Path(folder) / _CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict) or config.get("format") != _FORMAT:
        raise ValueError(
            f"`{path}` is not of a network that this version of seattn saved: its format is not "
            f"{_FORMAT}"
        )
    if config.get("class") not in _NETWORKS:
        raise ValueError(f"`{path}`: `class` (={config.get('class')!r}) is no network of seattn")
    if not isinstance(config.get("arguments"), dict):
        raise ValueError(f"`{path}` has no `arguments` to build the network with")
    arguments = {key: _decode(value) for key, value in config["arguments"].items()}
    pretrained_cfg = _decode_pretrained(config.get("pretrained_cfg"))
    with torch.device("meta"):
        model = _NETWORKS[config["class"]](**arguments)
    model.pretrained_cfg = pretrained_cfg
    weights = read_safetensors(Path(folder) / _WEIGHTS)
    # Cloned: the file's tensors lie at any address, and some kernels round by the address.
    tensors = {key: tensor.clone() for key, tensor in weights.items()}
    model.load_state_dict(tensors, assign=True)
    return model.to(device or "cpu").eval()


def _encode(argument: str, value: object) -> Any:
    """Return an argument as JSON holds it: a block by its name, a partial with its arguments."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_encode(argument, item) for item in value]
    if isinstance(value, functools.partial) and not value.args:
        block = _encode(argument, value.func)
        keywords = {key: _encode(argument, item) for key, item in value.keywords.items()}
        return {**block, "arguments": keywords}
    name = getattr(value, "__name__", "")
    if _find_class(name) is value:
        return {"class": name}
    raise ValueError(
        f"`{argument}` (={value!r}) cannot be saved: it must be a plain value, a class of "
        "`seattn.attention`, or a functools.partial of one by keyword; else save the state dict, "
        "and keep the code that builds the network"
    )


def _decode(value: Any) -> Any:
    """Return the argument that ``_encode`` was given, lists as tuples."""
    if isinstance(value, list):
        return tuple(_decode(item) for item in value)
    if not isinstance(value, dict):
        return value
    block = _find_class(str(value.get("class")))
    if block is None:
        raise ValueError(f"`{_CONFIG}`: `class` (={value.get('class')!r}) is no block of seattn")
    if "arguments" not in value:
        return block
    return functools.partial(block, **{k: _decode(item) for k, item in value["arguments"].items()})


def _encode_pretrained(cfg: object) -> dict[str, Any] | None:
    """Return what is known about the pretrained weights, as JSON holds it."""
    if cfg is None:
        return None
    if not isinstance(cfg, PretrainedConfig):
        raise TypeError(
            f"`model.pretrained_cfg` (={cfg!r}) cannot be saved: it must be a "
            "`seattn.pretrained.PretrainedConfig`, or None"
        )
    return {
        key: _encode(f"pretrained_cfg.{key}", value)
        for key, value in dataclasses.asdict(cfg).items()
    }


def _decode_pretrained(fields: Any) -> PretrainedConfig | None:
    """Return the configuration that ``_encode_pretrained`` was given; None where there is none."""
    if fields is None:
        return None
    names = {field.name for field in dataclasses.fields(PretrainedConfig)}
    if not isinstance(fields, dict) or fields.keys() != names:
        raise ValueError(
            f"`{_CONFIG}`: `pretrained_cfg` (={fields!r}) must be null, or have the entries "
            f"{', '.join(sorted(names))} and no others"
        )
    return PretrainedConfig(**{key: _decode(value) for key, value in fields.items()})


def _find_class(name: str) -> type[nn.Module] | None:
    """Return the block of ours that has a name, None for anything else."""
    for package in (attention, backbones):
        found = getattr(package, name, None)
        if isinstance(found, type) and issubclass(found, nn.Module):
            return found
    return None


def _check_rebuilt(model: nn.Module, rebuilt: nn.Module) -> None:
    """Raise a ValueError unless both networks have the same modules with the same settings."""
    ours, theirs = _describe(model), _describe(rebuilt)
    changed = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
    if changed:
        raise ValueError(
            "`model` was changed after it was built, so its arguments would not rebuild it: "
            + "; ".join(
                f"`{name}` is {ours.get(name, 'gone')}, was {theirs.get(name, 'not there')}"
                for name in changed
            )
        )


def _describe(model: nn.Module) -> dict[str, str]:
    """Return each module's class and settings, and each tensor's shape, by name."""
    modules = {
        name: f"{type(module).__qualname__}({module.extra_repr()})"
        for name, module in model.named_modules()
    }
    tensors = {key: str(tuple(value.shape)) for key, value in model.state_dict().items()}
    return modules | tensors
