"""The gate of an attention block as a module of its own: from the squeeze to the factors."""

from collections.abc import Iterable

from torch import Tensor, nn

from seattn.attention import rank

__all__ = ["AcrossChannels", "Gate", "OfBlock"]


class Gate(nn.Module):
    """Maps the mean of every channel, ``(N, C, 1, ..., 1)``, to the factor of every channel.

    ``record_gates`` finds it, as it finds an attention block.
    """

    def __init__(self, excitation: nn.Module) -> None:
        super().__init__()
        self.excitation = excitation

    def gate(self, squeeze: Tensor) -> Tensor:
        """Return the factors, of the shape of ``squeeze``."""
        return self.excitation(squeeze)

    def forward(self, squeeze: Tensor) -> Tensor:
        """Return the factors, of the shape of ``squeeze``."""
        return self.gate(squeeze)


class OfBlock(nn.Module):
    """The excitation of one of our blocks, whose gate reads nothing but the mean."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, squeeze: Tensor) -> Tensor:
        """Return the factors."""
        return self.block.gate(squeeze)  # type: ignore[operator]  # a method


class AcrossChannels(nn.Module):
    """The excitation of efficient channel attention: 1D convolutions along the channels."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, squeeze: Tensor) -> Tensor:
        """Return the factors."""
        row = squeeze.flatten(1)[:, None]  # (N, 1, C)
        return rank.match_rank(self.layers(row)[:, 0], squeeze)
