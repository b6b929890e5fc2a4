import pytest

from seattn.attention.global_context import GlobalContext, GlobalContextAdd
from seattn.attention.reduction import hidden_width
from seattn.attention.spatial_channel_excitation import SCSEBlock


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((64, 16, None), 4), ((40, 16, None), 2), ((16, 16, None), 1), ((3, 16, 5), 5)],
)
def test_hidden_width(arguments, expected):
    assert hidden_width(*arguments) == expected


@pytest.mark.parametrize(
    ("block", "hidden"),
    [
        (SCSEBlock(64).cSE[1], 4),
        (SCSEBlock(3, hidden_channels=5).cSE[1], 5),
        (GlobalContext(64).mlp_scale.fc1, 8),
        (GlobalContext(64, 4).mlp_scale.fc1, 16),
        (GlobalContext(3, hidden_channels=5).mlp_scale.fc1, 5),
        (GlobalContextAdd(64).mlp_add.fc1, 8),
        (GlobalContextAdd(3, hidden_channels=5).mlp_add.fc1, 5),
    ],
)
def test_hidden_width_of_blocks(block, hidden):
    assert block.out_channels == hidden


@pytest.mark.parametrize("block_class", [SCSEBlock, GlobalContext, GlobalContextAdd])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 8, "reduction": 9}, r"`reduction` \(=9\) must not exceed `channels` \(=8\)"),
        ({"channels": 8, "reduction": 0}, r"`reduction` \(=0\) must be positive"),
        ({"channels": 0}, r"`channels` \(=0\) must be positive"),
        ({"channels": 8, "hidden_channels": 0}, r"`hidden_channels` \(=0\) must be positive"),
    ],
)
def test_impossible_width_is_refused(block_class, arguments, message):
    with pytest.raises(ValueError, match=message):
        block_class(**arguments)
