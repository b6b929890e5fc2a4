"""What became of every tensor of a checkpoint and of a network."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["LoadReport"]


@dataclass(frozen=True)
class LoadReport:
    """The account of ``load_weights``; ``print`` it for a summary.

    Every tensor of the network is in exactly one of ``loaded``, ``filled`` and ``kept``; every
    tensor of the checkpoint is a value of ``loaded`` or a key of ``ignored``.

    Args:
        source: The layout of the checkpoint.
        file: The file that was read, None for a state dict.
        container: Path of the entry that held the tensors, empty where there was none.
        prefix: What was removed before most of the checkpoint's names.
        loaded: The checkpoint's name of each tensor, by the network's name.
        changed: What was done to those loaded tensors that are not the checkpoint's numbers in the
            checkpoint's shape and dtype, by the network's name.
        filled: Tensors set to what the layout implies without holding it, and why.
        kept: The network's tensors that kept their values, and why.
        ignored: The checkpoint's entries that were not used, and why.

    Examples:
        >>> from seattn import resnet18
        >>> from seattn.weights import load_weights
        >>> colour, network = resnet18().state_dict(), resnet18(in_chans=1, num_classes=2)
        >>> report = load_weights(network, colour, adapt_input="sum", keep_classifier=True)
        >>> report.source, len(report.loaded), sorted(report.kept), sorted(report.ignored)
        ('timm', 120, ['fc.bias', 'fc.weight'], ['fc.bias', 'fc.weight'])
        >>> report.changed
        {'conv1.weight': "3 input channels to 1, 'sum'"}
    """

    source: str
    file: str | None
    container: str
    prefix: str
    loaded: Mapping[str, str]
    changed: Mapping[str, str]
    filled: Mapping[str, str]
    kept: Mapping[str, str]
    ignored: Mapping[str, str]

    def __str__(self) -> str:
        """Return the counts, and each thing done with the number of tensors and the first."""
        origin = [f"layout {self.source!r}"]
        if self.container:
            origin.append(f"entry {self.container!r}")
        if self.prefix:
            origin.append(f"without the prefix {self.prefix!r}")
        lines = [
            f"loaded {len(self.loaded)} tensors from {self.file or 'a state dict'} "
            f"({', '.join(origin)})"
        ]
        for title in ("changed", "filled", "kept", "ignored"):
            for what, names in _by_reason(getattr(self, title)).items():
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                lines.append(f"  {title} {names[0]}{more}: {what}")
        return "\n".join(lines)


def _by_reason(entries: Mapping[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for name, reason in entries.items():
        reasons.setdefault(reason, []).append(name)
    return reasons
