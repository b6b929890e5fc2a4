"""What a run went through, and what it waited for."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["PredictionSummary", "total"]


@dataclass
class PredictionSummary:
    """The counts and times of one run, of all its processes together.

    Attributes:
        files: Files that were opened, without those that an earlier run had done.
        images: Frames with probabilities.
        failed: Rows with an error.
        skipped: Files that hold no image to classify, and have no row.
        resumed: Rows that an earlier run had written.
        seconds: From the first decoded file to the last row; of several processes the longest.
        decoder: Seconds in which the network had no images to work on, mean over the processes.
        network: Seconds in which images waited for the network, likewise.

    Examples:
        >>> from seattn.predict import PredictionSummary
        >>> run = PredictionSummary(files=98, images=96, failed=1, skipped=1, seconds=4.0)
        >>> run.decoder, run.network = 0.5, 3.25
        >>> run.slower, run.files_per_second
        ('network', 24.5)
        >>> print(run)
        98 files in 4.0 s, 24.5 files/s: 96 images, 1 failed, 1 skipped
        waited 0.5 s for the decoder, 3.2 s for the network: the network was the slower
    """

    files: int = 0
    images: int = 0
    failed: int = 0
    skipped: int = 0
    resumed: int = 0
    seconds: float = 0.0
    decoder: float = 0.0
    network: float = 0.0

    @property
    def files_per_second(self) -> float:
        """Files by seconds, 0 where there were none."""
        return self.files / self.seconds if self.seconds else 0.0

    @property
    def slower(self) -> str:
        """Which was waited for longer, "decoder" or "network"."""
        return "decoder" if self.decoder > self.network else "network"

    def __str__(self) -> str:
        """Say it in two lines, or in one where nothing was left to do."""
        kept = f", {self.resumed} rows kept from before" if self.resumed else ""
        if not self.files:
            return f"nothing left to do{kept}"
        return (
            f"{self.files} files in {self.seconds:.1f} s, {self.files_per_second:.1f} files/s: "
            f"{self.images} images, {self.failed} failed, {self.skipped} skipped{kept}\n"
            f"waited {self.decoder:.1f} s for the decoder, {self.network:.1f} s for the network: "
            f"the {self.slower} was the slower"
        )


def total(parts: Sequence[PredictionSummary]) -> PredictionSummary:
    """Put those of several processes together."""
    counts = ("files", "images", "failed", "skipped", "resumed")
    return PredictionSummary(
        **{name: sum(getattr(part, name) for part in parts) for name in counts},
        seconds=max(part.seconds for part in parts),
        decoder=sum(part.decoder for part in parts) / len(parts),
        network=sum(part.network for part in parts) / len(parts),
    )
