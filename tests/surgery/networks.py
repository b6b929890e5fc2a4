"""Small networks of a user's own, with names that nobody else has."""

import torch
from torch import Tensor, nn

from seattn.backbones import BasicBlock, Bottleneck, ResNet


def small_resnet(*, bottleneck: bool = False, **kwargs) -> ResNet:
    """A ResNet of four blocks whose residuals are not zero, with random BatchNorm statistics."""
    block = Bottleneck if bottleneck else BasicBlock
    net = ResNet(
        block,
        (1, 1, 1, 1),
        channels=(16, 32, 48, 64),
        stem="small",
        in_chans=1,
        num_classes=3,
        zero_init_last=False,
        **kwargs,
    )
    return randomised(net)


def randomised(net: nn.Module) -> nn.Module:
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net


class Unit(nn.Module):
    """conv, norm, ReLU, conv, norm and a shortcut, in the user's words."""

    def __init__(self, width: int, dims: int = 2) -> None:
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1]
        self.first, self.first_norm = conv(width, width, 3, padding=1), norm(width)
        self.second, self.second_norm = conv(width, width, 3, padding=1), norm(width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.first_norm(self.first(x)))
        x = x + torch.tanh(self.second_norm(self.second(hidden)))
        return nn.functional.relu(x, inplace=True)


class UserNet(nn.Module):
    """Two units, a pooling and a linear head."""

    def __init__(self, dims: int = 2, width: int = 16) -> None:
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        self.entry = conv(1, width, 3, stride=2, padding=1)
        self.body = nn.Sequential(Unit(width, dims), nn.ReLU(), Unit(width, dims))
        self.exit = nn.Linear(width, 3)
        randomised(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.exit(self.body(self.entry(x)).flatten(2).mean(2))


class DenseNet(nn.Module):
    """Every layer reads everything before it."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(1, 16, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(16 * (i + 1), 16, 3, padding=1) for i in range(3))

    def forward(self, x: Tensor) -> Tensor:
        features = [self.entry(x)]
        for layer in self.layers:
            features.append(layer(torch.relu(torch.cat(features, 1))))
        return torch.cat(features, 1)
