"""Checkpoints: from a file or a mapping to tensors by name, without containers and prefixes."""

import pickle
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["Checkpoint", "read_checkpoint", "read_safetensors", "strip_prefix"]

_CONTAINERS = (
    "state_dict", "state_dict_ema", "model", "model_ema", "ema", "model_state_dict",
    "ema_state_dict", "module",
)  # fmt: skip
_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.")


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a checkpoint by their keys, and how they were found."""

    tensors: dict[str, Tensor]
    container: str  # the path of entries to the tensors, joined by dots
    beside: tuple[str, ...]  # other entries, on the way to the tensors
    file: str | None


def read_checkpoint(
    weights: str | Path | Mapping[str, Any], *, container: str | None = None
) -> Checkpoint:
    """Read a file, or take a mapping, and find the tensors in it.

    Args:
        weights: A safetensors file, a torch file, or what such a file holds.
        container: The entry to take, where there are several.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not readable, or holds no tensors, or several sets of them.
        TypeError: ``weights`` is none of these.
    """
    content: Any = weights
    file = None
    if isinstance(weights, str | Path):
        content, file = _read_file(Path(weights)), str(weights)
    if not isinstance(content, Mapping):
        what = f"`weights` (={file!r}) holds" if file else "`weights` is"
        raise TypeError(f"{what} a {type(content).__name__}; a path or a state dict is needed")
    path: list[str] = []
    beside: list[str] = []
    while found := [name for name in _CONTAINERS if _holds_tensors(content.get(name))]:
        if container in found:
            found = [container]
        if len(found) > 1:
            raise ValueError(
                f"`weights` holds {' and '.join(f'{name!r}' for name in found)}: "
                f"choose one, as in `container={found[0]!r}`"
            )
        path += found
        beside += [str(name) for name in content if name != found[0]]
        content = content[found[0]]
    if container is not None and container not in path:
        raise ValueError(
            f"`container` (={container!r}) is no entry with tensors; "
            f"the entries are {', '.join(map(repr, content))}"
        )
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not tensors:
        raise ValueError(
            f"`weights` holds no tensors, but {', '.join(map(repr, content)) or 'nothing'}"
        )
    beside += [str(name) for name in content if name not in tensors]
    return Checkpoint(tensors, ".".join(path), tuple(beside), file)


def strip_prefix(keys: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Take away what wrappers put before most of the keys, such as ``module.backbone.``.

    Returns:
        The prefix, empty where there is none or two keys would come to one name; and each key by
        its name without the prefix.
    """
    keys = list(keys)
    prefix = ""
    while more := next((p for p in _PREFIXES if _share(keys, prefix + p) > 0.5), None):
        prefix += more
    named = {key.removeprefix(prefix): key for key in keys}
    return (prefix, named) if len(named) == len(keys) else ("", {key: key for key in keys})


def _share(keys: list[str], prefix: str) -> float:
    return sum(key.startswith(prefix) for key in keys) / max(len(keys), 1)


def _holds_tensors(value: object) -> bool:
    """Return whether a value is a state dict, or a container of one."""
    if not isinstance(value, Mapping):
        return False
    return any(isinstance(item, Tensor) for item in value.values()) or any(
        _holds_tensors(value.get(name)) for name in _CONTAINERS
    )


def _read_file(path: Path) -> object:
    if path.is_dir():
        raise ValueError(
            f"`weights` (={str(path)!r}) is a folder: name the file in it, or use `load_model` "
            "for a folder of `save_model`"
        )
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(
            f"`weights` (={str(path)!r}) is a Git LFS pointer, not the weights: "
            "run `git lfs pull` where it comes from, or download the file itself"
        )
    if start[8:9] == b"{":  # after the header's length, the header, in JSON
        return read_safetensors(path)
    if _is_torchscript(path):
        raise ValueError(
            f"`weights` (={str(path)!r}) is a TorchScript program, which brings its own network: "
            "where you trust it, pass `torch.jit.load(path).state_dict()`"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not (zipfile.is_zipfile(path) or start.startswith(b"\x80")):
            raise ValueError(_damaged(path)) from error
        raise ValueError(
            f"`weights` (={str(path)!r}) holds more than tensors, perhaps a whole pickled network, "
            "and unpickling can run anything: where you trust it, load it with "
            "`torch.load(path, weights_only=False)` and pass its state dict"
        ) from error
    except Exception as error:  # a damaged file makes torch raise almost anything
        raise ValueError(_damaged(path)) from error


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(_damaged(path)) from error


def _damaged(path: Path) -> str:
    return (
        f"`weights` (={str(path)!r}) is neither a safetensors nor a torch file, or not a complete "
        "one: download it again"
    )
