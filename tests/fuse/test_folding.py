"""BatchNorm in a convolution does what it did behind it."""

import pytest
import torch
from torch import nn

from seattn.fuse.folding import fold, fold_norms, unfolded_norms
from tests.fuse.networks import randomise

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
OPTIONS = [
    {"kernel_size": 1, "bias": True},
    {"kernel_size": 3, "padding": 1, "stride": 2, "groups": 2},
    {"kernel_size": 3, "padding": 2, "dilation": 2, "padding_mode": "circular"},
]


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("options", OPTIONS)
def test_one_convolution_is_convolution_and_norm(dims, affine, options):
    conv = CONV[dims](4, 6, **options).double()
    norm = NORM[dims](6, eps=0.1, affine=affine).double().eval()
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.1, 3)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.randn(2, 4, *(9,) * dims, dtype=torch.float64)
    torch.testing.assert_close(fold(conv, norm)(x), norm(conv(x)), rtol=1e-12, atol=1e-12)


def test_the_original_layers_keep_their_numbers():
    conv, norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
    before = conv.weight.clone()
    folded = fold(conv, norm)
    with torch.no_grad():
        folded.weight.zero_()
    assert torch.equal(conv.weight, before)
    assert conv.bias is None
    assert norm.weight.requires_grad


def test_numbers_are_rounded_once():
    conv, norm = nn.Conv2d(5, 7, 1).bfloat16(), nn.BatchNorm2d(7)
    nn.init.uniform_(norm.running_var, 0.1, 3)
    scale = norm.running_var.double().add(norm.eps).rsqrt()[:, None, None, None]
    expected = (conv.weight.double() * scale).bfloat16()
    assert torch.equal(fold(conv, norm).weight, expected)


def test_neighbours_of_a_sequential_fold_and_others_do_not():
    net = randomise(
        nn.Sequential(
            nn.BatchNorm2d(3),
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.BatchNorm2d(4),
            nn.Sequential(nn.ReLU(), nn.Conv2d(4, 5, 1)),
            nn.BatchNorm2d(5),
        )
    ).double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    expected = net(x)
    assert fold_norms(net) == {"": 2}
    torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)
    assert unfolded_norms(net) == dict.fromkeys(
        ("0", "4"), "it is not known to follow a convolution in Sequential"
    )
    assert [type(net[i]) for i in (2, 6)] == [nn.Identity, nn.Identity]


class _Backwards(nn.Sequential):
    def forward(self, x):
        for module in reversed(self):
            x = module(x)
        return x


@pytest.mark.parametrize(
    "net",
    [
        _Backwards(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)),
        nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)),
        nn.Sequential(nn.ConvTranspose2d(3, 3, 1), nn.BatchNorm2d(3)),
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.GroupNorm(1, 3)),
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 1)), nn.BatchNorm2d(3)),
        nn.ModuleList([nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)]),
    ],
)
def test_what_is_no_convolution_with_a_known_norm_behind_it_stays(net):
    before = str(net)
    assert fold_norms(net) == {}
    assert str(net) == before


def test_a_norm_without_running_statistics_is_told_apart():
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False))
    assert unfolded_norms(net) == {"1": "it has no running statistics"}


def test_a_convolution_in_two_places_is_folded_where_its_norm_is_only():
    conv = nn.Conv2d(3, 3, 1)
    net = randomise(nn.Sequential(conv, nn.BatchNorm2d(3), nn.ReLU(), conv)).double()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    expected = net(x)
    assert fold_norms(net) == {"": 1}
    torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)
