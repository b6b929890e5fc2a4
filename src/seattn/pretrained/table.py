"""The table of pretrained weights: those of timm that our networks compute exactly.

Left out, though the names are alike: ``tf_efficientnet_*`` (other padding and epsilon), weights
with another number of classes than 1000, and the legacy SE networks, for which timm names no
repository.
"""

import fnmatch
from typing import NamedTuple

from seattn.weights.pretrained_config import PretrainedConfig

__all__ = ["get_pretrained_cfg", "list_pretrained"]


def get_pretrained_cfg(name: str, tag: str | None = None) -> PretrainedConfig:
    """Look up pretrained weights, without fetching them.

    Args:
        name: One of ``seattn.list_models()``.
        tag: Recipe and data of the training; None for the first, which is timm's own default
            unless that is not for commercial use.

    Returns:
        Where the weights are, under which licence, and the images that they expect.

    Raises:
        ValueError: There are no weights for this network, or none of this tag.

    Examples:
        >>> from seattn.pretrained import get_pretrained_cfg
        >>> get_pretrained_cfg("resnet50").tag
        'a1_in1k'
    """
    if name not in _TABLE:
        raise ValueError(
            f"`name` (={name!r}) has no pretrained weights here; those that have: "
            f"{', '.join(_TABLE)}"
        )
    rows = {_tag(repository): repository for repository in _TABLE[name]}
    if tag is None:
        tag = next(iter(rows))
    if tag not in rows:
        raise ValueError(
            f"`tag` (={tag!r}) is none of the pretrained weights of {name!r}: {', '.join(rows)}"
        )
    repository = rows[tag]
    return PretrainedConfig(
        architecture=name,
        tag=tag,
        repository=repository,
        sha256=_SHA256.get(repository),
        **_TABLE[name][repository]._asdict(),
    )


def list_pretrained(pattern: str = "*") -> list[str]:
    """List the pretrained weights as ``"name.tag"``, each network's default first.

    Args:
        pattern: Shell-style wildcards, case-sensitive.

    Returns:
        The names that match, none if there are none.

    Examples:
        >>> from seattn.pretrained import list_pretrained
        >>> list_pretrained("se_resnext50*")
        ['se_resnext50_32x4d.racm_in1k', 'se_resnext50_32x4d.gluon_in1k']
    """
    names = [f"{name}.{_tag(repository)}" for name, rows in _TABLE.items() for repository in rows]
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def _tag(repository: str) -> str:
    return repository.partition(".")[2]


class _Row(NamedTuple):
    license: str
    size: int
    crop: float
    test_size: int
    test_crop: float
    interpolation: str
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of ImageNet
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    keep_aspect: bool = True


_HALF = (0.5, 0.5, 0.5)

# Repository to sha256 of its model.safetensors. A digest is here if at least two public projects,
# independent of one another, state it for this very file. We fetched none of the files.
_SHA256: dict[str, str] = {
    "timm/resnet18.a1_in1k": "80c49dee3da4822c009c5a7fe591e9223c5a2cfcf95a4067ca4dfb5a7b89c612",
    "timm/resnet18.tv_in1k": "694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81",
    "timm/resnet50.a1_in1k": "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb",
    "timm/resnet50.tv_in1k": "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
    "timm/efficientnet_b0.ra_in1k": (
        "d569899762ea9b1384ee07f4af64805cf8caa1c55f9253ebb1080dc40e87a2cd"
    ),
}

