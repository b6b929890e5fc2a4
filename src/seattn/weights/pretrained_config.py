"""What is known about one file of pretrained weights."""

from dataclasses import dataclass

__all__ = ["PretrainedConfig"]


@dataclass(frozen=True, kw_only=True)
class PretrainedConfig:
    """Where weights come from, under which licence, and the images that they expect.

    The numbers are timm's for the same weights. A network built by
    ``seattn.create_model(name, pretrained=...)`` carries its own as ``pretrained_cfg``, and
    ``save_model`` keeps it. Write one for weights of your own on a hub, public or in-house, and
    pass it as ``pretrained=``.

    Args:
        architecture: Name of the network in ``seattn.list_models()``.
        tag: Recipe and data of the training; with the architecture it names the weights.
        repository: Repository on the Hugging Face hub, ``"owner/name"``.
        file: Name of the file in the repository.
        sha256: 64 hexadecimal digits that the file must hash to; None where only the hub knows
            them (see ``download``).
        license: SPDX identifier, in lower case, as the hub writes it.
        num_classes: Number of logits of the weights.
        size: Side in pixels of the square image of training.
        test_size: Side at which timm measures the accuracy, often larger.
        crop: Part of the resized shorter side that the central crop keeps, at ``size``.
        test_crop: The same at ``test_size``.
        interpolation: ``"bicubic"`` or ``"bilinear"``.
        mean: Of red, green and blue, for values in 0..1.
        std: Standard deviations, likewise.
        keep_aspect: Resize the shorter side; if False both sides, which squashes the image.

    Examples:
        >>> from seattn.pretrained import get_pretrained_cfg
        >>> cfg = get_pretrained_cfg("se_resnet50", "a3_in1k")
        >>> cfg.repository, cfg.file, cfg.size, cfg.license
        ('timm/seresnet50.a3_in1k', 'model.safetensors', 160, 'apache-2.0')
    """

    architecture: str
    tag: str
    repository: str
    file: str = "model.safetensors"
    sha256: str | None = None
    license: str
    num_classes: int = 1000
    size: int
    test_size: int
    crop: float
    test_crop: float
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    keep_aspect: bool = True
