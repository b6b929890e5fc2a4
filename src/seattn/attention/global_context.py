"""The global context block (Cao et al. 2019, "GCNet", arXiv:1904.11492): adding and scaling."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seattn.attention import rank
from seattn.attention.reduction import hidden_width

__all__ = ["GlobalContext", "GlobalContextAdd"]


class GlobalContextAdd(nn.Module):
    """Global context, added: every position receives the same transformed, attended mean.

    With ``x_j`` the positions of the input, the paper averages them with learnt
    weights, ``z = sum_j a_j x_j`` where ``a = softmax_j(W_k x_j)`` (attention pooling), transforms
    that context, ``W_v2 relu(LN(W_v1 z))``, and adds the result to every position. ``conv_attn`` is
    ``W_k``; ``mlp_add`` has ``fc1`` (``W_v1``), ``norm`` and ``fc2`` (``W_v2``). All but the norm
    are 1x1 convolutions with a bias whatever the rank of the input, so that one state dict, with
    timm's names and shapes, serves 1D, 2D and 3D networks.

    Differs from the paper: the reduction is 8, as in timm, where the paper's networks have 16 or 4;
    epsilon of the normalisation is 1e-6, as in timm (1e-5 in the authors' code).

    The block starts as the identity, as in the authors' code. (timm's does not: it zeroes the
    weights of ``fc2``, but not its bias.) The other weights start as PyTorch's convolutions, except
    those of ``conv_attn`` (He et al. 2015, fan in).

    Args:
        channels: Number of channels C of the input.
        reduction: The paper's r; the hidden layer has ``channels // reduction`` units.
        hidden_channels: Number of hidden units R; overrides ``reduction``.

    Shape:
        - Input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        - Output: the same.

    Raises:
        ValueError: ``reduction`` exceeds ``channels`` and ``hidden_channels`` is not given, or one
            of them is not positive; in the forward pass: the input is not ``(N, C, *spatial)``.

    Examples:
        >>> import torch
        >>> from seattn.attention import GlobalContextAdd
        >>> block = GlobalContextAdd(64)
        >>> x = torch.randn(2, 64, 7, 7)
        >>> torch.equal(block(x), x)
        True
    """

    def __init__(
        self, channels: int, reduction: int = 8, *, hidden_channels: int | None = None
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, hidden_channels)
        self.conv_attn = _attention_layer(channels)
        self.mlp_add = _Transform(channels, hidden)
        self.init_identity_()

    @torch.no_grad()
    def init_identity_(self) -> None:
        """Set the weights and biases of the last layer to 0: nothing is added then."""
        for parameter in self.mlp_add.fc2.parameters():
            parameter.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` plus the transformed context."""
        transform = self.mlp_add(_context(x, self.conv_attn))  # (N, C, 1, 1)
        return x + rank.match_rank(transform, x)


class GlobalContext(nn.Module):
    """Global context, scaling: squeeze-and-excitation of an attended mean, normalised inside.

    Context and transform are those of ``GlobalContextAdd``; the sigmoid
    of the transform is the gate of its channel. The paper's ablation has this fusion as "scale" and
    its networks have the addition; timm's ``gcresnet50t`` and its like have this one. The transform
    is ``mlp_scale`` here.

    Differs from the paper: as ``GlobalContextAdd``, and ``fc2`` starts as the other layers do,
    which is timm's way. There is no ``init_identity_``: with a transform of 0 all gates are 0.5,
    and no weights make them 1.

    Args:
        channels: Number of channels C of the input.
        reduction: The paper's r; the hidden layer has ``channels // reduction`` units.
        hidden_channels: Number of hidden units R; overrides ``reduction``.

    Shape:
        - Input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        - Output: the same.

    Raises:
        ValueError: As ``GlobalContextAdd``.

    Examples:
        >>> import torch
        >>> from seattn.attention import GlobalContext
        >>> block = GlobalContext(64)
        >>> block(torch.randn(2, 64, 7, 7)).shape
        torch.Size([2, 64, 7, 7])
        >>> block.gate(torch.randn(2, 64, 100)).shape
        torch.Size([2, 64, 1])
    """

    def __init__(
        self, channels: int, reduction: int = 8, *, hidden_channels: int | None = None
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, hidden_channels)
        self.conv_attn = _attention_layer(channels)
        self.mlp_scale = _Transform(channels, hidden)

    def gate(self, x: Tensor) -> Tensor:
        """Return the factor of every channel, in (0, 1).

        Args:
            x: The input of the block, ``(N, C, *spatial)``.

        Returns:
            Gates ``(N, C, 1, ..., 1)`` of the rank of ``x``: ``block(x) == x * block.gate(x)``.
        """
        transform = self.mlp_scale(_context(x, self.conv_attn))  # (N, C, 1, 1)
        return rank.match_rank(torch.sigmoid(transform), x)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, every channel scaled by its gate."""
        return x * self.gate(x)


class _Transform(nn.Module):
    """The paper's bottleneck transform: W_v2 relu(LN(W_v1 z)) of a context (N, C, 1, 1)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, kernel_size=1)
        self.norm = nn.LayerNorm(hidden, eps=1e-6)
        self.fc2 = nn.Conv2d(hidden, channels, kernel_size=1)

    def forward(self, context: Tensor) -> Tensor:
        hidden = self.norm(self.fc1(context).flatten(1))  # (N, R)
        return self.fc2(F.relu(hidden)[:, :, None, None])  # (N, C, 1, 1)


def _attention_layer(channels: int) -> nn.Conv2d:
    """Return W_k. Its bias shifts all logits of the softmax alike: it is for the state dict."""
    layer = nn.Conv2d(channels, 1, kernel_size=1)
    nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
    return layer


def _context(x: Tensor, conv_attn: nn.Conv2d) -> Tensor:
    """Average (N, C, *spatial) over space with learnt weights, into (N, C, 1, 1)."""
    image = rank.as_image(x, conv_attn.in_channels)  # (N, C, L, 1)
    attention = F.softmax(conv_attn(image), dim=2)  # (N, 1, L, 1)
    return (image[..., 0] @ attention[:, 0])[..., None]  # (N, C, 1, 1)
