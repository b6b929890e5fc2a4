"""The paper's protocol and a sound one: two values of one dataclass, which one code path follows.

Each field says what it decides. Where the paper does not state what ``Protocol.paper()`` has there,
the field says so: the value is assumed, and the report marks it.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any

__all__ = ["PROTOCOLS", "Protocol", "assumed", "choices"]

Window = tuple[float, float] | str


def _note(about: str, assumed: str = "") -> dict[str, str]:
    """What a field decides, and what about the paper's value had to be assumed."""
    return {"about": about, "assumed": assumed}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a study is done. The defaults are those of ``Protocol.sound()``.

    Wang et al., doi 10.1186/s12891-024-07355-8; sections "Pre-processing", "Comparative analysis"
    and "Integration and implementation of Grad-CAM technology".
    """

    protocol: str = field(
        default="sound", metadata=_note("name of the protocol that a run starts from")
    )
    fractions: tuple[float, float, float] = field(
        default=(0.6, 0.2, 0.2),
        metadata=_note("shares of the patients that train, validate and test"),
    )
    size: int = field(
        default=224, metadata=_note("pixels that images are resized to", "how images are resized")
    )
    window: Window = field(
        default=(400.0, 1800.0),
        metadata=_note(
            "grey values: (centre, width) in HU, 'file' for each file's own window, 'minmax' for "
            "each image's own range",
            "0 to 1 is stated, by which range is not",
        ),
    )
    bone_mask: bool = field(
        default=False,
        metadata=_note(
            "black out all but bone", "how bone is found: above 150 HU, closed, filled, dilated"
        ),
    )
    noise: float = field(
        default=0.01,
        metadata=_note("standard deviation of the Gaussian noise; images are in 0..1", "its size"),
    )
    noise_on: str = field(
        default="train", metadata=_note("images with noise: 'all' or 'train'", "which images")
    )
    copies: int = field(
        default=0,
        metadata=_note(
            "fixed augmented copies beside each image of every part", "from the counts: 4 x 591"
        ),
    )
    online: bool = field(
        default=True,
        metadata=_note(
            "training images are augmented anew in every epoch", "that copies are made once"
        ),
    )
    rotation: float = field(
        default=15.0, metadata=_note("augmentation: largest angle in degrees", "the range")
    )
    scaling: float = field(
        default=0.1, metadata=_note("augmentation: largest change of size", "the range")
    )
    contrast: float = field(
        default=0.2, metadata=_note("augmentation: largest change of contrast", "the range")
    )
    flips: bool = field(
        default=True,
        metadata=_note(
            "augmentation: mirror; wrong where the side of the body is part of the label"
        ),
    )
    epochs: int = field(default=20, metadata=_note("passes over the training images"))
    batch_size: int = field(default=32, metadata=_note("images in one step"))
    learning_rate: float = field(
        default=1e-3, metadata=_note("Adam's step size at the start", "Adam's other constants")
    )
    patience: int = field(
        default=5,
        metadata=_note(
            "the step size is divided by 10 after more epochs than this without a better val. loss"
        ),
    )
    class_weights: str = field(
        default="balanced",
        metadata=_note(
            "cross entropy: 'none', or 'balanced': each class weighs the same in all, and the "
            "predictions are corrected back to the share that it has"
        ),
    )
    checkpoint: str = field(
        default="best",
        metadata=_note(
            "weights that are kept: 'last', or 'best' of the validation loss", "which epoch"
        ),
    )
    calibrate: bool = field(
        default=True,
        metadata=_note("fit on validation: Platt scaling for two classes, else a temperature"),
    )
    operating_points: tuple[str, ...] = field(
        default=("youden", "sensitivity >= 0.95"),
        metadata=_note(
            "thresholds for two classes, the first the main one: '0.5', or a rule for validation",
            "the threshold, and that the fracture is the positive class",
        ),
    )
    patient_level: bool = field(
        default=True, metadata=_note("results by patient (mean of the images) beside by image")
    )
    inference: bool = field(
        default=True, metadata=_note("intervals with patients as clusters, tests between networks")
    )
    cam_targets: tuple[str, ...] = field(
        default=("predicted", "label"),
        metadata=_note(
            "classes that Grad-CAM explains: the 'predicted' one, the image's own 'label'",
            "that the final feature map is the output of the last stage",
        ),
    )
    seeds: int = field(
        default=5, metadata=_note("repetitions; the phantom draws new patients for each", "one")
    )

    def __post_init__(self) -> None:
        """Refuses what no protocol can have."""
        least = {"size": 32, "copies": 0, "epochs": 1, "batch_size": 2, "patience": 0, "seeds": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be {value} or more.")
        words = {
            "protocol": ("paper", "sound"),
            "noise_on": ("all", "train"),
            "class_weights": ("none", "balanced"),
            "checkpoint": ("last", "best"),
        }
        for name, allowed in words.items():
            if getattr(self, name) not in allowed:
                known = " or ".join(map(repr, allowed))
                raise ValueError(f"`{name}` (={getattr(self, name)!r}) must be {known}.")
        if isinstance(self.window, str) and self.window not in {"file", "minmax"}:
            raise ValueError(
                f"`window` (={self.window!r}) must be (centre, width) in HU, 'file' or 'minmax'."
            )
        if not isinstance(self.window, str) and self.window[1] < 1:
            raise ValueError(f"`window` (={self.window}) must have a width of 1 HU or more.")
        if self.copies and self.online:
            raise ValueError(
                f"`copies` (={self.copies}) are made once and `online` makes them anew: take one."
            )

    @classmethod
    def paper(cls) -> Protocol:
        """What Wang et al. did, their gaps filled as the fields say."""
        return cls(
            protocol="paper",
            window="minmax",
            bone_mask=True,
            noise_on="all",
            copies=3,
            online=False,
            flips=False,
            class_weights="none",
            checkpoint="last",
            calibrate=False,
            operating_points=("0.5",),
            patient_level=False,
            inference=False,
            cam_targets=("predicted",),
            seeds=1,
        )

    @classmethod
    def sound(cls) -> Protocol:
        """The same study as it should be done."""
        return cls()


PROTOCOLS = {"paper": Protocol.paper, "sound": Protocol.sound}


def assumed(choice: Field[Any]) -> str:
    """What about this field the paper does not state; "" where it states it."""
    return str(choice.metadata.get("assumed", ""))


def choices() -> tuple[Field[Any], ...]:
    """The fields that a protocol decides."""
    return tuple(f for f in fields(Protocol) if f.name != "protocol")
