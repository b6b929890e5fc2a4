"""The width of the hidden layer of a block, from the ``reduction`` that most papers write r."""

__all__ = ["hidden_width"]


def hidden_width(channels: int, reduction: int, hidden_channels: int | None) -> int:
    """Return ``hidden_channels`` where it is given, else ``channels // reduction``.

    Args:
        channels: Number of channels C of the input of the block.
        reduction: The r of the paper.
        hidden_channels: Number of hidden units R, or None.

    Returns:
        The number of hidden units, 1 or more.

    Raises:
        ValueError: ``reduction`` exceeds ``channels`` and ``hidden_channels`` is not given, or one
            of them is not positive.
    """
    if channels < 1:
        raise ValueError(f"`channels` (={channels}) must be positive")
    if hidden_channels is not None:
        if hidden_channels < 1:
            raise ValueError(f"`hidden_channels` (={hidden_channels}) must be positive")
        return hidden_channels
    if reduction < 1:
        raise ValueError(f"`reduction` (={reduction}) must be positive")
    if reduction > channels:
        raise ValueError(
            f"`reduction` (={reduction}) must not exceed `channels` (={channels}): "
            "pass a smaller one, or `hidden_channels`"
        )
    return channels // reduction
