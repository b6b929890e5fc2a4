"""What fusing did, module by module."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["FuseReport", "Fusion"]


@dataclass(frozen=True, slots=True)
class Fusion:
    """What was done to one module.

    Args:
        name: Of the module; empty for the network itself.
        module: Name of its class, before.
        folded: How many BatchNorms went into the convolutions before them, those of the module's
            own children counted.
        block: What became of a residual block: ``"rebuilt"`` with what is known of its gate, or
            ``"not rebuilt"`` with the reason; empty for other modules.
        left: Why a BatchNorm, which has a line of its own then, is still there; else empty.

    Examples:
        >>> from seattn import fuse_for_inference, se_resnet50
        >>> report = fuse_for_inference(se_resnet50(layers=(1, 1, 1, 1))).report
        >>> report.fusions[1].name, report.fusions[1].module, report.fusions[1].folded
        ('layer1.0', 'Bottleneck', 3)
        >>> report.fusions[1].block
        'rebuilt, gate known before the last convolution'
    """

    name: str
    module: str
    folded: int
    block: str
    left: str


@dataclass(frozen=True, slots=True)
class FuseReport:
    """What ``fuse_for_inference`` did to a network; ``print`` shows it as a table.

    Args:
        fusions: One entry for each module that was changed or could have been, in the order of
            the network's modules.
        deviation: Of the copy on the example, from the original in float64: the largest difference,
            divided by the largest output.
        deviation_before: The same of the original in the copy's dtype.
        ways: On a GPU, how each convolution with what follows it runs, by its name in the copy:
            ``"torch"`` as modules; ``"one pass"``, one kernel behind the convolution; ``"cuDNN"``,
            its operator with bias and ReLU; ``"Triton 3"``, our kernel of the 1x1 convolution in
            its launch 3. Empty elsewhere.

    Examples:
        >>> from seattn import fuse_for_inference, se_resnet18
        >>> report = fuse_for_inference(se_resnet18(layers=(1, 1, 1, 1))).report
        >>> report.folded, report.left, report.deviation < 1e-5
        (12, (), True)
        >>> for line in str(report).splitlines()[:3]:
        ...     print(line)
        module               class       BatchNorms  what was done
        (network)            ResNet      1
        layer1.0             BasicBlock  2           rebuilt, gate known after the last convolution
    """

    fusions: tuple[Fusion, ...]
    deviation: float
    deviation_before: float
    ways: Mapping[str, str] = field(default_factory=dict)

    @property
    def folded(self) -> int:
        """Number of BatchNorms that went into convolutions."""
        return sum(fusion.folded for fusion in self.fusions)

    @property
    def left(self) -> tuple[Fusion, ...]:
        """What is as it was although it could have been fused elsewhere."""
        return tuple(
            fusion
            for fusion in self.fusions
            if fusion.left or fusion.block.startswith("not rebuilt")
        )

    def __str__(self) -> str:
        """Return a table with a line per module and the sum below."""
        rows = [
            ("module", "class", "BatchNorms", "what was done"),
            *(
                (
                    fusion.name or "(network)",
                    fusion.module,
                    str(fusion.folded),
                    fusion.block or (f"left: {fusion.left}" if fusion.left else ""),
                )
                for fusion in self.fusions
            ),
            (
                f"{len(self.fusions)} modules",
                "",
                str(self.folded),
                f"deviation {self.deviation:.1g}, before {self.deviation_before:.1g}",
            ),
        ]
        if self.ways:
            counts = Counter(self.ways.values()).most_common()
            text = ", ".join(f"{count} {way}" for way, count in counts)
            rows.append((f"{len(self.ways)} layers", "", "", text))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )
