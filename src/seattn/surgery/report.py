"""What an insertion did, place by place."""

from dataclasses import dataclass

__all__ = ["InsertReport", "Insertion"]


@dataclass(frozen=True, slots=True)
class Insertion:
    """One block in one place.

    Args:
        name: Module after which the block is applied; the block is its child ``attention``.
        block: Name of the block's class.
        channels: Channels of the map, as it ran.
        spatial: Spatial shape of the map on the example input.
        parameters: Number of parameters added.
        identity: How the block starts: ``"own"`` (its ``init_identity_``), ``"scaled"`` (its gate
            times a power of two), ``"blended"`` (mixed in by a learnt weight of 0), or None: as it
            initialises itself.

    Examples:
        >>> from seattn import insert_attention, resnet18
        >>> from seattn.attention import EffectiveSE
        >>> (insertion,) = insert_attention(resnet18(), EffectiveSE, at="layer4.1.bn2").insertions
        >>> insertion.block, insertion.channels, insertion.parameters, insertion.identity
        ('EffectiveSE', 512, 262656, 'own')
    """

    name: str
    block: str
    channels: int
    spatial: tuple[int, ...]
    parameters: int
    identity: str | None


@dataclass(frozen=True, slots=True)
class InsertReport:
    """What ``insert_attention`` put where; ``print`` shows it as a table.

    Args:
        insertions: One entry per place, in the order of the network's modules.

    Examples:
        >>> from seattn import insert_attention, resnet18
        >>> from seattn.attention import SEBlock
        >>> report = insert_attention(resnet18(), SEBlock)
        >>> report.names[:3], report.parameters
        (['layer1.0.bn2', 'layer1.1.bn2', 'layer2.0.bn2'], 89080)
        >>> for line in str(report).splitlines()[-3:]:
        ...     print(line)
        layer4.0.bn2  SEBlock  512       2x2    33,312      scaled
        layer4.1.bn2  SEBlock  512       2x2    33,312      scaled
        8 places                                89,080
    """

    insertions: tuple[Insertion, ...]

    @property
    def names(self) -> list[str]:
        """The modules after which a block is applied."""
        return [insertion.name for insertion in self.insertions]

    @property
    def parameters(self) -> int:
        """Number of parameters added to the network."""
        return sum(insertion.parameters for insertion in self.insertions)

    def __str__(self) -> str:
        """Return a table with a line per place and the sum below."""
        rows = [
            ("after", "block", "channels", "map", "parameters", "identity"),
            *(
                (
                    insertion.name,
                    insertion.block,
                    str(insertion.channels),
                    "x".join(map(str, insertion.spatial)),
                    f"{insertion.parameters:,}",
                    insertion.identity or "no",
                )
                for insertion in self.insertions
            ),
            (f"{len(self.insertions)} places", "", "", "", f"{self.parameters:,}", ""),
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )
