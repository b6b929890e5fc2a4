"""The layouts that are known, one library per file; more special ones stand first."""

from collections.abc import Iterable

from seattn.weights.layouts.layout import Layout, Structure
from seattn.weights.layouts.legacy import LEGACY, LEGACY_DEEP
from seattn.weights.layouts.monai import MONAI, MONAI_DEEP
from seattn.weights.layouts.moskomule import MOSKOMULE
from seattn.weights.layouts.radimagenet import RADIMAGENET
from seattn.weights.layouts.timm import TIMM
from seattn.weights.layouts.torchvision import TORCHVISION_EFFICIENTNET, TORCHVISION_RESNET

__all__ = ["LAYOUTS", "NAMES", "Layout", "Structure", "find_layout"]

LAYOUTS = (
    MONAI_DEEP,
    MONAI,
    LEGACY_DEEP,
    LEGACY,
    MOSKOMULE,
    RADIMAGENET,
    TORCHVISION_EFFICIENTNET,
    TIMM,
    TORCHVISION_RESNET,  # behind timm's, whose names it shares: only where asked for
)

NAMES = tuple(dict.fromkeys(layout.name for layout in LAYOUTS))


def find_layout(keys: Iterable[str], *, name: str | None = None) -> Layout:
    """Return the first layout, of this name if one is given, that keys show.

    Keys that show none have timm's layout, or the last one of the name.
    """
    keys = list(keys)
    candidates = [layout for layout in LAYOUTS if name in (None, layout.name)]
    return next((layout for layout in candidates if layout.fits(keys)), candidates[-1])