_TABLE: dict[str, dict[str, _Row]] = {
    "resnet18": {
        "timm/resnet18.a1_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet18.a2_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet18.a3_in1k": _Row("apache-2.0", 160, 0.95, 224, 0.95, "bicubic"),
        "timm/resnet18.gluon_in1k": _Row("apache-2.0", 224, 0.875, 224, 0.875, "bicubic"),
        "timm/resnet18.tv_in1k": _Row("bsd-3-clause", 224, 0.875, 224, 0.875, "bilinear"),
        "timm/resnet18.fb_ssl_yfcc100m_ft_in1k": _Row(
            "cc-by-nc-4.0", 224, 0.875, 224, 0.875, "bilinear"
        ),
        "timm/resnet18.fb_swsl_ig1b_ft_in1k": _Row(
            "cc-by-nc-4.0", 224, 0.875, 224, 0.875, "bilinear"
        ),
    },
    "resnet34": {
        "timm/resnet34.a1_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet34.a2_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet34.a3_in1k": _Row("apache-2.0", 160, 0.95, 224, 0.95, "bicubic"),
        "timm/resnet34.bt_in1k": _Row("apache-2.0", 224, 0.875, 288, 0.95, "bicubic"),
        "timm/resnet34.gluon_in1k": _Row("apache-2.0", 224, 0.875, 224, 0.875, "bicubic"),
        "timm/resnet34.ra4_e3600_r224_in1k": _Row(
            "apache-2.0", 224, 0.9, 288, 1.0, "bicubic", _HALF, _HALF
        ),
        "timm/resnet34.tv_in1k": _Row("bsd-3-clause", 224, 0.875, 224, 0.875, "bilinear"),
    },
    "resnet50": {
        "timm/resnet50.a1_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet50.a1h_in1k": _Row("apache-2.0", 176, 0.9, 224, 1.0, "bicubic"),
        "timm/resnet50.a2_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet50.a3_in1k": _Row("apache-2.0", 160, 0.95, 224, 0.95, "bicubic"),
        "timm/resnet50.am_in1k": _Row("apache-2.0", 224, 0.875, 224, 0.875, "bicubic"),
        "timm/resnet50.b1k_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet50.b2k_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet50.bt_in1k": _Row("apache-2.0", 224, 0.875, 288, 0.95, "bicubic"),
        "timm/resnet50.c1_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet50.c2_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet50.d_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet50.gluon_in1k": _Row("apache-2.0", 224, 0.875, 224, 0.875, "bicubic"),
        "timm/resnet50.ra_in1k": _Row("apache-2.0", 224, 0.875, 288, 0.95, "bicubic"),
        "timm/resnet50.ram_in1k": _Row("apache-2.0", 224, 0.875, 288, 0.95, "bicubic"),
        "timm/resnet50.tv2_in1k": _Row("bsd-3-clause", 176, 0.875, 224, 0.965, "bilinear"),
        "timm/resnet50.tv_in1k": _Row("bsd-3-clause", 224, 0.875, 224, 0.875, "bilinear"),
        "timm/resnet50.fb_ssl_yfcc100m_ft_in1k": _Row(
            "cc-by-nc-4.0", 224, 0.875, 224, 0.875, "bilinear"
        ),
        "timm/resnet50.fb_swsl_ig1b_ft_in1k": _Row(
            "cc-by-nc-4.0", 224, 0.875, 224, 0.875, "bilinear"
        ),
    },
    "resnet101": {
        "timm/resnet101.a1h_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet101.a1_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet101.a2_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet101.a3_in1k": _Row("apache-2.0", 160, 0.95, 224, 0.95, "bicubic"),
        "timm/resnet101.gluon_in1k": _Row("apache-2.0", 224, 0.875, 224, 0.875, "bicubic"),
        "timm/resnet101.tv2_in1k": _Row("bsd-3-clause", 176, 0.875, 224, 0.965, "bilinear"),
        "timm/resnet101.tv_in1k": _Row("bsd-3-clause", 224, 0.875, 224, 0.875, "bilinear"),
    },
    "resnet152": {
        "timm/resnet152.a1h_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet152.a1_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet152.a2_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnet152.a3_in1k": _Row("apache-2.0", 160, 0.95, 224, 0.95, "bicubic"),
        "timm/resnet152.gluon_in1k": _Row("apache-2.0", 224, 0.875, 224, 0.875, "bicubic"),
        "timm/resnet152.tv2_in1k": _Row("bsd-3-clause", 176, 0.875, 224, 0.965, "bilinear"),
        "timm/resnet152.tv_in1k": _Row("bsd-3-clause", 224, 0.875, 224, 0.875, "bilinear"),
    },
    "resnext50_32x4d": {
        "timm/resnext50_32x4d.a1h_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnext50_32x4d.a1_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnext50_32x4d.a2_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/resnext50_32x4d.a3_in1k": _Row("apache-2.0", 160, 0.95, 224, 0.95, "bicubic"),
        "timm/resnext50_32x4d.gluon_in1k": _Row("apache-2.0", 224, 0.875, 224, 0.875, "bicubic"),
        "timm/resnext50_32x4d.ra_in1k": _Row("apache-2.0", 224, 0.875, 288, 0.95, "bicubic"),
        "timm/resnext50_32x4d.tv2_in1k": _Row("bsd-3-clause", 176, 0.875, 224, 0.965, "bilinear"),
        "timm/resnext50_32x4d.tv_in1k": _Row("bsd-3-clause", 224, 0.875, 224, 0.875, "bilinear"),
        "timm/resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k": _Row(
            "cc-by-nc-4.0", 224, 0.875, 224, 0.875, "bilinear"
        ),
        "timm/resnext50_32x4d.fb_swsl_ig1b_ft_in1k": _Row(
            "cc-by-nc-4.0", 224, 0.875, 224, 0.875, "bilinear"
        ),
    },
    "resnext101_32x4d": {
        "timm/resnext101_32x4d.gluon_in1k": _Row("apache-2.0", 224, 0.875, 224, 0.875, "bicubic"),
        "timm/resnext101_32x4d.fb_ssl_yfcc100m_ft_in1k": _Row(
            "cc-by-nc-4.0", 224, 0.875, 224, 0.875, "bilinear"
        ),
        "timm/resnext101_32x4d.fb_swsl_ig1b_ft_in1k": _Row(
            "cc-by-nc-4.0", 224, 0.875, 224, 0.875, "bilinear"
        ),
    },
    "se_resnet50": {
        "timm/seresnet50.a1_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/seresnet50.a2_in1k": _Row("apache-2.0", 224, 0.95, 288, 1.0, "bicubic"),
        "timm/seresnet50.a3_in1k": _Row("apache-2.0", 160, 0.95, 224, 0.95, "bicubic"),
        "timm/seresnet50.ra2_in1k": _Row("apache-2.0", 224, 0.875, 288, 0.95, "bicubic"),
    },
    "se_resnext50_32x4d": {
        "timm/seresnext50_32x4d.racm_in1k": _Row("apache-2.0", 224, 0.875, 288, 0.95, "bicubic"),
        "timm/seresnext50_32x4d.gluon_in1k": _Row("apache-2.0", 224, 0.875, 224, 0.875, "bicubic"),
    },
    "se_resnext101_32x4d": {
        "timm/seresnext101_32x4d.gluon_in1k": _Row("apache-2.0", 224, 0.875, 224, 0.875, "bicubic"),
    },
    "senet154": {
        "timm/senet154.gluon_in1k": _Row("apache-2.0", 224, 0.875, 224, 0.875, "bicubic"),
    },
    "efficientnet_b0": {
        "timm/efficientnet_b0.ra_in1k": _Row("apache-2.0", 224, 0.875, 224, 0.875, "bicubic"),
        "timm/efficientnet_b0.ra4_e3600_r224_in1k": _Row(
            "apache-2.0", 224, 0.9, 256, 1.0, "bicubic", _HALF, _HALF
        ),
    },
    "efficientnet_b1": {
        "timm/efficientnet_b1.ra4_e3600_r240_in1k": _Row(
            "apache-2.0", 240, 0.9, 288, 1.0, "bicubic", _HALF, _HALF
        ),
        "timm/efficientnet_b1.ft_in1k": _Row("apache-2.0", 224, 0.875, 256, 1.0, "bicubic"),
    },
    "efficientnet_b2": {
        "timm/efficientnet_b2.ra_in1k": _Row("apache-2.0", 256, 0.875, 288, 1.0, "bicubic"),
    },
    "efficientnet_b3": {
        "timm/efficientnet_b3.ra2_in1k": _Row("apache-2.0", 288, 0.875, 320, 1.0, "bicubic"),
    },
    "efficientnet_b4": {
        "timm/efficientnet_b4.ra2_in1k": _Row("apache-2.0", 320, 0.875, 384, 1.0, "bicubic"),
    },
    "efficientnet_b5": {
        "timm/efficientnet_b5.sw_in12k_ft_in1k": _Row(
            "apache-2.0", 448, 1.0, 448, 1.0, "bicubic", keep_aspect=False
        ),
    },
}
