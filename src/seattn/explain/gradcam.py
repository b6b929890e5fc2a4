"""Grad-CAM and its relatives: how activation and gradient of a layer make a map.

A is the layer's output, g the gradient of the score with respect to it, both (N, C, *grid); k
counts channels, i and j the Z positions of the grid.
"""

from torch import Tensor

from seattn.explain.class_activation import ClassActivationMap

__all__ = ["GradCAM", "GradCAMPlusPlus", "HiResCAM", "LayerCAM"]


class GradCAM(ClassActivationMap):
    r"""Gradient-weighted class activation maps: where a network looked, for one score.

    The weight of a channel is the mean of the gradient over the grid (equation 1), and the map is
    the rectified weighted sum over the channels (equation 2):

    .. math:: \alpha_k = \frac{1}{Z} \sum_{i,j} g_{kij}, \qquad
        \text{map} = \mathrm{ReLU}\Bigl(\sum_k \alpha_k A_k\Bigr)

    Arguments, costs and errors are those of :class:`ClassActivationMap`.

    References:
        Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra, "Grad-CAM: Visual Explanations from Deep
        Networks via Gradient-based Localization", ICCV 2017, equations 1 and 2.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import GradCAM
        >>> features = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU())
        >>> head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
        >>> model = nn.Sequential(features, head)
        >>> cam = GradCAM(model, target_layer="0")
        >>> cam(torch.rand(4, 1, 32, 40), target=2).shape
        torch.Size([4, 32, 40])
        >>> cam(torch.rand(4, 1, 32, 40), classes=range(3)).shape
        torch.Size([4, 3, 32, 40])
        >>> cam.explain(torch.rand(4, 1, 32, 40)).raw.shape
        torch.Size([4, 16, 20])
    """

    def combine(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Return the signed sum of equation 2, ``(N, *grid)``."""
        alpha = gradient.mean(_grid(gradient), keepdim=True)  # equation 1
        return (alpha * activation).sum(1)


class GradCAMPlusPlus(ClassActivationMap):
    r"""Grad-CAM++: as Grad-CAM, with a weight for each position, so that several finds count.

    Equation 19 of the paper gives the weights of the positions, here divided by the squared
    gradient above and below the line, which is the same number and does not underflow:

    .. math:: \alpha_{kij} = \frac{1}{2 + g_{kij} \sum_{a,b} A_{kab}}, \qquad
        w_k = \sum_{i,j} \alpha_{kij} \mathrm{ReLU}(g_{kij}), \qquad
        \text{map} = \mathrm{ReLU}\Bigl(\sum_k w_k A_k\Bigr)

    Differs from the paper: the score is not put through an exponential, whose derivative scales
    each image's map by one factor. And where the layer's outputs may be negative (after BatchNorm,
    SiLU or GELU) the denominator can reach 0 or less; it is held at 1 or more, so that a weight
    lies in 0..1. After a ReLU it is at least 2, and nothing is held.

    Arguments, costs and errors are those of :class:`ClassActivationMap`.

    References:
        Chattopadhay, Sarkar, Howlader, Balasubramanian, "Grad-CAM++: Generalized Gradient-Based
        Visual Explanations for Deep Convolutional Networks", WACV 2018, equation 19.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import GradCAM, GradCAMPlusPlus
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(
        ...     nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        ...     nn.Linear(8, 2),
        ... )
        >>> x = torch.rand(4, 1, 32, 32)
        >>> bool((GradCAM(model, "1").explain(x, target=0).raw < 0).any())
        True
        >>> bool((GradCAMPlusPlus(model, "1").explain(x, target=0).raw < 0).any())  # after a ReLU
        False
    """

    def combine(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Return the sum of the weighted channels before the rectifier, ``(N, *grid)``."""
        grid = _grid(gradient)
        alpha = 1 / (2 + gradient * activation.sum(grid, keepdim=True)).clamp(min=1)
        weight = (alpha * gradient.relu()).sum(grid, keepdim=True)
        return (weight * activation).sum(1)


class HiResCAM(ClassActivationMap):
    r"""HiResCAM: the gradient is not averaged, so each position keeps its own.

    .. math:: \text{map} = \mathrm{ReLU}\Bigl(\sum_k g_k \odot A_k\Bigr)

    Where the head is mean pooling and one linear layer it equals Grad-CAM. Where the head is linear
    the signed map adds up to the score without its bias, which Grad-CAM's does not.

    Arguments, costs and errors are those of :class:`ClassActivationMap`.

    References:
        Draelos, Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
        neural networks", 2020 (arXiv:2011.08891).

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import HiResCAM
        >>> head = nn.Linear(8 * 6 * 6, 2)
        >>> model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), head)
        >>> result = HiResCAM(model, "1").explain(torch.rand(4, 1, 8, 8), target=1)
        >>> total = result.raw.sum((1, 2))  # the score without its bias, since the head is linear
        >>> torch.allclose(total, result.output[:, 1] - head.bias[1], atol=1e-5)
        True
    """

    def combine(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Return the signed sum over the channels, ``(N, *grid)``."""
        return (gradient * activation).sum(1)


class LayerCAM(ClassActivationMap):
    r"""LayerCAM: each position is weighted by its own gradient where that is positive.

    .. math:: \text{map} = \mathrm{ReLU}\Bigl(\sum_k \mathrm{ReLU}(g_k) \odot A_k\Bigr)

    Meant for earlier layers too, whose maps are finer.

    Arguments, costs and errors are those of :class:`ClassActivationMap`.

    References:
        Jiang, Zhang, Hou, Cheng, Wei, "LayerCAM: Exploring Hierarchical Class Activation Maps for
        Localization", IEEE Transactions on Image Processing 30, 2021.

    Examples:
        >>> import torch
        >>> from seattn import resnet18
        >>> from seattn.explain import LayerCAM
        >>> cam = LayerCAM(resnet18(num_classes=2), ["layer2", "layer3", "layer4"])
        >>> [tuple(result.raw.shape) for result in cam.explain(torch.rand(2, 3, 96, 96))]
        [(2, 12, 12), (2, 6, 6), (2, 3, 3)]
    """

    def combine(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Return the sum over the channels before the rectifier, ``(N, *grid)``."""
        return (gradient.relu() * activation).sum(1)


def _grid(x: Tensor) -> tuple[int, ...]:
    """Return the grid's dimensions of ``(N, C, *grid)``."""
    return tuple(range(2, x.dim()))
