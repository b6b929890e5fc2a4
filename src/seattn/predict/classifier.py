"""A saved network and what its logits mean."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seattn.fuse import fuse_for_inference
from seattn.pretrained import input_transform as make_input_transform
from seattn.weights import load_model

__all__ = ["Classifier", "Precision", "fingerprint"]

Precision = Literal["fp32", "bf16", "fp16"]
_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Classifier:
    """The network of a folder, on a device, and the classes of its logits.

    Args:
        folder: What ``save_model`` wrote.
        classes: Names of the classes; None counts them from 0. One logit is that of the second of
            two classes.
        threshold: From which probability on the second of two classes is predicted; None is 0.5.
        input_transform: Whether images pass ``input_transform(network.pretrained_cfg)``.
        device: Where the network runs.
        precision: Of the convolutions, by autocast; of the whole network if it is fused.
        fused: Whether the copy runs that ``fuse_for_inference`` makes.
        shape: Of a full batch, (N, H, W), for which it is made.

    Raises:
        ValueError: The arguments do not go with the network, or with each other.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        classes: Sequence[str] | None,
        threshold: float | None,
        input_transform: bool | None,
        device: torch.device,
        precision: Precision,
        fused: bool,
        shape: tuple[int, int, int],
    ) -> None:
        if precision not in _DTYPES:
            raise ValueError(f"`precision` (={precision!r}) must be one of {', '.join(_DTYPES)}.")
        network = load_model(folder, device=device)
        if network.config.get("spatial_dims", 2) != 2 or network.num_classes < 1:
            raise ValueError(f"`model` (='{folder}') must classify images: 2D, and not headless.")
        self.channels: int = network.config["in_chans"]
        self.activation = "sigmoid" if network.num_classes == 1 else "softmax"
        self.classes = _name(classes, max(2, network.num_classes))
        self.threshold = _check_threshold(threshold, len(self.classes))
        cfg = network.pretrained_cfg
        if (cfg is None and input_transform) or (cfg is not None and input_transform is None):
            raise ValueError(
                f"`input_transform` (={input_transform}) cannot be: `model` (='{folder}') has no "
                "`pretrained_cfg` to make it from."
                if cfg is None
                else "`input_transform` must be said, True or False: `model` began with pretrained "
                "weights, and does not tell whether it was trained on images that "
                "`seattn.pretrained.input_transform` had prepared."
            )
        self._transform = make_input_transform(cfg, self.channels) if input_transform else None
        self._device, self._logits = device, network.num_classes
        self._network: nn.Module = network
        self._dtype = self._autocast = _DTYPES[precision]
        if fused:
            draw = torch.Generator().manual_seed(0)
            example = torch.rand(shape[0], self.channels, *shape[1:], generator=draw)
            self._network = fuse_for_inference(network, example=example, dtype=self._dtype)
            self._autocast = None

    def start(self, images: Sequence[NDArray[np.float32]]) -> Tensor:
        """Send images, each (1 or C, H, W), through the network; a GPU may still be at work.

        Returns:
            Logits, (N, classes), on the device.
        """
        if not images:
            return torch.empty(0, self._logits)
        shape = (self.channels, *images[0].shape[1:])
        batch = torch.from_numpy(np.stack([np.broadcast_to(image, shape) for image in images]))
        if self._device.type == "cuda":
            batch = batch.pin_memory()
        with torch.inference_mode():
            batch = batch.to(self._device, non_blocking=True)
            if self._transform is not None:
                batch = self._transform(batch)
            if self._autocast is None:
                return self._network(batch.to(self._dtype or batch.dtype))
            with torch.autocast(self._device.type, self._autocast):
                return self._network(batch)

    def finish(self, logits: Tensor) -> NDArray[np.float64]:
        """Wait for logits, and return the probabilities of the classes, (N, classes)."""
        scores = logits.cpu().double()  # so that what differs does not become equal near 1
        if scores.shape[1] == 1:
            return torch.cat([-scores, scores], 1).sigmoid().numpy()
        return scores.softmax(1).numpy()

    def predict(self, probabilities: NDArray[np.float64]) -> str:
        """Name the class of one image."""
        if self.threshold is not None:
            return self.classes[int(probabilities[1] >= self.threshold)]
        return self.classes[int(probabilities.argmax())]


def fingerprint(folder: str | Path) -> str:
    """Hash both files of a saved network."""
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors"):
        with Path(folder, name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _name(classes: Sequence[str] | None, number: int) -> tuple[str, ...]:
    names = tuple(map(str, range(number))) if classes is None else tuple(classes)
    if len(names) != number or len(set(names)) != number or isinstance(classes, str):
        raise ValueError(f"`classes` (={classes!r}) must be {number} different names.")
    return names


def _check_threshold(threshold: float | None, classes: int) -> float | None:
    if classes > 2:
        if threshold is not None:
            raise ValueError(
                f"`threshold` (={threshold}) is for two classes; of {classes} the most probable is "
                "predicted."
            )
        return None
    if threshold is None:
        return 0.5
    if not 0 <= threshold <= 1:
        raise ValueError(f"`threshold` (={threshold}) must be a probability, 0 to 1.")
    return float(threshold)
